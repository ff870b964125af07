-- The server cannot be reached: every due mail waits, and those whose attempts are used up are closed with the reason.
WITH due AS (
    SELECT mail_id, state, attempts + 1 AS attempts
    FROM flow.mail
    WHERE not_before <= :now
      AND (state = 'PENDING'
           OR (state = 'UNCERTAIN' AND on_uncertain = 'resend' AND uncertain_attempts <= :resent_at_most))
    FOR UPDATE SKIP LOCKED
), decided AS (
    SELECT mail_id, attempts,
           state = 'PENDING' AND attempts >= :give_up_after AS given_up,
           COALESCE((CAST(:delays_min AS int[]))[attempts], :longest_delay_min) AS delay_min
    FROM due
), closed_recipients AS (
    UPDATE flow.mail_recipient r
    SET state = 'REFUSED', answer = 'gave up after ' || d.attempts || ' attempts: ' || :reason, answered_at = :now
    FROM decided d
    WHERE d.given_up AND r.mail_id = d.mail_id AND r.state = 'PENDING'
)
UPDATE flow.mail m
SET attempts = d.attempts,
    state = CASE WHEN NOT d.given_up THEN m.state WHEN m.sent_at IS NULL THEN 'FAILED' ELSE 'SENT' END,
    not_before = CASE WHEN d.given_up THEN m.not_before ELSE :now + make_interval(mins => d.delay_min) END,
    last_error = CASE WHEN d.given_up THEN 'gave up after ' || d.attempts || ' attempts: ' ELSE '' END || :reason
FROM decided d
WHERE m.mail_id = d.mail_id
RETURNING m.mail_id, d.given_up
