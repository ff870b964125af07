-- Everything that is known of one record, by the ids that the systems give it: one row for each thing that happened.
WITH keys AS (
    SELECT * FROM unnest(CAST(:systems AS text[]), CAST(:source_ids AS text[])) AS k (system_code, source_id)
), messages AS (
    SELECT i.*
    FROM flow.inbox AS i
    JOIN keys USING (system_code, source_id)
    WHERE i.dossier_code = :dossier_code AND i.entity = :entity
), items AS (
    SELECT w.*
    FROM flow.work_item AS w
    WHERE w.dossier_code = :dossier_code
        AND w.entity = :entity
        AND (w.record_id = :record_id OR (w.system_code, w.source_id) IN (SELECT system_code, source_id FROM keys))
)
SELECT received_at AS at, system_code, 'received' AS event, 'message ' || message_id AS subject,
    concat_ws(', ', stream || ' ' || source_id, 'by ' || via, 'version ' || to_char(version_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        CASE WHEN deleted THEN 'deleted there' END, 'corrects message ' || corrects) AS detail,
    CASE WHEN via = 'correction' OR state IN ('SUPERSEDED', 'REJECTED') THEN run_id END AS run_id, 1 AS place, message_id AS number
FROM messages
UNION ALL
SELECT waiting_since, system_code, 'waits', 'message ' || message_id,
    coalesce('for ' || waiting_for, 'is over'), NULL, 2, message_id
FROM messages WHERE waiting_since IS NOT NULL
UNION ALL
SELECT closed_at, system_code, lower(state), 'message ' || message_id, concat_ws(', ', error, warning), run_id, 4, message_id
FROM messages WHERE closed_at IS NOT NULL
UNION ALL
SELECT c.at, NULL, c.action, 'message ' || c.message_id,
    concat_ws(', ', 'by ' || c.actor || ': ' || c.reason, 'now message ' || c.corrected_message_id,
        (SELECT string_agg(concat_ws(' ', d ->> 'path', coalesce(d ->> 'before', 'nothing'), '->', coalesce(d ->> 'after', 'nothing')), ', ')
         FROM jsonb_array_elements(c.difference) AS d)),
    NULL, 3, c.correction_id
FROM audit.correction AS c
WHERE c.dossier_code = :dossier_code AND c.message_id IN (SELECT message_id FROM messages)
UNION ALL
SELECT created_at, system_code, CASE event WHEN 'outbound' THEN 'to be sent' ELSE 'to be fetched' END, 'work ' || work_id,
    concat_ws(', ', stream, cause, CASE WHEN urgent THEN 'urgent' END), NULL, 5, work_id
FROM items
UNION ALL
SELECT coalesce(closed_at, greatest(leased_until, not_before)), system_code,
    CASE WHEN closed_at IS NULL THEN 'is due' ELSE lower(state) END, 'work ' || work_id,
    concat_ws(', ', attempts || ' attempts', CASE WHEN in_doubt THEN 'the outcome of one is unknown' END, last_error), run_id, 6, work_id
FROM items
UNION ALL
SELECT sent_at, system_code, 'sent', entity || ' ' || external_id, '', NULL, 7, record_id
FROM hub.cross_reference
WHERE dossier_code = :dossier_code AND entity = :entity AND record_id = :record_id AND sent_at IS NOT NULL
UNION ALL
SELECT opened_at, system_code, 'conflict', 'field ' || field,
    concat_ws(', ', 'ours ' || our_value, 'theirs ' || their_value, 'before ' || base_value), NULL, 8, conflict_id
FROM flow.field_conflict
WHERE dossier_code = :dossier_code AND entity = :entity AND record_id = :record_id
UNION ALL
SELECT closed_at, system_code, 'decided', 'field ' || field, coalesce(resolution, ''), NULL, 9, conflict_id
FROM flow.field_conflict
WHERE dossier_code = :dossier_code AND entity = :entity AND record_id = :record_id AND closed_at IS NOT NULL
UNION ALL
SELECT DISTINCT l.at, m.system_code, 'logbook', l.outcome, l.message, l.run_id, 10, 0::bigint
FROM messages AS m
JOIN flow.logbook_entry AS l
    ON l.dossier_code = :dossier_code
    AND l.at BETWEEN m.received_at AND coalesce(m.closed_at, 'infinity')
    AND l.origin = 'connection:' || m.connection_code
    AND (l.entry_key = m.message_id::text OR (l.entry_key = m.stream || '-' || m.run_id AND l.at = m.closed_at))
ORDER BY at, place, number
