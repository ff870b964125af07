CREATE TEMPORARY TABLE IF NOT EXISTS received_staging (
    position integer NOT NULL,
    source_id text NOT NULL,
    version_at timestamptz,
    content_hash text NOT NULL,
    deleted boolean NOT NULL,
    payload text NOT NULL,
    fault text
) ON COMMIT DELETE ROWS
