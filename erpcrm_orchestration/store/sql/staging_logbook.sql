CREATE TEMP TABLE IF NOT EXISTS logbook_staging (
    position bigint NOT NULL,
    dossier_code text NOT NULL,
    entry_key text NOT NULL,
    at timestamptz NOT NULL,
    other_at timestamptz,
    sync_id text,
    program text,
    action text NOT NULL,
    outcome text NOT NULL,
    reject_count integer NOT NULL,
    message text
) ON COMMIT DELETE ROWS;
