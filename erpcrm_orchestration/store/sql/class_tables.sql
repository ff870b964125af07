-- The classes that accounts have, and the moves that rules give them, in this transaction.
CREATE TEMPORARY TABLE IF NOT EXISTS class_now (
    customer_id bigint PRIMARY KEY, class_code text, since date
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS class_move (
    customer_id bigint PRIMARY KEY, from_class text, to_class text, rule_code text, metric_value numeric, fault text
) ON COMMIT DELETE ROWS
