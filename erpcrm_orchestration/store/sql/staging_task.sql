CREATE TEMP TABLE IF NOT EXISTS task_staging (
    position bigint NOT NULL,
    dossier_code text NOT NULL,
    task_key text NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL
) ON COMMIT DELETE ROWS;
