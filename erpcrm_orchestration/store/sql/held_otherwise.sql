-- Of these records the payloads that our rows were made from, where the system now holds another text.
SELECT x.external_id AS source_id, x.content_hash, i.payload
FROM hub.cross_reference AS x
JOIN flow.inbox AS i
    ON i.dossier_code = x.dossier_code
    AND i.message_id = x.message_id
    AND i.state = 'TRANSFORMED'
    AND i.via <> 'correction'
    AND NOT i.deleted
JOIN unnest(CAST(:source_ids AS text[]), CAST(:hashes AS text[])) AS theirs (source_id, content_hash)
    ON theirs.source_id = x.external_id
WHERE x.dossier_code = :dossier_code
    AND x.system_code = :system_code
    AND x.entity = :entity
    AND x.content_hash <> theirs.content_hash
