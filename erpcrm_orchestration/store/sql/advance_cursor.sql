-- Moves the cursors of a pass, those that still stand where the pass found them; locked in one order, so that two passes
-- wait for each other and never lock each other out.
WITH moved AS (
    SELECT *
    FROM jsonb_to_recordset(CAST(:moves AS jsonb)) AS m (
        dossier_code text, epoch bigint, overlap_s integer, max_lateness_s integer, late bigint, merged bigint, rejected bigint
    )
), locked AS (
    SELECT cursor.dossier_code
    FROM flow.source_cursor AS cursor
    JOIN moved ON moved.dossier_code = cursor.dossier_code AND moved.epoch = cursor.epoch
    WHERE cursor.source_code = :source_code AND cursor.stream = :stream
    ORDER BY cursor.dossier_code
    FOR UPDATE OF cursor
)
UPDATE flow.source_cursor AS cursor SET
    watermark_at = :bound,
    overlap_s = moved.overlap_s,
    max_lateness_s = moved.max_lateness_s,
    late_arrivals = cursor.late_arrivals + moved.late,
    rows_taken = cursor.rows_taken + moved.merged,
    rows_rejected = cursor.rows_rejected + moved.rejected,
    last_success_at = :now,
    last_failure_at = NULL,
    last_failure = NULL,
    epoch = cursor.epoch + 1
FROM moved
JOIN locked ON locked.dossier_code = moved.dossier_code
WHERE cursor.dossier_code = moved.dossier_code
    AND cursor.source_code = :source_code
    AND cursor.stream = :stream
    AND cursor.epoch = moved.epoch
