-- The ledger of the last 24 hours, and the ticks that nobody has closed for ten minutes.
SELECT
    count(*) FILTER (WHERE state = 'MISSED') AS missed,
    count(*) FILTER (WHERE state = 'RAN') AS ran,
    count(*) FILTER (WHERE state = 'SKIPPED') AS skipped,
    count(*) FILTER (WHERE state = 'REQUESTED' AND requested_at < CAST(:now AS timestamptz) - interval '10 minutes') AS overdue
FROM flow.tick
WHERE due_at > CAST(:now AS timestamptz) - interval '1 day' OR state = 'REQUESTED'
