-- Records the staged inter-company tasks, each once, and counts them by dossier.
WITH latest AS (
    SELECT DISTINCT ON (dossier_code, task_key) *
    FROM task_staging
    ORDER BY dossier_code, task_key, position DESC
), fresh AS (
    SELECT latest.*, CASE WHEN latest.at >= :after THEN cursor.watermark_at - latest.at END AS lateness
    FROM latest
    LEFT JOIN flow.source_cursor AS cursor
        ON cursor.dossier_code = latest.dossier_code AND cursor.source_code = :source_code AND cursor.stream = :stream
    WHERE NOT EXISTS (
        SELECT
        FROM flow.inter_company_task AS known
        WHERE known.dossier_code = latest.dossier_code AND known.intake = :intake AND known.task_key = latest.task_key
    )
), added AS (
    INSERT INTO flow.inter_company_task (dossier_code, intake, task_key, recorded_at, at, kind, target_code, payload)
    SELECT dossier_code, :intake, task_key, :now, at, kind, :target_code, payload
    FROM fresh
    ORDER BY dossier_code, task_key
    ON CONFLICT (dossier_code, intake, task_key) DO NOTHING
)
SELECT
    dossier_code,
    count(*) AS merged,
    count(*) FILTER (WHERE lateness >= interval '0') AS late,
    ceil(greatest(coalesce(extract(epoch FROM max(lateness)), 0), 0))::integer AS max_lateness_s
FROM fresh
GROUP BY dossier_code
