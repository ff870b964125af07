-- Lets the messages go on that these records held up: what waits for one of them, and what was refused for a circle of its tree
-- that one of them does not close any more.
WITH woken AS (
    UPDATE flow.inbox SET state = 'NEW', waiting_for = NULL
    WHERE dossier_code = :dossier_code
        AND system_code = :system_code
        AND state = 'WAITING'
        AND waiting_for = ANY(CAST(:causes AS text[]))
    RETURNING message_id
), mended AS (
    UPDATE flow.inbox AS refused SET state = 'NEW', error = NULL, closed_at = NULL, waiting_since = NULL
    WHERE refused.dossier_code = :dossier_code
        AND refused.system_code = :system_code
        AND refused.entity = :entity
        AND refused.state = 'REJECTED'
        AND refused.error LIKE 'E-INT-003 %'
        AND string_to_array(substring(refused.error FROM 'cycle (.*); correct it at the source'), ' > ')
            && CAST(:source_ids AS text[])
        AND refused.message_id = (
            SELECT head.message_id
            FROM hub.cross_reference AS head
            WHERE head.dossier_code = refused.dossier_code
                AND head.system_code = refused.system_code
                AND head.entity = refused.entity
                AND head.external_id = refused.source_id
        )
    RETURNING message_id
)
SELECT (SELECT count(*) FROM woken) + (SELECT count(*) FROM mended)
