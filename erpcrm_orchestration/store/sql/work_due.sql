-- Active dossiers whose inbox has new messages, whose waiting messages expire, or that have due work items.
SELECT d.dossier_code
FROM hub.dossier AS d
WHERE d.active
    AND (
        EXISTS (
            SELECT FROM flow.inbox AS i
            LEFT JOIN flow.source_cursor AS c
                ON c.dossier_code = i.dossier_code
                AND c.source_code = 'connection:' || i.connection_code
                AND c.stream = i.stream
            WHERE i.dossier_code = d.dossier_code AND i.state = 'NEW' AND c.stopped_at IS NULL
        )
        OR EXISTS (
            SELECT FROM flow.inbox AS i
            WHERE i.dossier_code = d.dossier_code
                AND i.state = 'WAITING'
                AND i.waiting_since < CAST(:now AS timestamptz) - interval '24 hours'
        )
        OR EXISTS (
            SELECT FROM flow.work_item AS w
            WHERE w.dossier_code = d.dossier_code
                AND w.state IN ('QUEUED', 'LEASED', 'RETRY')
                AND (w.not_before <= :now OR w.not_before = w.created_at)
                AND (
                    w.state <> 'LEASED'
                    OR w.leased_until < :now
                    OR w.leased_until > CAST(:now AS timestamptz) + interval '1 hour'
                )
                AND w.connection_code <> ALL (CAST(:left_alone AS text[]))
                AND NOT EXISTS (
                    SELECT FROM flow.field_conflict AS c
                    WHERE c.dossier_code = w.dossier_code
                        AND c.system_code = w.system_code
                        AND c.entity = w.entity
                        AND c.record_id = w.record_id
                        AND c.closed_at IS NULL
                )
        )
    )
ORDER BY d.dossier_code
