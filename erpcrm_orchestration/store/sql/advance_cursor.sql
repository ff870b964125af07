-- Moves the cursors of a pass, those that still stand where the pass found them; locked in one order, so that two passes
-- wait for each other and never lock each other out.
WITH locked AS (
    SELECT moved.*
    FROM jsonb_to_recordset(CAST(:moves AS jsonb)) AS moved (
        dossier_code text, epoch bigint, overlap_s integer, max_lateness_s integer, late bigint, merged bigint, rejected bigint
    )
    JOIN flow.source_cursor AS cursor
        ON cursor.dossier_code = moved.dossier_code
        AND cursor.source_code = :source_code
        AND cursor.stream = :stream
        AND cursor.epoch = moved.epoch
    ORDER BY cursor.dossier_code
    FOR UPDATE OF cursor
)
UPDATE flow.source_cursor AS cursor SET
    watermark_at = :bound,
    overlap_s = locked.overlap_s,
    max_lateness_s = locked.max_lateness_s,
    late_arrivals = cursor.late_arrivals + locked.late,
    rows_taken = cursor.rows_taken + locked.merged,
    rows_rejected = cursor.rows_rejected + locked.rejected,
    last_success_at = :now,
    last_failure_at = NULL,
    last_failure = NULL,
    epoch = cursor.epoch + 1
FROM locked
WHERE cursor.dossier_code = locked.dossier_code
    AND cursor.source_code = :source_code
    AND cursor.stream = :stream
    AND cursor.epoch = locked.epoch
