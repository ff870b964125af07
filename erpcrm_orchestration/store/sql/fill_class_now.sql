-- The class of each account in `scope`, and the day since which it has it: of its last transition, else of its creation.
INSERT INTO class_now (customer_id, class_code, since)
SELECT c.customer_id, c.class_code, coalesce(h.since, CAST(c.created_at AT TIME ZONE :time_zone AS date))
FROM scope s
JOIN hub.customer c
    ON c.dossier_code = :dossier_code AND c.customer_id = s.customer_id AND c.customer_id BETWEEN :first AND :last
LEFT JOIN (
    SELECT customer_id, max(on_date) AS since
    FROM automation.class_transition
    WHERE dossier_code = :dossier_code AND customer_id BETWEEN :first AND :last AND on_date <= :run_date
    GROUP BY customer_id
) h ON h.customer_id = c.customer_id
