-- Puts the newest message before the tombstone of these records back to NEW, and lets it be the newest of its record again.
-- The hash is that of what the system sent last, so that the same text read again is no news.
WITH gone AS (
    SELECT x.system_code, x.external_id, x.message_id AS tombstone_id
    FROM hub.cross_reference AS x
    JOIN flow.inbox AS i ON i.dossier_code = x.dossier_code AND i.message_id = x.message_id AND i.deleted
    WHERE x.dossier_code = :dossier_code
        AND x.entity = :entity
        AND (CAST(:system_code AS text) IS NULL OR x.system_code = :system_code)
        AND (CAST(:source_ids AS text[]) IS NULL OR x.external_id = ANY(CAST(:source_ids AS text[])))
    FOR UPDATE OF x
), chosen AS MATERIALIZED (
    SELECT gone.system_code, gone.external_id, gone.tombstone_id, before.message_id, before.version_at, before.state,
        sent.content_hash
    FROM gone
    CROSS JOIN LATERAL (
        SELECT message_id, version_at, state
        FROM flow.inbox
        WHERE dossier_code = :dossier_code AND system_code = gone.system_code AND entity = :entity
            AND source_id = gone.external_id AND message_id < gone.tombstone_id AND NOT deleted
            AND state IN ('TRANSFORMED', 'SUPERSEDED')
        ORDER BY state = 'TRANSFORMED' DESC, message_id DESC
        LIMIT 1
    ) AS before
    CROSS JOIN LATERAL (
        SELECT content_hash
        FROM flow.inbox
        WHERE dossier_code = :dossier_code AND system_code = gone.system_code AND entity = :entity
            AND source_id = gone.external_id AND message_id <= before.message_id AND NOT deleted AND via <> 'correction'
        ORDER BY message_id DESC
        LIMIT 1
    ) AS sent
), ended AS (
    UPDATE flow.inbox AS i SET state = 'SUPERSEDED', closed_at = :now, waiting_for = NULL
    FROM chosen
    WHERE i.dossier_code = :dossier_code AND i.message_id = chosen.tombstone_id AND i.state = 'NEW'
), entered AS (
    UPDATE flow.inbox AS i
    SET state = 'NEW', closed_at = NULL, error = NULL, warning = NULL, waiting_since = NULL
    FROM chosen
    WHERE i.dossier_code = :dossier_code AND i.message_id = chosen.message_id
), pointed AS (
    UPDATE hub.cross_reference AS x
    SET message_id = chosen.message_id, content_hash = chosen.content_hash, version_at = chosen.version_at
    FROM chosen
    WHERE x.dossier_code = :dossier_code AND x.entity = :entity
        AND x.system_code = chosen.system_code AND x.external_id = chosen.external_id
)
SELECT system_code, external_id, tombstone_id, message_id, state FROM chosen ORDER BY system_code, external_id
