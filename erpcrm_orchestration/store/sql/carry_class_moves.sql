-- Simulated moves as the classes of the next day.
UPDATE class_now n
SET class_code = m.to_class, since = :run_date
FROM class_move m
WHERE m.customer_id = n.customer_id AND m.fault IS NULL
