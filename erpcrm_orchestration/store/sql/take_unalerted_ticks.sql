-- The missed ticks nobody was told of, marked as told; the mail is queued in the same transaction.
WITH told AS (
    UPDATE flow.tick SET alerted_at = :now
    WHERE state = 'MISSED' AND alerted_at IS NULL
    RETURNING dossier_code, due_at
)
SELECT dossier_code, count(*) AS ticks, min(due_at) AS first_due_at, max(due_at) AS last_due_at
FROM told
GROUP BY dossier_code
ORDER BY dossier_code
