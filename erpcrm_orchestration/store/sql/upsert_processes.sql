-- Write the process of each dossier; for those in `moved` the schedule counts anew from :now, and earlier ticks are settled.
INSERT INTO automation.process AS kept (
    dossier_code, process_code, state, test_mode, days, start, duration_min, frequency_min, missed_ticks, missed_max,
    mail_group, mail_template, recovery_template, on_uncertain, considered_until, next_due_at, updated_at
)
SELECT
    dossier_code, :process_code, state, test_mode, ARRAY(SELECT jsonb_array_elements_text(days)::smallint), start, duration_min,
    frequency_min, missed_ticks, missed_max, mail_group, mail_template, recovery_template, on_uncertain, :now, NULL, :now
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS given (
    dossier_code text, state text, test_mode boolean, days jsonb, start time, duration_min integer, frequency_min integer,
    missed_ticks text, missed_max integer, mail_group text, mail_template text, recovery_template text, on_uncertain text
)
ORDER BY dossier_code
ON CONFLICT (dossier_code, process_code) DO UPDATE SET
    state = excluded.state,
    test_mode = excluded.test_mode,
    days = excluded.days,
    start = excluded.start,
    duration_min = excluded.duration_min,
    frequency_min = excluded.frequency_min,
    missed_ticks = excluded.missed_ticks,
    missed_max = excluded.missed_max,
    mail_group = excluded.mail_group,
    mail_template = excluded.mail_template,
    recovery_template = excluded.recovery_template,
    on_uncertain = excluded.on_uncertain,
    considered_until = CASE WHEN kept.dossier_code = ANY (:moved) THEN :now ELSE kept.considered_until END,
    next_due_at = CASE WHEN kept.dossier_code = ANY (:moved) THEN NULL ELSE kept.next_due_at END,
    updated_at = :now
