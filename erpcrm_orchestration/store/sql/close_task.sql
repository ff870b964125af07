-- Carries what became of the calls over to their tasks: done, suspended with the reason, or still active after an attempt.
UPDATE flow.inter_company_task AS task SET
    state = CASE call.state WHEN 'DONE' THEN 'DONE' WHEN 'FAILED' THEN 'SUSPENDED' ELSE task.state END,
    attempts = call.attempts,
    last_error = CASE call.state WHEN 'DONE' THEN NULL WHEN 'FAILED' THEN coalesce(call.last_error, 'failed') ELSE call.last_error END,
    done_at = CASE call.state WHEN 'DONE' THEN call.closed_at END
FROM flow.outbound_call AS call
WHERE task.state = 'ACTIVE'
    AND call.cause = 'inter_company'
    AND call.idempotency_key = encode(
        sha256(convert_to(concat_ws(chr(31), 'inter_company', task.dossier_code, task.intake, task.task_key), 'UTF8')), 'hex'
    )
    AND (call.state IN ('DONE', 'FAILED') OR call.attempts <> task.attempts)
RETURNING task.state
