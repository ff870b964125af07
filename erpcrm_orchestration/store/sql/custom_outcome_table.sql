-- What the statement of a routine that a company added returned in this transaction.
CREATE TEMPORARY TABLE IF NOT EXISTS routine_outcome (customer_id bigint, outcome text, message text) ON COMMIT DELETE ROWS
