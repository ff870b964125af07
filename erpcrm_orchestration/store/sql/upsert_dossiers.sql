-- Write dossiers as they are given; `rows` is a JSON array. A dossier that starts to be evaluated counts from :now.
INSERT INTO hub.dossier AS kept (
    dossier_code, name, crm_project_code, time_zone, active, activated_at, alert_delay_min, alert_mail_interval_min,
    import_frequency_min, count_only_open_hours, source_code, hub_folder, mobility_action, mobility_target, routines, created_at, updated_at
)
SELECT
    dossier_code, name, crm_project_code, time_zone, active, :now, alert_delay_min, alert_mail_interval_min,
    import_frequency_min, count_only_open_hours, source_code, hub_folder, mobility_action, mobility_target, routines, :now, :now
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS given (
    dossier_code text, name text, crm_project_code text, time_zone text, active boolean, alert_delay_min integer,
    alert_mail_interval_min integer, import_frequency_min integer, count_only_open_hours boolean, source_code text,
    hub_folder text, mobility_action text, mobility_target text, routines jsonb
)
ORDER BY dossier_code
ON CONFLICT (dossier_code) DO UPDATE SET
    name = excluded.name,
    crm_project_code = excluded.crm_project_code,
    time_zone = excluded.time_zone,
    active = excluded.active,
    activated_at = CASE WHEN excluded.active AND NOT kept.active THEN :now ELSE kept.activated_at END,
    alert_delay_min = excluded.alert_delay_min,
    alert_mail_interval_min = excluded.alert_mail_interval_min,
    import_frequency_min = excluded.import_frequency_min,
    count_only_open_hours = excluded.count_only_open_hours,
    source_code = excluded.source_code,
    hub_folder = excluded.hub_folder,
    mobility_action = excluded.mobility_action,
    mobility_target = excluded.mobility_target,
    routines = excluded.routines,
    updated_at = :now
