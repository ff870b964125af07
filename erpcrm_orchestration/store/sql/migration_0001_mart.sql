-- The read side for analysts: stable, documented views. Everything computed here is computed when it is read.

CREATE VIEW mart.interaction_state WITH (security_barrier) AS
SELECT
    s.dossier_code,
    s.crm_project_code,
    s.last_sync_at,
    s.sync_state,
    s.sync_state_label,
    s.alert_delay_min,
    s.elapsed_min,
    s.never_synced,
    s.last_refreshed_at,
    s.syncs_today,
    s.interventions_today_not_ok,
    s.interventions_not_ok,
    s.times_not_ok,
    s.documents_not_ok,
    s.syncs_with_rejects,
    s.interventions_in_error,
    s.times_in_error,
    s.documents_in_error,
    s.anomaly_started_at,
    s.last_alert_mail_at,
    CAST(floor(extract(epoch FROM now() - s.last_refreshed_at) / 60) AS integer) AS age_min,
    COALESCE(
        p.state = 'ACTIVE'
        AND d.active
        AND w.opened_at IS NOT NULL
        AND now() - greatest(s.last_refreshed_at, w.opened_at) > make_interval(mins => 2 * p.frequency_min),
        false
    ) AS is_stale
FROM supervision.interaction_state s
JOIN hub.dossier d USING (dossier_code)
LEFT JOIN automation.process p ON p.dossier_code = s.dossier_code AND p.process_code = 'interactions_erpcrm'
-- The window of the process that is open now. It may have opened yesterday and run past midnight.
LEFT JOIN LATERAL (
    SELECT max(o.opened_at) AS opened_at
    FROM (
        SELECT
            (day.local_date + p.start) AT TIME ZONE d.time_zone AS opened_at,
            (day.local_date + p.start + make_interval(mins => p.duration_min)) AT TIME ZONE d.time_zone AS closes_at
        FROM (
            SELECT CAST(now() AT TIME ZONE d.time_zone AS date) - back.days AS local_date
            FROM (VALUES (0), (1)) AS back (days)
        ) day
        WHERE extract(isodow FROM day.local_date) = ANY (p.days)
    ) o
    WHERE now() BETWEEN o.opened_at AND o.closes_at
) w ON true;

COMMENT ON VIEW mart.interaction_state IS 'One row per dossier: the state of its ERP-CRM interactions as last computed, and how old it is now.';
COMMENT ON COLUMN mart.interaction_state.dossier_code IS 'Code of the dossier, text: 001 is not 1.';
COMMENT ON COLUMN mart.interaction_state.crm_project_code IS 'Code of the CRM project that the dossier is connected with.';
COMMENT ON COLUMN mart.interaction_state.last_sync_at IS 'When the last CRM to ERP synchronisation was logged; empty when there never was one.';
COMMENT ON COLUMN mart.interaction_state.sync_state IS 'NORMAL, or ALERT when the last synchronisation is older than alert_delay_min.';
COMMENT ON COLUMN mart.interaction_state.sync_state_label IS 'The state in words: Normal, or Alerte > and the delay in minutes.';
COMMENT ON COLUMN mart.interaction_state.alert_delay_min IS 'Delay in minutes that was used; 0 never alerts.';
COMMENT ON COLUMN mart.interaction_state.elapsed_min IS 'Whole minutes from the last synchronisation (or the activation of the dossier) to last_refreshed_at.';
COMMENT ON COLUMN mart.interaction_state.never_synced IS 'True when the dossier was never synchronised.';
COMMENT ON COLUMN mart.interaction_state.last_refreshed_at IS 'When these values were computed.';
COMMENT ON COLUMN mart.interaction_state.syncs_today IS 'Synchronisations of the local day of the dossier.';
COMMENT ON COLUMN mart.interaction_state.interventions_today_not_ok IS 'Interventions created on the local day and not closed OK.';
COMMENT ON COLUMN mart.interaction_state.interventions_not_ok IS 'Interventions not closed OK, of any day.';
COMMENT ON COLUMN mart.interaction_state.times_not_ok IS 'Time entries created on the local day and not closed OK.';
COMMENT ON COLUMN mart.interaction_state.documents_not_ok IS 'Documents of origin CRM created on the local day and not closed OK.';
COMMENT ON COLUMN mart.interaction_state.syncs_with_rejects IS 'Synchronisations of the local day with at least one reject.';
COMMENT ON COLUMN mart.interaction_state.interventions_in_error IS 'Interventions in state ERROR, of any day.';
COMMENT ON COLUMN mart.interaction_state.times_in_error IS 'Time entries of the local day in state ERROR.';
COMMENT ON COLUMN mart.interaction_state.documents_in_error IS 'Documents of origin CRM of the local day in state ERROR.';
COMMENT ON COLUMN mart.interaction_state.anomaly_started_at IS 'When the anomaly that still lasts was first seen; empty when the state is NORMAL.';
COMMENT ON COLUMN mart.interaction_state.last_alert_mail_at IS 'When a mail about this anomaly last reached somebody; empty when none did.';
COMMENT ON COLUMN mart.interaction_state.age_min IS 'Whole minutes since last_refreshed_at, computed when this view is read.';
COMMENT ON COLUMN mart.interaction_state.is_stale IS 'True when, inside the window of an active process, nothing was refreshed for more than twice its frequency; computed when this view is read.';

