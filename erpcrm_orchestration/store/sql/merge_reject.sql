-- Keeps what could not be taken, with its reason; a new one is also a line of the logbook, written once. Counts new ones.
WITH incoming AS (
    SELECT DISTINCT ON (dossier_code, source_key) dossier_code, source_key, reason, payload
    FROM jsonb_to_recordset(CAST(:rejects AS jsonb)) AS r (dossier_code text, source_key text, reason text, payload jsonb)
    ORDER BY dossier_code, source_key
), stored AS (
    INSERT INTO flow.intake_reject AS known (dossier_code, intake, source_key, reason, payload, first_seen_at, last_seen_at)
    SELECT dossier_code, :intake, source_key, reason, payload, :now, :now
    FROM incoming
    ORDER BY dossier_code, source_key
    ON CONFLICT (dossier_code, intake, source_key) DO UPDATE SET
        reason = excluded.reason,
        payload = excluded.payload,
        last_seen_at = excluded.last_seen_at
    RETURNING dossier_code, source_key, reason, xmax = 0 AS is_new
), lines AS (
    INSERT INTO flow.logbook_entry (
        dossier_code, at, origin, entry_key, action, outcome, reject_count, message, run_id, recorded_at
    )
    SELECT
        dossier_code, :now, 'system', CAST(:intake AS text) || '/' || source_key, 'INTAKE_REJECT', :outcome, 1, reason, :run_id, :now
    FROM stored
    WHERE is_new
    ON CONFLICT (dossier_code, at, origin, entry_key) DO NOTHING
)
SELECT dossier_code, count(*) AS rejected
FROM stored
WHERE is_new
GROUP BY dossier_code
