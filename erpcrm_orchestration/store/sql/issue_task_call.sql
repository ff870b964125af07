-- One call for every active inter-company task.
INSERT INTO flow.outbound_call (dossier_code, target_code, cause, idempotency_key, payload, not_before, created_at)
SELECT
    dossier_code,
    target_code,
    'inter_company',
    encode(sha256(convert_to(concat_ws(chr(31), 'inter_company', dossier_code, intake, task_key), 'UTF8')), 'hex'),
    jsonb_build_object(
        'cause', 'inter_company', 'dossier_code', dossier_code, 'intake', intake, 'task_key', task_key, 'kind', kind, 'at', at,
        'values', payload
    ),
    :now,
    :now
FROM flow.inter_company_task
WHERE state = 'ACTIVE'
ORDER BY dossier_code, at, task_key
ON CONFLICT (idempotency_key) DO NOTHING