CREATE VIEW mart.interaction_state_history WITH (security_barrier) AS
SELECT
    h.dossier_code,
    h.crm_project_code,
    h.last_sync_at,
    h.sync_state,
    h.sync_state_label,
    h.alert_delay_min,
    h.elapsed_min,
    h.never_synced,
    h.last_refreshed_at,
    h.syncs_today,
    h.interventions_today_not_ok,
    h.interventions_not_ok,
    h.times_not_ok,
    h.documents_not_ok,
    h.syncs_with_rejects,
    h.interventions_in_error,
    h.times_in_error,
    h.documents_in_error,
    h.anomaly_started_at,
    h.last_alert_mail_at
FROM supervision.interaction_state_history h;

COMMENT ON VIEW mart.interaction_state_history IS 'Every interaction state that was computed, append-only, kept as long as configured.';
COMMENT ON COLUMN mart.interaction_state_history.dossier_code IS 'Code of the dossier, text: 001 is not 1.';
COMMENT ON COLUMN mart.interaction_state_history.crm_project_code IS 'Code of the CRM project that the dossier is connected with.';
COMMENT ON COLUMN mart.interaction_state_history.last_sync_at IS 'When the last CRM to ERP synchronisation was logged; empty when there never was one.';
COMMENT ON COLUMN mart.interaction_state_history.sync_state IS 'NORMAL, or ALERT when the last synchronisation is older than alert_delay_min.';
COMMENT ON COLUMN mart.interaction_state_history.sync_state_label IS 'The state in words: Normal, or Alerte > and the delay in minutes.';
COMMENT ON COLUMN mart.interaction_state_history.alert_delay_min IS 'Delay in minutes that was used; 0 never alerts.';
COMMENT ON COLUMN mart.interaction_state_history.elapsed_min IS 'Whole minutes from the last synchronisation (or the activation of the dossier) to last_refreshed_at.';
COMMENT ON COLUMN mart.interaction_state_history.never_synced IS 'True when the dossier was never synchronised.';
COMMENT ON COLUMN mart.interaction_state_history.last_refreshed_at IS 'When these values were computed.';
COMMENT ON COLUMN mart.interaction_state_history.syncs_today IS 'Synchronisations of the local day of the dossier.';
COMMENT ON COLUMN mart.interaction_state_history.interventions_today_not_ok IS 'Interventions created on the local day and not closed OK.';
COMMENT ON COLUMN mart.interaction_state_history.interventions_not_ok IS 'Interventions not closed OK, of any day.';
COMMENT ON COLUMN mart.interaction_state_history.times_not_ok IS 'Time entries created on the local day and not closed OK.';
COMMENT ON COLUMN mart.interaction_state_history.documents_not_ok IS 'Documents of origin CRM created on the local day and not closed OK.';
COMMENT ON COLUMN mart.interaction_state_history.syncs_with_rejects IS 'Synchronisations of the local day with at least one reject.';
COMMENT ON COLUMN mart.interaction_state_history.interventions_in_error IS 'Interventions in state ERROR, of any day.';
COMMENT ON COLUMN mart.interaction_state_history.times_in_error IS 'Time entries of the local day in state ERROR.';
COMMENT ON COLUMN mart.interaction_state_history.documents_in_error IS 'Documents of origin CRM of the local day in state ERROR.';
COMMENT ON COLUMN mart.interaction_state_history.anomaly_started_at IS 'When the anomaly that still lasts was first seen; empty when the state is NORMAL.';
COMMENT ON COLUMN mart.interaction_state_history.last_alert_mail_at IS 'When a mail about this anomaly last reached somebody; empty when none did.';

