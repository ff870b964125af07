-- The read side for analysts: stable, documented views. Everything computed here is computed when it is read.
SELECT 1;
