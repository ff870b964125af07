-- Gives up messages that waited too long for what is missing. What waits for a delivery of ours waits as long as that one is in
-- doubt, and is let go when it is not any more: it was decided without waking them, or nothing is delivered there now.
WITH freed AS (
    UPDATE flow.inbox AS held SET state = 'NEW', waiting_for = NULL
    WHERE held.dossier_code = :dossier_code
        AND held.state = 'WAITING'
        AND held.waiting_for LIKE 'delivery %'
        AND NOT EXISTS (
            SELECT FROM flow.work_item AS w
            WHERE w.dossier_code = held.dossier_code
                AND w.system_code = held.system_code
                AND held.waiting_for = 'delivery ' || w.entity
                AND w.event = 'outbound'
                AND w.in_doubt
                AND w.state IN ('QUEUED', 'LEASED', 'RETRY')
                AND w.connection_code = ANY(CAST(:delivering AS text[]))
        )
    RETURNING held.message_id
)
UPDATE flow.inbox SET
    state = 'DEAD', error = 'E-INT-002 missing ' || waiting_for, waiting_for = NULL, closed_at = :now
WHERE dossier_code = :dossier_code
    AND state = 'WAITING'
    AND waiting_since < :before
    AND waiting_for NOT LIKE 'delivery %'
RETURNING message_id, connection_code, error