CREATE VIEW mart.dataset WITH (security_barrier) AS
SELECT
    s.dossier_code,
    s.dataset_number,
    s.type_code,
    s.category,
    s.origin,
    s.intake,
    s.source_key,
    s.state_number,
    a.label AS state_label,
    s.state_group,
    s.state_group = 'CLOSED_OK' AS is_ok,
    s.created_at,
    s.updated_at,
    s.attempts,
    s.last_error,
    s.pivot_name,
    s.fields
FROM flow.hub_dataset s
LEFT JOIN hub.automaton_state a ON a.type_code = s.type_code AND a.state_number = s.state_number;

COMMENT ON VIEW mart.dataset IS 'Datasets of the data hub and of the sources, with their state. The file itself is not shown here.';
COMMENT ON COLUMN mart.dataset.dossier_code IS 'Code of the dossier.';
COMMENT ON COLUMN mart.dataset.dataset_number IS 'Number of the dataset, unique over all dossiers.';
COMMENT ON COLUMN mart.dataset.type_code IS 'Type of the dataset, for instance TPSAFF.';
COMMENT ON COLUMN mart.dataset.category IS 'How it is counted: INTERVENTION, TIME, DOCUMENT or OTHER.';
COMMENT ON COLUMN mart.dataset.origin IS 'CRM, EDI, MAIL or OTHER.';
COMMENT ON COLUMN mart.dataset.intake IS 'Where it came in: data_hub, or source: and the code of the source with its stream.';
COMMENT ON COLUMN mart.dataset.source_key IS 'Its key where it came from.';
COMMENT ON COLUMN mart.dataset.state_number IS 'State of the automaton.';
COMMENT ON COLUMN mart.dataset.state_label IS 'Label of that state, where the type is configured.';
COMMENT ON COLUMN mart.dataset.state_group IS 'RECEIVED, PENDING, PROCESSING, WAITING, ERROR, CLOSED_OK or CLOSED_KO.';
COMMENT ON COLUMN mart.dataset.is_ok IS 'True when the state is CLOSED_OK; everything else counts as not OK.';
COMMENT ON COLUMN mart.dataset.created_at IS 'When it was created.';
COMMENT ON COLUMN mart.dataset.updated_at IS 'When it last changed.';
COMMENT ON COLUMN mart.dataset.attempts IS 'How often it entered the automaton.';
COMMENT ON COLUMN mart.dataset.last_error IS 'Why it is in error.';
COMMENT ON COLUMN mart.dataset.pivot_name IS 'Name of the pivot file.';
COMMENT ON COLUMN mart.dataset.fields IS 'Values of the pivot file, corrected ones included.';

CREATE VIEW mart.logbook WITH (security_barrier) AS
SELECT
    e.dossier_code,
    e.at,
    e.origin,
    e.entry_key,
    e.sync_id,
    e.program,
    e.action,
    e.outcome,
    e.reject_count,
    e.message,
    e.run_id,
    e.recorded_at
FROM flow.logbook_entry e;

COMMENT ON VIEW mart.logbook IS 'The logbook: one line per processing step of every system.';
COMMENT ON COLUMN mart.logbook.dossier_code IS 'Code of the dossier.';
COMMENT ON COLUMN mart.logbook.at IS 'When it happened.';
COMMENT ON COLUMN mart.logbook.origin IS 'Where the line comes from: source: and its code, data_hub, or system for our own.';
COMMENT ON COLUMN mart.logbook.entry_key IS 'Key of the line in its origin.';
COMMENT ON COLUMN mart.logbook.sync_id IS 'The synchronisation that it belongs to.';
COMMENT ON COLUMN mart.logbook.program IS 'Program that wrote it.';
COMMENT ON COLUMN mart.logbook.action IS 'What was done; WEAVY_URL_FILE marks a CRM to ERP synchronisation.';
COMMENT ON COLUMN mart.logbook.outcome IS 'OK, REJECT or ERROR.';
COMMENT ON COLUMN mart.logbook.reject_count IS 'Rejected records.';
COMMENT ON COLUMN mart.logbook.message IS 'What the program said.';
COMMENT ON COLUMN mart.logbook.run_id IS 'Dagster run that wrote it, for our own lines.';
COMMENT ON COLUMN mart.logbook.recorded_at IS 'When the line was taken in.';

