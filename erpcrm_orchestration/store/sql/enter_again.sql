-- Puts refused, given up and waiting messages back to NEW: only the newest of each key, so that no older one overtakes it.
-- OFFSET 0 keeps the lookups ones by their whole keys, whatever the statistics say.
WITH chosen AS MATERIALIZED (
    SELECT i.message_id, i.state
    FROM flow.inbox AS i
    CROSS JOIN LATERAL (
        SELECT head.message_id
        FROM hub.cross_reference AS head
        WHERE head.dossier_code = i.dossier_code
            AND head.system_code = i.system_code
            AND head.entity = i.entity
            AND head.external_id = i.source_id
        OFFSET 0
    ) AS newest
    WHERE i.dossier_code = :dossier_code
        AND i.state = ANY(CAST(:states AS text[]))
        AND (CAST(:ids AS bigint[]) IS NULL OR i.message_id = ANY(CAST(:ids AS bigint[])))
        AND (CAST(:entity AS text) IS NULL OR i.entity = :entity)
        AND newest.message_id = i.message_id
    FOR UPDATE OF i
), entered AS (
    UPDATE flow.inbox AS i
    SET state = 'NEW', waiting_for = NULL, waiting_since = NULL, error = NULL, warning = NULL, closed_at = NULL,
        attempts = i.attempts + 1
    WHERE i.dossier_code = :dossier_code AND i.message_id = ANY(ARRAY(SELECT message_id FROM chosen))
)
SELECT message_id, state FROM chosen ORDER BY message_id
