-- Suspended tasks become active, and their calls are due again with the same key: a target that has it already knows it.
WITH chosen AS (
    SELECT
        dossier_code, intake, task_key, last_error,
        encode(sha256(convert_to(concat_ws(chr(31), 'inter_company', dossier_code, intake, task_key), 'UTF8')), 'hex') AS call_key
    FROM flow.inter_company_task
    WHERE dossier_code = :dossier_code
        AND state = 'SUSPENDED'
        AND (CAST(:task_keys AS text[]) IS NULL OR task_key = ANY(:task_keys))
    FOR UPDATE
), calls AS (
    UPDATE flow.outbound_call AS call SET
        state = 'PENDING',
        attempts = 0,
        not_before = :now,
        closed_at = NULL
    FROM chosen
    WHERE call.idempotency_key = chosen.call_key AND call.state = 'FAILED'
)
UPDATE flow.inter_company_task AS task SET
    state = 'ACTIVE',
    attempts = 0
FROM chosen
WHERE task.dossier_code = chosen.dossier_code AND task.intake = chosen.intake AND task.task_key = chosen.task_key
RETURNING task.task_key, chosen.last_error