CREATE VIEW mart.watcher WITH (security_barrier) AS
SELECT
    w.watcher_code,
    w.enabled,
    w.paused,
    w.poll_interval_s,
    w.heartbeat_at,
    CAST(floor(extract(epoch FROM now() - w.heartbeat_at)) AS integer) AS heartbeat_age_s,
    CASE
        WHEN w.enabled AND now() - w.heartbeat_at <= make_interval(secs => 2 * w.poll_interval_s) THEN 'ON'
        ELSE 'OFF'
    END AS state,
    w.last_work
FROM supervision.watcher w;

COMMENT ON VIEW mart.watcher IS 'The watchers, ON or OFF at the moment of reading.';
COMMENT ON COLUMN mart.watcher.watcher_code IS 'INTERCOMPANY, DATA_HUB or MOBILITY.';
COMMENT ON COLUMN mart.watcher.enabled IS 'False when the general parameters switch it off.';
COMMENT ON COLUMN mart.watcher.paused IS 'True when it records work but does not execute it.';
COMMENT ON COLUMN mart.watcher.poll_interval_s IS 'Seconds between two looks.';
COMMENT ON COLUMN mart.watcher.heartbeat_at IS 'When it last looked.';
COMMENT ON COLUMN mart.watcher.heartbeat_age_s IS 'Whole seconds since then, computed when this view is read.';
COMMENT ON COLUMN mart.watcher.state IS 'ON when it is enabled and its heartbeat is at most twice poll_interval_s old, else OFF; computed when this view is read.';
COMMENT ON COLUMN mart.watcher.last_work IS 'What it did last.';

CREATE VIEW mart.alert WITH (security_barrier) AS
SELECT
    a.alert_id,
    a.dossier_code,
    a.check_name,
    a.severity,
    a.opened_at,
    a.last_seen_at,
    a.closed_at,
    a.closed_at IS NULL AS is_open,
    CAST(floor(extract(epoch FROM COALESCE(a.closed_at, now()) - a.opened_at) / 60) AS integer) AS duration_min,
    a.details,
    a.recovery
FROM supervision.alert a;

COMMENT ON VIEW mart.alert IS 'Failing checks, from the first failure to the evaluation that passes.';
COMMENT ON COLUMN mart.alert.alert_id IS 'Number of the alert.';
COMMENT ON COLUMN mart.alert.dossier_code IS 'Code of the dossier; empty for the installation itself.';
COMMENT ON COLUMN mart.alert.check_name IS 'The check that fails.';
COMMENT ON COLUMN mart.alert.severity IS 'WARN or ERROR.';
COMMENT ON COLUMN mart.alert.opened_at IS 'First failure.';
COMMENT ON COLUMN mart.alert.last_seen_at IS 'Last failure.';
COMMENT ON COLUMN mart.alert.closed_at IS 'The evaluation that passed again; empty while it lasts.';
COMMENT ON COLUMN mart.alert.is_open IS 'True while it lasts.';
COMMENT ON COLUMN mart.alert.duration_min IS 'Whole minutes from opened_at to closed_at, or to the moment of reading.';
COMMENT ON COLUMN mart.alert.details IS 'What the check found.';
COMMENT ON COLUMN mart.alert.recovery IS 'What to do about it.';

CREATE VIEW mart.tick WITH (security_barrier) AS
SELECT
    t.dossier_code,
    t.process_code,
    t.due_at,
    t.state,
    t.reason,
    t.attempt,
    t.recorded_at,
    t.requested_at,
    t.run_id,
    t.closed_at,
    t.alerted_at
FROM flow.tick t;

