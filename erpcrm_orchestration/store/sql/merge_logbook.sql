-- Stores the staged lines of a stream and counts them by dossier. A line that was stored at the other reading of an hour
-- that comes twice in autumn stays where it is. Late: new, although a pass had already gone beyond its instant.
WITH latest AS (
    SELECT DISTINCT ON (dossier_code, entry_key, at) *
    FROM logbook_staging
    ORDER BY dossier_code, entry_key, at, position DESC
), fresh AS (
    SELECT
        latest.*,
        CASE WHEN stored.at IS NULL AND latest.at >= :after THEN cursor.watermark_at - latest.at END AS lateness
    FROM latest
    LEFT JOIN flow.logbook_entry AS stored
        ON stored.dossier_code = latest.dossier_code
        AND stored.origin = :origin
        AND stored.entry_key = latest.entry_key
        AND stored.at = latest.at
    LEFT JOIN flow.logbook_entry AS other
        ON other.dossier_code = latest.dossier_code
        AND other.origin = :origin
        AND other.entry_key = latest.entry_key
        AND other.at = latest.other_at
    LEFT JOIN flow.source_cursor AS cursor
        ON cursor.dossier_code = latest.dossier_code AND cursor.source_code = :source_code AND cursor.stream = :stream
    WHERE other.at IS NULL
        AND (
            stored.at IS NULL
            OR (stored.sync_id, stored.program, stored.action, stored.outcome, stored.reject_count, stored.message)
                IS DISTINCT FROM (latest.sync_id, latest.program, latest.action, latest.outcome, latest.reject_count, latest.message)
        )
), merged AS (
    INSERT INTO flow.logbook_entry (
        dossier_code, at, origin, entry_key, sync_id, program, action, outcome, reject_count, message, run_id, recorded_at
    )
    SELECT
        dossier_code, at, :origin, entry_key, sync_id, program, action, outcome, reject_count, message, :run_id, :now
    FROM fresh
    ORDER BY dossier_code, entry_key, at
    ON CONFLICT (dossier_code, at, origin, entry_key) DO UPDATE SET
        sync_id = excluded.sync_id,
        program = excluded.program,
        action = excluded.action,
        outcome = excluded.outcome,
        reject_count = excluded.reject_count,
        message = excluded.message,
        run_id = excluded.run_id
)
SELECT
    dossier_code,
    count(*) AS merged,
    count(*) FILTER (WHERE lateness >= interval '0') AS late,
    ceil(greatest(coalesce(extract(epoch FROM max(lateness)), 0), 0))::integer AS max_lateness_s
FROM fresh
GROUP BY dossier_code
