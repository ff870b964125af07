-- Queues changes of records. Of a record and system only the newest change is worth sending: older ones that are certain not
-- to have been carried out give way, those in doubt or on their way keep their turn. A change back to what the system was told
-- last makes the older ones give way too, and has to be told only after one that keeps its turn.
WITH wanted AS (
    SELECT *
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS w (
        dossier_code text, connection_code text, system_code text, stream text, entity text, record_id bigint, values jsonb,
        values_hash text, dedup_key text, cause text
    )
), fresh AS (
    SELECT
        wanted.*,
        EXISTS (
            SELECT FROM hub.cross_reference AS x
            WHERE x.dossier_code = wanted.dossier_code
                AND x.system_code = wanted.system_code
                AND x.entity = wanted.entity
                AND x.record_id = wanted.record_id
                AND x.sent_hash = wanted.values_hash
        ) AS is_told
    FROM wanted
    WHERE NOT EXISTS (
        SELECT FROM flow.work_item AS w
        WHERE w.dossier_code = wanted.dossier_code
            AND w.system_code = wanted.system_code
            AND w.entity = wanted.entity
            AND w.record_id = wanted.record_id
            AND (
                w.dedup_key = wanted.dedup_key
                OR (w.values_hash = wanted.values_hash AND w.state IN ('QUEUED', 'LEASED', 'RETRY'))
            )
    )
), superseded AS (
    UPDATE flow.work_item AS w SET state = 'SUPERSEDED', closed_at = :now
    FROM fresh
    WHERE w.dossier_code = fresh.dossier_code
        AND w.system_code = fresh.system_code
        AND w.entity = fresh.entity
        AND w.record_id = fresh.record_id
        AND w.event = 'outbound'
        AND w.state IN ('QUEUED', 'RETRY', 'DEAD')
        AND NOT w.in_doubt
), queued AS (
    INSERT INTO flow.work_item (
        dossier_code, connection_code, system_code, event, stream, entity, record_id, dedup_key, priority, values, values_hash,
        not_before, created_at, cause
    )
    SELECT
        dossier_code, connection_code, system_code, 'outbound', stream, entity, record_id, dedup_key, 0, values, values_hash,
        :now, :now, cause
    FROM fresh
    WHERE NOT fresh.is_told
        OR EXISTS (
            SELECT FROM flow.work_item AS w
            WHERE w.dossier_code = fresh.dossier_code
                AND w.system_code = fresh.system_code
                AND w.entity = fresh.entity
                AND w.record_id = fresh.record_id
                AND w.event = 'outbound'
                AND (w.state = 'LEASED' OR (w.in_doubt AND w.state IN ('QUEUED', 'RETRY', 'DEAD')))
        )
    ORDER BY record_id, dedup_key
    RETURNING work_id
)
SELECT count(*) FROM queued
