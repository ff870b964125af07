-- Leases due items. Of one record only its oldest open change may go: no change overtakes another, nor one that was given up
-- while nobody knows whether it was carried out, nor one of a record of which its system tells what a person has to decide.
-- A lease that ended belongs to a dead process: its attempt goes on. So does one that ends later than any of now: our clock
-- went back. For the same reason an item that was never tried is due whatever its instant.
WITH due AS (
    SELECT w.dossier_code, w.work_id
    FROM flow.work_item AS w
    WHERE w.dossier_code = :dossier_code
        AND w.event = :event
        AND w.state IN ('QUEUED', 'LEASED', 'RETRY')
        AND w.connection_code = ANY(CAST(:connections AS text[]))
        AND (w.not_before <= :now OR w.not_before = w.created_at)
        AND (
            w.state <> 'LEASED'
            OR w.leased_until < :now
            OR w.leased_until > CAST(:leased_until AS timestamptz) + interval '1 minute'
        )
        AND (w.urgent OR NOT :urgent_only)
        AND w.work_id <> ALL(CAST(:but AS bigint[]))
        AND NOT EXISTS (
            SELECT FROM flow.field_conflict AS c
            WHERE c.dossier_code = w.dossier_code
                AND c.system_code = w.system_code
                AND c.entity = w.entity
                AND c.record_id = w.record_id
                AND c.closed_at IS NULL
        )
        AND (
            w.event = 'on_demand'
            OR NOT EXISTS (
                SELECT FROM flow.work_item AS earlier
                WHERE earlier.dossier_code = w.dossier_code
                    AND earlier.system_code = w.system_code
                    AND earlier.entity = w.entity
                    AND earlier.record_id = w.record_id
                    AND earlier.work_id < w.work_id
                    AND (
                        earlier.state IN ('QUEUED', 'LEASED', 'RETRY')
                        OR (earlier.state IN ('DEAD', 'CONFLICT') AND earlier.in_doubt)
                    )
            )
        )
    ORDER BY w.priority, w.work_id
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
UPDATE flow.work_item AS w SET
    state = 'LEASED',
    attempts = w.attempts + CASE WHEN w.state = 'LEASED' THEN 0 ELSE 1 END,
    leased_until = :leased_until
FROM due
WHERE w.dossier_code = due.dossier_code AND w.work_id = due.work_id
RETURNING
    w.work_id, w.connection_code, w.stream, w.entity, w.source_id, w.record_id, w.dedup_key, w.values, w.values_hash, w.attempts, w.in_doubt,
    w.cause, w.leased_until
