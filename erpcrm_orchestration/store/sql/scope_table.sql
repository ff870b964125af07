-- The accounts that a routine works on in this transaction.
CREATE TEMPORARY TABLE IF NOT EXISTS scope (customer_id bigint PRIMARY KEY) ON COMMIT DELETE ROWS