COMMENT ON VIEW mart.tick IS 'The ledger of due ticks: one row for each, whatever became of it.';
COMMENT ON COLUMN mart.tick.dossier_code IS 'Code of the dossier.';
COMMENT ON COLUMN mart.tick.process_code IS 'Code of the process.';
COMMENT ON COLUMN mart.tick.due_at IS 'When it was due.';
COMMENT ON COLUMN mart.tick.state IS 'REQUESTED, RAN, SKIPPED or MISSED.';
COMMENT ON COLUMN mart.tick.reason IS 'Why it was skipped or missed.';
COMMENT ON COLUMN mart.tick.attempt IS 'Number of the request.';
COMMENT ON COLUMN mart.tick.recorded_at IS 'When the row was written.';
COMMENT ON COLUMN mart.tick.requested_at IS 'When a run was requested.';
COMMENT ON COLUMN mart.tick.run_id IS 'Dagster run that closed it.';
COMMENT ON COLUMN mart.tick.closed_at IS 'When it was closed.';
COMMENT ON COLUMN mart.tick.alerted_at IS 'When somebody was told that it was missed.';

CREATE VIEW mart.mail WITH (security_barrier) AS
SELECT
    m.mail_id,
    m.dossier_code,
    m.cause,
    m.subject,
    m.state,
    m.test_mode,
    m.on_uncertain,
    m.attempts,
    m.uncertain_attempts,
    m.not_before,
    m.created_at,
    m.sent_at,
    m.last_error,
    r.accepted AS recipients_accepted,
    r.refused AS recipients_refused,
    r.pending AS recipients_pending
FROM flow.mail m
CROSS JOIN LATERAL (
    SELECT
        CAST(count(*) FILTER (WHERE r.state = 'ACCEPTED') AS integer) AS accepted,
        CAST(count(*) FILTER (WHERE r.state = 'REFUSED') AS integer) AS refused,
        CAST(count(*) FILTER (WHERE r.state = 'PENDING') AS integer) AS pending
    FROM flow.mail_recipient r
    WHERE r.mail_id = m.mail_id
) r;

COMMENT ON VIEW mart.mail IS 'The mail outbox without the texts of the mails and the addresses.';
COMMENT ON COLUMN mart.mail.mail_id IS 'Number of the mail.';
COMMENT ON COLUMN mart.mail.dossier_code IS 'Code of the dossier; empty for mails about the installation.';
COMMENT ON COLUMN mart.mail.cause IS 'Why it was written, for instance interactions_alert.';
COMMENT ON COLUMN mart.mail.subject IS 'Subject line.';
COMMENT ON COLUMN mart.mail.state IS 'PENDING, SENDING, SENT, UNCERTAIN (the answer was lost), FAILED or SKIPPED.';
COMMENT ON COLUMN mart.mail.test_mode IS 'True when it goes to the administrator alone.';
COMMENT ON COLUMN mart.mail.on_uncertain IS 'hold or resend: what happens when the answer was lost.';
COMMENT ON COLUMN mart.mail.attempts IS 'Attempts to send it.';
COMMENT ON COLUMN mart.mail.uncertain_attempts IS 'Attempts whose answer was lost.';
COMMENT ON COLUMN mart.mail.not_before IS 'When it may leave; later than created_at while it is spooled or waits for another attempt.';
COMMENT ON COLUMN mart.mail.created_at IS 'When its cause was committed.';
COMMENT ON COLUMN mart.mail.sent_at IS 'When a first recipient was accepted.';
COMMENT ON COLUMN mart.mail.last_error IS 'What went wrong last.';
COMMENT ON COLUMN mart.mail.recipients_accepted IS 'Recipients that the server accepted.';
COMMENT ON COLUMN mart.mail.recipients_refused IS 'Recipients that were refused for good.';
COMMENT ON COLUMN mart.mail.recipients_pending IS 'Recipients still to be asked.';

COMMENT ON SCHEMA mart IS 'What analysts read: views that stay stable from release to release. Everything else is ours to change.';

-- The views read with the rights of their owner, so that analysts need none on the tables behind them.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'erpcrm_analyst') THEN
        GRANT USAGE ON SCHEMA mart TO erpcrm_analyst;
        GRANT SELECT ON ALL TABLES IN SCHEMA mart TO erpcrm_analyst;
    ELSE
        RAISE NOTICE 'role erpcrm_analyst does not exist: create it, then GRANT USAGE ON SCHEMA mart and SELECT on its views to it';
    END IF;
END
$$;
