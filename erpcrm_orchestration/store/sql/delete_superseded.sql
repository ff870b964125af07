-- Messages that were closed long ago and that a newer integrated one of their record took the place of, some at a time in the
-- order of their keys. What the rows stem from has none, not even where the record was deleted since; open and refused ones are
-- never among them. What a person corrected, relaunched or decided stays as its proof.
WITH proof AS (
    SELECT dossier_code, message_id FROM audit.correction
    UNION ALL
    SELECT dossier_code, corrected_message_id FROM audit.correction WHERE corrected_message_id IS NOT NULL
), old AS (
    SELECT i.dossier_code, i.message_id
    FROM flow.inbox AS i
    WHERE (i.dossier_code, i.message_id) > (:dossier_code, :message_id)
        AND i.state IN ('TRANSFORMED', 'SUPERSEDED', 'IGNORED')
        AND i.closed_at < :oldest
        AND (i.dossier_code, i.message_id) NOT IN (SELECT dossier_code, message_id FROM proof)
        AND EXISTS (
            SELECT FROM flow.inbox AS newer
            WHERE newer.dossier_code = i.dossier_code
                AND newer.system_code = i.system_code
                AND newer.entity = i.entity
                AND newer.source_id = i.source_id
                AND newer.message_id > i.message_id
                AND NOT newer.deleted
                AND (newer.state = 'TRANSFORMED' OR (newer.state = 'IGNORED' AND i.state <> 'TRANSFORMED'))
        )
    ORDER BY i.dossier_code, i.message_id
    LIMIT :limit
), gone AS (
    DELETE FROM flow.inbox AS i
    USING old
    WHERE i.dossier_code = old.dossier_code AND i.message_id = old.message_id
    RETURNING i.dossier_code, i.message_id
)
SELECT count(*) OVER () AS deleted, dossier_code, message_id
FROM gone
ORDER BY dossier_code DESC, message_id DESC
LIMIT 1
