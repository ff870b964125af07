-- Puts refused, given up and waiting messages back to NEW: only the newest of each key, so that no older one overtakes it.
WITH chosen AS (
    SELECT i.message_id, i.state
    FROM flow.inbox AS i
    JOIN hub.cross_reference AS head
        ON head.dossier_code = i.dossier_code
        AND head.system_code = i.system_code
        AND head.entity = i.entity
        AND head.external_id = i.source_id
        AND head.message_id = i.message_id
    WHERE i.dossier_code = :dossier_code
        AND i.state = ANY(CAST(:states AS text[]))
        AND (CAST(:ids AS bigint[]) IS NULL OR i.message_id = ANY(CAST(:ids AS bigint[])))
        AND (CAST(:entity AS text) IS NULL OR i.entity = :entity)
    FOR UPDATE OF head, i
), entered AS (
    UPDATE flow.inbox AS i
    SET state = 'NEW', waiting_for = NULL, waiting_since = NULL, error = NULL, warning = NULL, closed_at = NULL
    FROM chosen
    WHERE i.dossier_code = :dossier_code AND i.message_id = chosen.message_id
)
SELECT message_id, state FROM chosen ORDER BY message_id
