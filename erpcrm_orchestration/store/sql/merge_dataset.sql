-- Stores the staged datasets of a stream and counts them by dossier: new ones get a number, changed ones are updated, equal
-- ones are left alone.
WITH latest AS (
    SELECT DISTINCT ON (dossier_code, source_key) *
    FROM dataset_staging
    ORDER BY dossier_code, source_key, position DESC
), fresh AS (
    SELECT
        latest.*,
        stored.dataset_number,
        CASE WHEN latest.updated_at >= :after THEN cursor.watermark_at - latest.updated_at END AS lateness
    FROM latest
    LEFT JOIN flow.hub_dataset AS stored
        ON stored.dossier_code = latest.dossier_code
        AND stored.intake = :intake
        AND stored.source_key = latest.source_key
    LEFT JOIN flow.source_cursor AS cursor
        ON cursor.dossier_code = latest.dossier_code AND cursor.source_code = :source_code AND cursor.stream = :stream
    WHERE stored.content_hash IS DISTINCT FROM latest.content_hash
), changed AS (
    UPDATE flow.hub_dataset AS stored SET
        type_code = fresh.type_code,
        category = fresh.category,
        origin = fresh.origin,
        state_number = fresh.state_number,
        state_group = fresh.state_group,
        updated_at = fresh.updated_at,
        last_error = fresh.last_error,
        content_hash = fresh.content_hash
    FROM fresh
    WHERE stored.dossier_code = fresh.dossier_code AND stored.dataset_number = fresh.dataset_number
), added AS (
    INSERT INTO flow.hub_dataset (
        dossier_code, type_code, category, origin, intake, source_key, state_number, state_group, created_at, updated_at,
        last_error, content_hash
    )
    SELECT
        dossier_code, type_code, category, origin, :intake, source_key, state_number, state_group, created_at, updated_at,
        last_error, content_hash
    FROM fresh
    WHERE dataset_number IS NULL
    ORDER BY dossier_code, source_key
    ON CONFLICT (dossier_code, intake, source_key) DO NOTHING
)
SELECT
    dossier_code,
    count(*) AS merged,
    count(*) FILTER (WHERE lateness >= interval '0') AS late,
    ceil(greatest(coalesce(extract(epoch FROM max(lateness)), 0), 0))::integer AS max_lateness_s
FROM fresh
GROUP BY dossier_code
