-- Records the staged inter-company tasks, each once.
WITH latest AS (
    SELECT DISTINCT ON (task_key) *
    FROM task_staging
    ORDER BY task_key, position DESC
), added AS (
    INSERT INTO flow.inter_company_task (dossier_code, intake, task_key, recorded_at, at, kind, target_code, payload)
    SELECT :dossier_code, :intake, task_key, :now, at, kind, :target_code, payload
    FROM latest
    ORDER BY task_key
    ON CONFLICT (dossier_code, intake, task_key) DO NOTHING
    RETURNING at
), late AS (
    SELECT CAST(:watermark_at AS timestamptz) - at AS lateness
    FROM added
    WHERE at <= CAST(:watermark_at AS timestamptz)
        AND at >= CAST(:after AS timestamptz)
)
SELECT
    (SELECT count(*) FROM added) AS merged,
    (SELECT count(*) FROM late) AS late,
    (SELECT coalesce(ceil(extract(epoch FROM max(lateness))), 0)::integer FROM late) AS max_lateness_s
