-- Processes of active dossiers whose next tick is due or not known yet. SKIP LOCKED: a second collector takes other rows.
SELECT
    p.dossier_code, p.process_code, p.state, p.days, p.start, p.duration_min, p.frequency_min, d.time_zone, p.missed_ticks,
    p.missed_max, p.considered_until,
    EXISTS (
        SELECT FROM flow.tick t
        WHERE t.dossier_code = p.dossier_code AND t.process_code = p.process_code AND t.state = 'REQUESTED'
    ) AS has_open_tick
FROM automation.process p
JOIN hub.dossier d USING (dossier_code)
WHERE d.active AND (p.next_due_at IS NULL OR p.next_due_at <= :now)
ORDER BY p.dossier_code, p.process_code
FOR UPDATE OF p SKIP LOCKED
