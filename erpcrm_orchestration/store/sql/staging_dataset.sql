CREATE TEMP TABLE IF NOT EXISTS dataset_staging (
    position bigint NOT NULL,
    dossier_code text NOT NULL,
    source_key text NOT NULL,
    type_code text NOT NULL,
    category text NOT NULL,
    origin text NOT NULL,
    state_number integer NOT NULL,
    state_group text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    last_error text,
    content_hash text NOT NULL
) ON COMMIT DELETE ROWS;
