-- Mails that somebody should look at: in doubt, given up, or overdue (spooled ones are not).
SELECT
    count(*) FILTER (WHERE state = 'UNCERTAIN') AS uncertain,
    count(*) FILTER (WHERE state = 'FAILED') AS failed,
    count(*) FILTER (WHERE state IN ('PENDING', 'SENDING') AND created_at < CAST(:now AS timestamptz) - interval '1 hour'
                     AND not_before < CAST(:now AS timestamptz)) AS waiting
FROM flow.mail
WHERE state IN ('UNCERTAIN', 'PENDING', 'SENDING') OR (state = 'FAILED' AND created_at > CAST(:now AS timestamptz) - interval '7 days')
