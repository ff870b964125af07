-- A message with the newest of its key that counts, and the newest that was received well.
SELECT
    i.message_id, i.connection_code, i.system_code, i.stream, i.entity, i.source_id, i.version_at, i.content_hash, i.deleted,
    i.payload, i.state, i.waiting_for, i.error, i.warning,
    greatest(newest.message_id, head.message_id, 0) AS newest_id, head.message_id AS head_id, head.record_id, i.attempts
FROM flow.inbox AS i
JOIN hub.cross_reference AS head
    ON head.dossier_code = i.dossier_code
    AND head.system_code = i.system_code
    AND head.entity = i.entity
    AND head.external_id = i.source_id
CROSS JOIN LATERAL (
    SELECT max(k.message_id) AS message_id
    FROM flow.inbox AS k
    WHERE k.dossier_code = i.dossier_code
        AND k.system_code = i.system_code
        AND k.entity = i.entity
        AND k.source_id = i.source_id
        AND k.state <> 'SUPERSEDED'
) AS newest
WHERE i.dossier_code = :dossier_code AND i.message_id = :message_id
FOR UPDATE OF head, i
