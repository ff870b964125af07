-- The first account that cannot stand as it was returned: no account of the slice, returned twice, or with an outcome that is none.
SELECT o.customer_id, min(o.outcome) AS outcome, count(*) AS times, s.customer_id IS NOT NULL AS in_scope
FROM routine_outcome o
LEFT JOIN scope s ON s.customer_id = o.customer_id
GROUP BY o.customer_id, s.customer_id
HAVING s.customer_id IS NULL
    OR count(*) > 1
    OR bool_or(o.outcome IS NULL OR o.outcome NOT IN ('changed', 'unchanged', 'skipped', 'error'))
ORDER BY o.customer_id
LIMIT 1
