-- Open an alert for each failing check, or prolong the one that is open: every ten minutes, when nothing else changed in it.
INSERT INTO supervision.alert (dossier_code, check_name, severity, opened_at, last_seen_at, details, recovery)
SELECT f.dossier_code, f.check_name, f.severity, :now, :now, f.details, f.recovery
FROM jsonb_to_recordset(CAST(:failing AS jsonb))
    AS f (dossier_code text, check_name text, severity text, details jsonb, recovery text)
ON CONFLICT (dossier_code, check_name) WHERE closed_at IS NULL
DO UPDATE SET last_seen_at = excluded.last_seen_at, severity = excluded.severity, details = excluded.details
WHERE alert.details <> excluded.details OR alert.severity <> excluded.severity
   OR alert.last_seen_at <= excluded.last_seen_at - interval '10 minutes'
