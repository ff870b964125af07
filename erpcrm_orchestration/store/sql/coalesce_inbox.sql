-- Of these records only the newest message is worth working on: older ones that are open or refused give way to it.
UPDATE flow.inbox AS older SET state = 'SUPERSEDED', closed_at = :now, waiting_for = NULL, run_id = :run_id
FROM unnest(CAST(:source_ids AS text[])) AS renewed (source_id)
CROSS JOIN LATERAL (
    SELECT message_id FROM hub.cross_reference
    WHERE dossier_code = :dossier_code AND system_code = :system_code AND entity = :entity AND external_id = renewed.source_id
    OFFSET 0
) AS head
WHERE older.dossier_code = :dossier_code
    AND older.system_code = :system_code
    AND older.entity = :entity
    AND older.source_id = renewed.source_id
    AND older.message_id < head.message_id
    AND older.state IN ('NEW', 'WAITING', 'REJECTED', 'DEAD')
