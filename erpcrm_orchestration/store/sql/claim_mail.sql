-- One mail that is due, taken by this process alone: others skip a row that is locked or SENDING.
WITH next AS (
    SELECT mail_id
    FROM flow.mail
    WHERE not_before <= :now
      AND (state = 'PENDING'
           OR (state = 'UNCERTAIN' AND on_uncertain = 'resend' AND uncertain_attempts <= :resent_at_most))
    ORDER BY not_before, mail_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE flow.mail m
SET state = 'SENDING', claimed_at = :now, attempts = m.attempts + 1
FROM next
WHERE m.mail_id = next.mail_id
RETURNING m.mail_id, m.idempotency_key, m.subject, m.text, m.html, m.on_uncertain, m.attempts, m.uncertain_attempts, m.sent_at
