-- Stores the staged datasets of one stream: new ones get a number, changed ones are updated, equal ones are left alone.
WITH latest AS (
    SELECT DISTINCT ON (source_key) *
    FROM dataset_staging
    ORDER BY source_key, position DESC
), fresh AS (
    SELECT latest.*, stored.dataset_number IS NULL AS is_new
    FROM latest
    LEFT JOIN flow.hub_dataset AS stored
        ON stored.dossier_code = :dossier_code
        AND stored.intake = :intake
        AND stored.source_key = latest.source_key
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
    WHERE NOT fresh.is_new
        AND stored.dossier_code = :dossier_code
        AND stored.intake = :intake
        AND stored.source_key = fresh.source_key
    RETURNING 1
), added AS (
    INSERT INTO flow.hub_dataset (
        dossier_code, type_code, category, origin, intake, source_key, state_number, state_group, created_at, updated_at,
        last_error, content_hash
    )
    SELECT
        :dossier_code, type_code, category, origin, :intake, source_key, state_number, state_group, created_at, updated_at,
        last_error, content_hash
    FROM fresh
    WHERE is_new
    ORDER BY source_key
    ON CONFLICT (dossier_code, intake, source_key) DO NOTHING
    RETURNING 1
), late AS (
    SELECT CAST(:watermark_at AS timestamptz) - updated_at AS lateness
    FROM fresh
    WHERE updated_at <= CAST(:watermark_at AS timestamptz)
        AND updated_at >= CAST(:after AS timestamptz)
)
SELECT
    (SELECT count(*) FROM changed) + (SELECT count(*) FROM added) AS merged,
    (SELECT count(*) FROM late) AS late,
    (SELECT coalesce(ceil(extract(epoch FROM max(lateness))), 0)::integer FROM late) AS max_lateness_s
