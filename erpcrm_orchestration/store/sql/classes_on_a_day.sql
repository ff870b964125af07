-- The class that each account of a dossier had at the end of a day, from what it has now and the transitions since.
INSERT INTO class_now (customer_id, class_code, since)
SELECT
    c.customer_id,
    CASE WHEN later.customer_id IS NULL THEN c.class_code ELSE later.from_class END,
    coalesce(earlier.since, CAST(c.created_at AT TIME ZONE :time_zone AS date))
FROM hub.customer c
LEFT JOIN (
    SELECT DISTINCT ON (customer_id) customer_id, from_class
    FROM automation.class_transition
    WHERE dossier_code = :dossier_code AND on_date > :run_date
    ORDER BY customer_id, on_date, order_number
) later ON later.customer_id = c.customer_id
LEFT JOIN (
    SELECT customer_id, max(on_date) AS since
    FROM automation.class_transition
    WHERE dossier_code = :dossier_code AND on_date <= :run_date
    GROUP BY customer_id
) earlier ON earlier.customer_id = c.customer_id
WHERE c.dossier_code = :dossier_code
  AND c.deleted_at IS NULL
  AND (c.created_at IS NULL OR CAST(c.created_at AT TIME ZONE :time_zone AS date) <= :run_date)
