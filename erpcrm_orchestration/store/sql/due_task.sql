-- Dossiers with a task to execute, unless the inter-company watcher is paused or the call of the task waits for its time.
SELECT DISTINCT task.dossier_code
FROM flow.inter_company_task AS task
LEFT JOIN flow.outbound_call AS call
    ON call.idempotency_key = encode(
        sha256(convert_to(concat_ws(chr(31), 'inter_company', task.dossier_code, task.intake, task.task_key), 'UTF8')), 'hex'
    )
WHERE task.state = 'ACTIVE'
    AND (call.call_id IS NULL OR call.closed_at IS NOT NULL OR CAST(:now AS timestamptz) IS NULL OR call.not_before <= :now)
    AND NOT EXISTS (SELECT FROM supervision.watcher WHERE watcher_code = 'INTERCOMPANY' AND paused)
ORDER BY task.dossier_code
