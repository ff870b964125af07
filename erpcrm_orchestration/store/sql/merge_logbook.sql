-- Stores the staged lines of one stream. A line that was stored at the other reading of an hour that comes twice in
-- autumn stays where it is. Late: new, and older than the watermark although a pass had already gone beyond it.
WITH latest AS (
    SELECT DISTINCT ON (entry_key, at) *
    FROM logbook_staging
    ORDER BY entry_key, at, position DESC
), fresh AS (
    SELECT latest.*, stored.at IS NULL AS is_new
    FROM latest
    LEFT JOIN flow.logbook_entry AS stored
        ON stored.dossier_code = :dossier_code
        AND stored.origin = :origin
        AND stored.entry_key = latest.entry_key
        AND stored.at = latest.at
    LEFT JOIN flow.logbook_entry AS other
        ON other.dossier_code = :dossier_code
        AND other.origin = :origin
        AND other.entry_key = latest.entry_key
        AND other.at = latest.other_at
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
        :dossier_code, at, :origin, entry_key, sync_id, program, action, outcome, reject_count, message, :run_id, :now
    FROM fresh
    ORDER BY entry_key, at
    ON CONFLICT (dossier_code, at, origin, entry_key) DO UPDATE SET
        sync_id = excluded.sync_id,
        program = excluded.program,
        action = excluded.action,
        outcome = excluded.outcome,
        reject_count = excluded.reject_count,
        message = excluded.message,
        run_id = excluded.run_id
    RETURNING 1
), late AS (
    SELECT CAST(:watermark_at AS timestamptz) - at AS lateness
    FROM fresh
    WHERE is_new
        AND at <= CAST(:watermark_at AS timestamptz)
        AND at >= CAST(:after AS timestamptz)
)
SELECT
    (SELECT count(*) FROM merged) AS merged,
    (SELECT count(*) FROM late) AS late,
    (SELECT coalesce(ceil(extract(epoch FROM max(lateness))), 0)::integer FROM late) AS max_lateness_s
