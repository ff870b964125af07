-- The newest integrated message of every record of an entity, after a message: what the tables were made from. It is the newest
-- of its record, unless a condition of the mapping left out those that came after it.
SELECT i.message_id, i.stream, i.source_id, i.version_at, i.deleted, i.payload, x.record_id
FROM flow.inbox AS i
CROSS JOIN LATERAL (
    SELECT head.record_id, head.message_id AS newest_id
    FROM hub.cross_reference AS head
    WHERE head.dossier_code = i.dossier_code
        AND head.system_code = i.system_code
        AND head.entity = i.entity
        AND head.external_id = i.source_id
    OFFSET 0
) AS x
WHERE i.dossier_code = :dossier_code
    AND i.system_code = :system_code
    AND i.entity = :entity
    AND i.message_id > :after
    AND i.state = 'TRANSFORMED'
    AND (
        x.newest_id = i.message_id
        OR (
            EXISTS (
                SELECT FROM flow.inbox AS newest
                WHERE newest.dossier_code = i.dossier_code AND newest.message_id = x.newest_id AND newest.state = 'IGNORED'
            )
            AND NOT EXISTS (
                SELECT FROM flow.inbox AS later
                WHERE later.dossier_code = i.dossier_code
                    AND later.system_code = i.system_code
                    AND later.entity = i.entity
                    AND later.source_id = i.source_id
                    AND later.message_id > i.message_id
                    AND later.state = 'TRANSFORMED'
            )
        )
    )
ORDER BY i.message_id
LIMIT :limit
