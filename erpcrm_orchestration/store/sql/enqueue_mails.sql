-- Drafts with their recipients, in one statement. A key that is known already names an effect that is under way: nothing is added.
WITH stored AS (
    INSERT INTO flow.mail (
        dossier_code, cause, idempotency_key, subject, text, html, state, on_uncertain, test_mode, not_before, created_at, last_error
    )
    SELECT
        d.dossier_code, d.cause, d.idempotency_key, d.subject, d.text, d.html, d.state, d.on_uncertain, d.test_mode, d.not_before,
        :now, d.last_error
    FROM unnest(
        CAST(:dossier_codes AS text[]), CAST(:causes AS text[]), CAST(:keys AS text[]), CAST(:subjects AS text[]),
        CAST(:texts AS text[]), CAST(:htmls AS text[]), CAST(:states AS text[]), CAST(:policies AS text[]),
        CAST(:test_modes AS boolean[]), CAST(:not_befores AS timestamptz[]), CAST(:reasons AS text[])
    ) WITH ORDINALITY AS d (
        dossier_code, cause, idempotency_key, subject, text, html, state, on_uncertain, test_mode, not_before, last_error, position
    )
    ORDER BY d.position
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING mail_id, idempotency_key
), people AS (
    INSERT INTO flow.mail_recipient (mail_id, address, state, answer, answered_at)
    SELECT s.mail_id, r.address, r.state, r.answer, CASE WHEN r.answer IS NOT NULL THEN CAST(:now AS timestamptz) END
    FROM unnest(
        CAST(:recipient_keys AS text[]), CAST(:addresses AS text[]), CAST(:recipient_states AS text[]), CAST(:answers AS text[])
    ) AS r (idempotency_key, address, state, answer)
    JOIN stored s USING (idempotency_key)
    ON CONFLICT (mail_id, address) DO NOTHING
)
SELECT mail_id FROM stored ORDER BY mail_id
