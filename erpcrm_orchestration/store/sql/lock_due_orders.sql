-- The orders that may start now, oldest first: due, their dossier and server active, a place free there, their parent done, and no
-- other order of the same program and dossier running or requested. Orders without a server have the room that dagster.yaml
-- gives all runs.
WITH taken AS (
    SELECT server_code, array_agg(DISTINCT slot) AS slots
    FROM automation.execution_order
    WHERE state IN ('PENDING', 'RUNNING') AND batch IS NOT NULL
    GROUP BY server_code
)
SELECT
    o.dossier_code, o.order_number, o.program, o.server_code,
    coalesce(s.capacity, 4) AS capacity,
    coalesce(s.definition -> 'tags', '{}'::jsonb) AS tags,
    coalesce(t.slots, '{}') AS taken_slots
FROM automation.execution_order o
JOIN hub.dossier d ON d.dossier_code = o.dossier_code AND d.active
LEFT JOIN automation.server s ON s.server_code = o.server_code
LEFT JOIN taken t ON t.server_code IS NOT DISTINCT FROM o.server_code
WHERE o.state = 'PENDING'
  AND o.batch IS NULL
  AND o.origin <> 'BACKFILL'
  AND o.scheduled_at <= :now
  AND (o.server_code IS NULL OR s.state = 'ACTIVE')
  AND cardinality(coalesce(t.slots, '{}')) < coalesce(s.capacity, 4)
  AND (o.depends_on IS NULL OR EXISTS (
      SELECT FROM automation.execution_order p
      WHERE p.dossier_code = o.dossier_code AND p.order_number = o.depends_on AND p.state = 'DONE'))
  AND NOT EXISTS (
      SELECT FROM automation.execution_order r
      WHERE r.dossier_code = o.dossier_code AND r.program = o.program
        AND (r.state = 'RUNNING' OR (r.state = 'PENDING' AND r.batch IS NOT NULL)))
ORDER BY o.scheduled_at, o.order_number
LIMIT :limit
FOR UPDATE OF o SKIP LOCKED
