CREATE TEMPORARY TABLE IF NOT EXISTS reconciled_staging (
    position bigint NOT NULL,
    source_id text NOT NULL,
    version_at timestamptz,
    content_hash text NOT NULL,
    fault text
) ON COMMIT PRESERVE ROWS;
CREATE INDEX IF NOT EXISTS reconciled_staging_id_idx ON pg_temp.reconciled_staging (source_id);
CREATE TEMPORARY TABLE IF NOT EXISTS reconciled_difference (
    kind text NOT NULL,
    source_id text NOT NULL,
    reason text NOT NULL,
    record_id bigint,
    message_id bigint
) ON COMMIT PRESERVE ROWS;
CREATE INDEX IF NOT EXISTS reconciled_difference_id_idx ON pg_temp.reconciled_difference (source_id);
CREATE TEMPORARY TABLE IF NOT EXISTS reconciled_live (record_id bigint PRIMARY KEY) ON COMMIT PRESERVE ROWS;
TRUNCATE pg_temp.reconciled_staging, pg_temp.reconciled_difference, pg_temp.reconciled_live
