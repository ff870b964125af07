-- How a system stands to these records of ours: what it was last told, what it last told us, and the newest change for it.
SELECT
    r.record_id, x.external_id, x.sent_hash, i.payload, work.state AS work_state, work.values_hash AS work_hash,
    coalesce(work.in_doubt, false) AS in_doubt,
    EXISTS (
        SELECT FROM flow.field_conflict AS c
        WHERE c.dossier_code = :dossier_code AND c.system_code = :system_code AND c.entity = :entity
            AND c.record_id = r.record_id AND c.closed_at IS NULL
    ) AS in_conflict
FROM unnest(CAST(:record_ids AS bigint[])) AS r (record_id)
LEFT JOIN LATERAL (
    SELECT * FROM hub.cross_reference
    WHERE dossier_code = :dossier_code AND system_code = :system_code AND entity = :entity AND record_id = r.record_id
    OFFSET 0
) AS x ON true
LEFT JOIN flow.inbox AS i
    ON i.dossier_code = x.dossier_code AND i.message_id = x.message_id AND i.state = 'TRANSFORMED' AND NOT i.deleted
LEFT JOIN LATERAL (
    SELECT state, values_hash, in_doubt
    FROM flow.work_item
    WHERE dossier_code = :dossier_code AND system_code = :system_code AND entity = :entity AND record_id = r.record_id
        AND event = 'outbound'
    ORDER BY work_id DESC
    LIMIT 1
) AS work ON true
