-- Locks the oldest new messages of an entity, with our id of their records. A newer version that comes in meanwhile waits
-- for the end of this transaction and then supersedes. OFFSET 0 keeps the lookup one by its whole key, whatever the
-- statistics say of a table that was empty a moment ago.
SELECT i.message_id, i.stream, i.source_id, i.version_at, i.deleted, i.payload, x.record_id
FROM flow.inbox AS i
CROSS JOIN LATERAL (
    SELECT head.record_id
    FROM hub.cross_reference AS head
    WHERE head.dossier_code = i.dossier_code
        AND head.system_code = i.system_code
        AND head.entity = i.entity
        AND head.external_id = i.source_id
    OFFSET 0
) AS x
WHERE i.dossier_code = :dossier_code AND i.system_code = :system_code AND i.entity = :entity AND i.state = 'NEW'
ORDER BY i.message_id
LIMIT :limit
FOR UPDATE OF i
