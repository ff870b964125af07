-- The newest integrated message of every record of an entity, after a message: what the tables were made from.
SELECT i.message_id, i.stream, i.source_id, i.version_at, i.deleted, i.payload, x.record_id
FROM flow.inbox AS i
CROSS JOIN LATERAL (
    SELECT head.record_id
    FROM hub.cross_reference AS head
    WHERE head.dossier_code = i.dossier_code
        AND head.system_code = i.system_code
        AND head.entity = i.entity
        AND head.external_id = i.source_id
        AND head.message_id = i.message_id
    OFFSET 0
) AS x
WHERE i.dossier_code = :dossier_code
    AND i.system_code = :system_code
    AND i.entity = :entity
    AND i.message_id > :after
    AND i.state = 'TRANSFORMED'
ORDER BY i.message_id
LIMIT :limit
