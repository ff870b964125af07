-- One call for every logbook line with the mobility action of its dossier. Looked at is what was recorded since the last
-- look and a while before, for lines that were committed late; the key of the line makes its call unique.
WITH looked AS (
    SELECT
        dossier.dossier_code, dossier.crm_project_code, dossier.mobility_action, dossier.mobility_target, dossier.activated_at,
        coalesce(
            cursor.watermark_at - make_interval(secs => cursor.overlap_s), greatest(dossier.updated_at, dossier.activated_at)
        ) AS since
    FROM hub.dossier AS dossier
    LEFT JOIN flow.source_cursor AS cursor
        ON cursor.dossier_code = dossier.dossier_code AND cursor.source_code = 'system' AND cursor.stream = 'mobility'
    WHERE dossier.active AND dossier.mobility_action IS NOT NULL
), issued AS (
    INSERT INTO flow.outbound_call (dossier_code, target_code, cause, idempotency_key, payload, not_before, created_at)
    SELECT
        looked.dossier_code,
        looked.mobility_target,
        'mobility',
        encode(sha256(convert_to(concat_ws(chr(31), 'mobility', line.dossier_code, line.origin, line.entry_key, extract(epoch FROM line.at)), 'UTF8')), 'hex'),
        jsonb_build_object(
            'cause', 'mobility', 'dossier_code', line.dossier_code, 'crm_project_code', looked.crm_project_code,
            'action', line.action, 'at', line.at, 'sync_id', line.sync_id, 'entry_key', line.entry_key
        ),
        :now,
        :now
    FROM looked
    JOIN flow.logbook_entry AS line
        ON line.dossier_code = looked.dossier_code
        AND line.action = looked.mobility_action
        AND line.at >= looked.activated_at
        AND line.recorded_at >= looked.since
    ORDER BY line.at, line.entry_key
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING 1
), remembered AS (
    INSERT INTO flow.source_cursor AS known (dossier_code, source_code, stream, watermark_at, overlap_s, last_success_at)
    SELECT
        dossier_code, 'system', 'mobility', :now,
        greatest(0, least(:overlap_s, ceil(extract(epoch FROM CAST(:now AS timestamptz) - since))))::integer, :now
    FROM looked
    ON CONFLICT (dossier_code, source_code, stream) DO UPDATE SET
        watermark_at = greatest(known.watermark_at, excluded.watermark_at),
        overlap_s = excluded.overlap_s,
        last_success_at = excluded.last_success_at,
        epoch = known.epoch + 1
)
SELECT count(*) FROM issued
