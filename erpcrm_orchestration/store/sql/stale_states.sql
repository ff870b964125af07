-- Active dossiers with an active process whose state is older than two periods although two ticks have fallen due in the window.
SELECT d.dossier_code, s.last_refreshed_at
FROM hub.dossier d
JOIN automation.process p ON p.dossier_code = d.dossier_code AND p.process_code = 'interactions_erpcrm'
LEFT JOIN supervision.interaction_state s ON s.dossier_code = d.dossier_code
CROSS JOIN LATERAL (
    SELECT (date_trunc('day', CAST(:now AS timestamptz) AT TIME ZONE d.time_zone) + p.start) AS opening
) AS today
CROSS JOIN LATERAL (
    SELECT make_interval(mins => 2 * p.frequency_min) AS patience, today.opening AT TIME ZONE d.time_zone AS opened_at
) AS limits
WHERE d.active AND p.state = 'ACTIVE'
  AND extract(isodow FROM today.opening) = ANY (p.days)
  AND CAST(:now AS timestamptz) <= (today.opening + make_interval(mins => p.duration_min)) AT TIME ZONE d.time_zone
  AND CAST(:now AS timestamptz) - greatest(limits.opened_at, d.activated_at) > limits.patience
  AND (s.last_refreshed_at IS NULL OR CAST(:now AS timestamptz) - s.last_refreshed_at > limits.patience)
ORDER BY d.dossier_code
