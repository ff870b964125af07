-- Closes what was refused after the message that stands for each of these ids: their source does not hold it any more.
WITH heads AS (
    UPDATE hub.cross_reference AS head SET refused_hash = NULL
    WHERE head.dossier_code = :dossier_code
        AND head.system_code = :system_code
        AND head.entity = :entity
        AND head.external_id = ANY(CAST(:source_ids AS text[]))
    RETURNING head.external_id, head.message_id
)
UPDATE flow.inbox AS refused SET state = 'SUPERSEDED', closed_at = :now, run_id = :run_id
FROM heads
WHERE refused.dossier_code = :dossier_code
    AND refused.system_code = :system_code
    AND refused.entity = :entity
    AND refused.source_id = heads.external_id
    AND refused.message_id > coalesce(heads.message_id, 0)
    AND refused.state = 'REJECTED'
