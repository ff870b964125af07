-- Locks the oldest new messages of an entity, with our id of their records. A newer version that comes in meanwhile waits
-- for the end of this transaction and then supersedes.
SELECT i.message_id, i.stream, i.source_id, i.version_at, i.deleted, i.payload, x.record_id
FROM flow.inbox AS i
JOIN hub.cross_reference AS x
    ON x.dossier_code = i.dossier_code
    AND x.system_code = i.system_code
    AND x.entity = i.entity
    AND x.external_id = i.source_id
WHERE i.dossier_code = :dossier_code AND i.system_code = :system_code AND i.entity = :entity AND i.state = 'NEW'
ORDER BY i.message_id
LIMIT :limit
FOR UPDATE OF i
