-- Takes calls that are due, oldest first. A call left in SENDING by a process that died is due when its claim has ended.
-- not_before of a claimed call is the end of the claim.
UPDATE flow.outbound_call AS claimed SET
    state = 'SENDING',
    attempts = claimed.attempts + 1,
    not_before = CAST(:now AS timestamptz) + make_interval(
        secs => :margin_s + coalesce((target.definition ->> 'timeout_s')::integer, 30)
    )
FROM hub.call_target AS target
WHERE target.target_code = claimed.target_code
    AND claimed.call_id IN (
        SELECT call_id
        FROM flow.outbound_call
        WHERE state IN ('PENDING', 'SENDING')
            AND not_before <= :now
            AND cause = :cause
            AND target_code <> ALL(:resting)
        ORDER BY call_id
        LIMIT :batch
        FOR UPDATE SKIP LOCKED
    )
RETURNING claimed.call_id, claimed.dossier_code, claimed.target_code, claimed.idempotency_key, claimed.payload, claimed.attempts
