-- Evaluate the interaction state of dossiers whose lease is held, at the instant :now, and write row and history in one statement.
-- Rules: specification A, rules 1-7. "Today" is the half-open local day, so that days of 23 and 25 hours count right.
WITH wanted AS (
    SELECT
        d.dossier_code, d.crm_project_code, d.time_zone, d.activated_at, d.alert_delay_min, d.alert_mail_interval_min,
        d.count_only_open_hours, w.epoch,
        p.mail_group, p.mail_template, p.recovery_template, p.test_mode, p.on_uncertain, p.days, p.start, p.duration_min,
        date_trunc('day', CAST(:now AS timestamptz) AT TIME ZONE d.time_zone) AT TIME ZONE d.time_zone AS day_start,
        (date_trunc('day', CAST(:now AS timestamptz) AT TIME ZONE d.time_zone) + interval '1 day') AT TIME ZONE d.time_zone
            AS day_end
    FROM unnest(CAST(:dossier_codes AS text[]), CAST(:epochs AS bigint[])) AS w (dossier_code, epoch)
    JOIN hub.dossier d USING (dossier_code)
    JOIN automation.process p ON p.dossier_code = d.dossier_code AND p.process_code = 'interactions_erpcrm'
),
-- Locked, so that a mail that is being acknowledged at this moment is not forgotten.
previous AS (
    SELECT s.* FROM supervision.interaction_state s JOIN wanted USING (dossier_code) FOR UPDATE OF s
),
-- Materialised, so that what is counted is counted once, however often it is named below.
counted AS MATERIALIZED (
    SELECT
        w.*,
        latest.last_sync_at,
        synchronisations.syncs_today,
        rejects.syncs_with_rejects,
        datasets.*,
        CASE
            WHEN NOT w.count_only_open_hours
                THEN CAST(:now AS timestamptz) - coalesce(latest.last_sync_at, w.activated_at)
            ELSE (
                SELECT coalesce(sum(greatest(
                    interval '0',
                    least(CAST(:now AS timestamptz), (opening.at + make_interval(mins => w.duration_min)) AT TIME ZONE w.time_zone)
                    - greatest(coalesce(latest.last_sync_at, w.activated_at), opening.at AT TIME ZONE w.time_zone)
                )), interval '0')
                FROM (
                    SELECT day.at + w.start AS at
                    FROM generate_series(
                        date_trunc('day', coalesce(latest.last_sync_at, w.activated_at) AT TIME ZONE w.time_zone) - interval '1 day',
                        CAST(:now AS timestamptz) AT TIME ZONE w.time_zone,
                        interval '1 day'
                    ) AS day (at)
                    WHERE extract(isodow FROM day.at) = ANY (w.days)
                ) AS opening
            )
        END AS elapsed
    FROM wanted w
    -- The newest synchronisation is nearly always recent: the short look touches few time partitions, the long one is not run.
    CROSS JOIN LATERAL (
        SELECT coalesce(
            (SELECT max(e.at) FROM flow.logbook_entry e
             WHERE e.dossier_code = w.dossier_code AND e.action = 'WEAVY_URL_FILE'
               AND e.at >= CAST(:now AS timestamptz) - interval '40 days'),
            (SELECT max(e.at) FROM flow.logbook_entry e
             WHERE e.dossier_code = w.dossier_code AND e.action = 'WEAVY_URL_FILE')
        ) AS last_sync_at
        OFFSET 0 -- keeps the planner from repeating the look wherever its result is named
    ) AS latest
    CROSS JOIN LATERAL (
        SELECT CAST(count(*) AS integer) AS syncs_today FROM flow.logbook_entry e
        WHERE e.dossier_code = w.dossier_code AND e.action = 'WEAVY_URL_FILE' AND e.at >= w.day_start AND e.at < w.day_end
    ) AS synchronisations
    CROSS JOIN LATERAL (
        SELECT CAST(count(DISTINCT e.sync_id) AS integer) AS syncs_with_rejects FROM flow.logbook_entry e
        WHERE e.dossier_code = w.dossier_code AND (e.outcome = 'REJECT' OR e.reject_count > 0)
          AND e.at >= w.day_start AND e.at < w.day_end
    ) AS rejects
    -- What an ERP or a pivot file brought stands in the table of datasets, what the integration received in its inbox. A record
    -- of the inbox is as old as its first message; what a condition left out is none.
    CROSS JOIN LATERAL (
        SELECT
            CAST(count(*) FILTER (WHERE category = 'INTERVENTION' AND today) AS integer) AS interventions_today_not_ok,
            CAST(count(*) FILTER (WHERE category = 'INTERVENTION') AS integer) AS interventions_not_ok,
            CAST(count(*) FILTER (WHERE category = 'TIME' AND today) AS integer) AS times_not_ok,
            CAST(count(*) FILTER (WHERE category = 'DOCUMENT' AND today AND origin = 'CRM') AS integer) AS documents_not_ok,
            CAST(count(*) FILTER (WHERE category = 'INTERVENTION' AND in_error) AS integer) AS interventions_in_error,
            CAST(count(*) FILTER (WHERE category = 'TIME' AND today AND in_error) AS integer) AS times_in_error,
            CAST(count(*) FILTER (WHERE category = 'DOCUMENT' AND today AND origin = 'CRM' AND in_error) AS integer)
                AS documents_in_error
        FROM (
            SELECT h.category, h.origin, h.created_at, h.state_group = 'ERROR' AS in_error
            FROM flow.hub_dataset h
            WHERE h.dossier_code = w.dossier_code AND h.state_group <> 'CLOSED_OK'
            UNION ALL
            SELECT
                CASE i.entity WHEN 'intervention' THEN 'INTERVENTION' WHEN 'time_entry' THEN 'TIME' ELSE 'DOCUMENT' END,
                CASE i.system_code WHEN 'erp' THEN 'OTHER' WHEN 'edi' THEN 'EDI' WHEN 'mail' THEN 'MAIL' ELSE 'CRM' END,
                min(coalesce(head.first_received_at, i.received_at)),
                bool_or(i.state IN ('REJECTED', 'DEAD'))
            FROM flow.inbox i
            CROSS JOIN LATERAL (
                SELECT x.first_received_at FROM hub.cross_reference x
                WHERE x.dossier_code = i.dossier_code AND x.system_code = i.system_code AND x.entity = i.entity
                  AND x.external_id = i.source_id
                OFFSET 0
            ) AS head
            WHERE i.dossier_code = w.dossier_code
              -- In the words of the partial index inbox_not_ok_idx.
              AND i.entity IN ('intervention', 'time_entry', 'document') AND i.state IN ('NEW', 'WAITING', 'REJECTED', 'DEAD')
            GROUP BY i.entity, i.system_code, i.source_id
        ) AS sets
        CROSS JOIN LATERAL (SELECT sets.created_at >= w.day_start AND sets.created_at < w.day_end AS today) AS facts
    ) AS datasets
),
judged AS (
    SELECT
        c.*,
        CASE WHEN c.alert_delay_min > 0 AND c.elapsed > make_interval(mins => c.alert_delay_min)
            THEN 'ALERT' ELSE 'NORMAL' END AS sync_state,
        CAST(floor(extract(epoch FROM greatest(c.elapsed, interval '0')) / 60) AS integer) AS elapsed_min
    FROM counted c
),
evaluated AS (
    SELECT
        j.*,
        CASE WHEN j.sync_state = 'ALERT' THEN 'Alerte > ' || j.alert_delay_min ELSE 'Normal' END AS sync_state_label,
        CASE WHEN j.sync_state = 'ALERT' THEN coalesce(p.anomaly_started_at, CAST(:now AS timestamptz)) END AS anomaly_started_at,
        CASE WHEN j.sync_state = 'ALERT' AND p.sync_state = 'ALERT' THEN p.last_alert_mail_at END AS last_alert_mail_at,
        coalesce(p.sync_state = 'ALERT', false) AND j.sync_state = 'NORMAL' AS recovered,
        (
            p.sync_state, p.alert_delay_min, p.never_synced, p.syncs_today, p.interventions_today_not_ok, p.interventions_not_ok,
            p.times_not_ok, p.documents_not_ok, p.syncs_with_rejects, p.interventions_in_error, p.times_in_error,
            p.documents_in_error, p.crm_project_code
        ) IS DISTINCT FROM (
            j.sync_state, j.alert_delay_min, j.last_sync_at IS NULL, j.syncs_today, j.interventions_today_not_ok,
            j.interventions_not_ok, j.times_not_ok, j.documents_not_ok, j.syncs_with_rejects, j.interventions_in_error,
            j.times_in_error, j.documents_in_error, j.crm_project_code
        ) AS changed,
        p.reported_at AS previously_reported_at
    FROM judged j
    LEFT JOIN previous p USING (dossier_code)
),
written AS (
    INSERT INTO supervision.interaction_state AS s (
        dossier_code, crm_project_code, last_sync_at, sync_state, sync_state_label, alert_delay_min, elapsed_min, never_synced,
        last_refreshed_at, syncs_today, interventions_today_not_ok, interventions_not_ok, times_not_ok, documents_not_ok,
        syncs_with_rejects, interventions_in_error, times_in_error, documents_in_error, anomaly_started_at, last_alert_mail_at,
        run_id, reported_at, epoch
    )
    SELECT
        dossier_code, crm_project_code, last_sync_at, sync_state, sync_state_label, alert_delay_min, elapsed_min,
        last_sync_at IS NULL, :now, syncs_today, interventions_today_not_ok, interventions_not_ok, times_not_ok, documents_not_ok,
        syncs_with_rejects, interventions_in_error, times_in_error, documents_in_error, anomaly_started_at, last_alert_mail_at,
        :run_id, CASE WHEN NOT changed THEN previously_reported_at END, epoch
    FROM evaluated
    ON CONFLICT (dossier_code) DO UPDATE SET
        crm_project_code = excluded.crm_project_code, last_sync_at = excluded.last_sync_at, sync_state = excluded.sync_state,
        sync_state_label = excluded.sync_state_label, alert_delay_min = excluded.alert_delay_min,
        elapsed_min = excluded.elapsed_min, never_synced = excluded.never_synced,
        last_refreshed_at = excluded.last_refreshed_at, syncs_today = excluded.syncs_today,
        interventions_today_not_ok = excluded.interventions_today_not_ok, interventions_not_ok = excluded.interventions_not_ok,
        times_not_ok = excluded.times_not_ok, documents_not_ok = excluded.documents_not_ok,
        syncs_with_rejects = excluded.syncs_with_rejects, interventions_in_error = excluded.interventions_in_error,
        times_in_error = excluded.times_in_error, documents_in_error = excluded.documents_in_error,
        anomaly_started_at = excluded.anomaly_started_at, last_alert_mail_at = excluded.last_alert_mail_at,
        run_id = excluded.run_id, reported_at = excluded.reported_at, epoch = excluded.epoch
),
kept AS (
    INSERT INTO supervision.interaction_state_history (
        dossier_code, crm_project_code, last_sync_at, sync_state, sync_state_label, alert_delay_min, elapsed_min, never_synced,
        last_refreshed_at, syncs_today, interventions_today_not_ok, interventions_not_ok, times_not_ok, documents_not_ok,
        syncs_with_rejects, interventions_in_error, times_in_error, documents_in_error, anomaly_started_at, last_alert_mail_at,
        run_id
    )
    SELECT
        dossier_code, crm_project_code, last_sync_at, sync_state, sync_state_label, alert_delay_min, elapsed_min,
        last_sync_at IS NULL, :now, syncs_today, interventions_today_not_ok, interventions_not_ok, times_not_ok, documents_not_ok,
        syncs_with_rejects, interventions_in_error, times_in_error, documents_in_error, anomaly_started_at, last_alert_mail_at,
        :run_id
    FROM evaluated
    ON CONFLICT DO NOTHING
)
SELECT
    e.dossier_code, e.crm_project_code, e.last_sync_at, e.sync_state, e.sync_state_label, e.alert_delay_min, e.elapsed_min,
    e.last_sync_at IS NULL AS never_synced, CAST(:now AS timestamptz) AS last_refreshed_at, e.syncs_today,
    e.interventions_today_not_ok, e.interventions_not_ok, e.times_not_ok, e.documents_not_ok, e.syncs_with_rejects,
    e.interventions_in_error, e.times_in_error, e.documents_in_error, e.anomaly_started_at, e.last_alert_mail_at,
    e.changed,
    e.changed OR e.previously_reported_at IS NULL OR e.previously_reported_at <= CAST(:now AS timestamptz) - interval '1 hour'
        AS report_due,
    e.sync_state = 'ALERT'
        AND (e.last_alert_mail_at IS NULL
             OR CAST(:now AS timestamptz) - e.last_alert_mail_at >= make_interval(mins => e.alert_mail_interval_min))
        AND NOT EXISTS (
            SELECT FROM flow.mail m
            WHERE m.dossier_code = e.dossier_code AND m.cause = 'interactions_alert' AND m.created_at >= e.anomaly_started_at
              AND (m.state IN ('PENDING', 'SENDING', 'UNCERTAIN')
                   OR (m.state = 'FAILED'
                       AND m.created_at > CAST(:now AS timestamptz) - make_interval(mins => e.alert_mail_interval_min)))
        ) AS mail_due,
    e.recovered, e.time_zone, e.mail_group, e.mail_template, e.recovery_template, e.test_mode, e.on_uncertain,
    EXISTS (
        SELECT FROM hub.mail_group g JOIN hub.mail_group_member USING (group_code)
        WHERE g.group_code = e.mail_group OR e.mail_group = ANY (g.aliases)
    ) AS has_recipients
FROM evaluated e
