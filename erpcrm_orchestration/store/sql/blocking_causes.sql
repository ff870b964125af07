-- What messages wait for or were given up for, with how many records it blocks: those that wait for a record that waits
-- count as well, so that what is at the root comes first.
WITH RECURSIVE held AS MATERIALIZED (
    SELECT dossier_code, system_code, entity, message_id, state, waiting_since, entity || ' ' || source_id AS name,
        coalesce(waiting_for, substring(error FROM '^E-[A-Z]+-[0-9]+ missing (.*)$')) AS cause
    FROM flow.inbox
    WHERE (CAST(:dossier_code AS text) IS NULL OR dossier_code = :dossier_code)
        AND (state = 'WAITING' OR (state = 'DEAD' AND error ~ '^E-[A-Z]+-[0-9]+ missing '))
), blocked AS (
    SELECT dossier_code, system_code, cause, message_id, name, entity, state, waiting_since FROM held
    UNION
    SELECT b.dossier_code, b.system_code, b.cause, h.message_id, h.name, h.entity, h.state, h.waiting_since
    FROM blocked AS b
    JOIN held AS h ON h.dossier_code = b.dossier_code AND h.system_code = b.system_code AND h.cause = b.name
), counted AS (
    SELECT dossier_code, system_code, cause,
        count(*) AS blocks,
        count(*) FILTER (WHERE state = 'DEAD') AS given_up,
        min(waiting_since) AS since,
        string_agg(DISTINCT entity, ', ' ORDER BY entity) AS entities
    FROM blocked
    GROUP BY dossier_code, system_code, cause
)
SELECT counted.*, refused.message_id, refused.state, refused.error
FROM counted
LEFT JOIN LATERAL (
    SELECT i.message_id, i.state, i.error
    FROM flow.inbox AS i
    WHERE i.dossier_code = counted.dossier_code
        AND i.system_code = counted.system_code
        AND i.entity = split_part(counted.cause, ' ', 1)
        AND i.source_id = substr(counted.cause, length(split_part(counted.cause, ' ', 1)) + 2)
        AND i.state IN ('REJECTED', 'DEAD')
    ORDER BY i.message_id DESC
    LIMIT 1
) AS refused ON true
WHERE (counted.dossier_code, counted.system_code, counted.cause) NOT IN (SELECT dossier_code, system_code, name FROM held)
ORDER BY counted.blocks DESC, counted.since, counted.cause
