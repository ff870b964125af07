-- Compares what the system showed (reconciled_staging) with what we hold of it (the cross-reference, with the records that
-- are not deleted in reconciled_live). What came after the reading began is not judged, nor what was
-- created there a moment before: it has not been read back yet.
WITH theirs AS (
    SELECT DISTINCT ON (source_id) source_id, content_hash, fault
    FROM pg_temp.reconciled_staging
    ORDER BY source_id, version_at DESC NULLS LAST, position DESC
), ours AS (
    SELECT
        x.external_id AS source_id, x.record_id, x.content_hash, x.refused_hash, x.message_id, i.state, i.via, i.waiting_for,
        live.record_id IS NOT NULL AS live,
        EXISTS (
            SELECT FROM hub.cross_reference AS other
            WHERE other.dossier_code = x.dossier_code AND other.entity = x.entity AND other.record_id = x.record_id
                AND other.system_code <> x.system_code AND other.content_hash = 'deleted'
        ) AS deleted_elsewhere,
        coalesce(
            i.received_at >= :started OR x.sent_at >= :started OR (x.content_hash IS NULL AND x.sent_at >= :sent_before), false
        ) AS moving
    FROM hub.cross_reference AS x
    LEFT JOIN flow.inbox AS i ON i.dossier_code = x.dossier_code AND i.message_id = x.message_id
    LEFT JOIN pg_temp.reconciled_live AS live ON live.record_id = x.record_id
    WHERE x.dossier_code = :dossier_code
        AND x.system_code = :system_code
        AND x.entity = :entity
        AND (i.stream IS NULL OR i.stream = :stream)
), judged AS (
    SELECT
        coalesce(theirs.source_id, ours.source_id) AS source_id,
        theirs.source_id IS NOT NULL AS is_theirs,
        coalesce(ours.live, false) AS is_ours,
        theirs.content_hash AS their_content,
        ours.content_hash AS our_content,
        ours.record_id,
        ours.message_id,
        CASE
            WHEN ours.moving THEN 'equal'
            WHEN theirs.source_id IS NULL AND ours.live THEN 'only_here'
            WHEN theirs.source_id IS NULL THEN 'nothing'
            WHEN NOT coalesce(ours.live, false) AND theirs.fault IS NULL AND ours.state = 'IGNORED'
                AND ours.content_hash = theirs.content_hash THEN 'ignored'
            WHEN NOT coalesce(ours.live, false) AND ours.deleted_elsewhere THEN 'ignored'
            WHEN NOT coalesce(ours.live, false) THEN 'only_there'
            WHEN theirs.fault IS NOT NULL OR ours.content_hash IS DISTINCT FROM theirs.content_hash THEN 'different'
            WHEN ours.state IN ('NEW', 'WAITING', 'REJECTED', 'DEAD') THEN 'different'
            WHEN ours.via = 'correction' THEN 'corrected'
            ELSE 'equal'
        END AS kind,
        CASE
            WHEN theirs.source_id IS NULL THEN 'gone there'
            WHEN theirs.fault IS NOT NULL THEN 'unreadable: ' || theirs.fault
            WHEN ours.content_hash = 'deleted' THEN 'deleted here'
            WHEN ours.content_hash IS NULL AND ours.refused_hash IS NOT NULL THEN 'received and rejected'
            WHEN ours.content_hash IS NULL THEN 'never received'
            WHEN ours.content_hash <> theirs.content_hash THEN 'other content'
            WHEN ours.state = 'TRANSFORMED' THEN 'its row is missing here'
            WHEN ours.state = 'WAITING' THEN 'received and waits for ' || ours.waiting_for
            WHEN ours.state = 'NEW' THEN 'received and not yet integrated'
            ELSE 'received and ' || coalesce(lower(ours.state), 'no longer kept')
        END AS reason
    FROM theirs
    FULL JOIN ours ON ours.source_id = theirs.source_id
), kept AS (
    INSERT INTO pg_temp.reconciled_difference (kind, source_id, reason, record_id, message_id)
    SELECT kind, source_id, reason, record_id, message_id
    FROM judged
    WHERE kind IN ('only_there', 'only_here', 'different')
)
SELECT
    count(*) FILTER (WHERE is_theirs) AS theirs,
    count(*) FILTER (WHERE is_ours) AS ours,
    count(*) FILTER (WHERE kind = 'equal') AS equal,
    count(*) FILTER (WHERE kind = 'corrected') AS corrected,
    count(*) FILTER (WHERE kind = 'ignored') AS ignored,
    count(*) FILTER (WHERE kind = 'only_there') AS only_there,
    count(*) FILTER (WHERE kind = 'only_here') AS only_here,
    count(*) FILTER (WHERE kind = 'different') AS different,
    lpad(to_hex(coalesce(bit_xor(hashtextextended(source_id || ' ' || their_content, 0)) FILTER (
        WHERE is_theirs AND kind <> 'ignored'), 0)), 16, '0') AS their_hash,
    lpad(to_hex(coalesce(bit_xor(hashtextextended(source_id || ' ' || our_content, 0)) FILTER (
        WHERE is_ours AND kind <> 'ignored'), 0)), 16, '0') AS our_hash
FROM judged
