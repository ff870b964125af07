"""Q1: refresh the state of all dossiers, without Dagster, against the leanest SQL that computes and writes the same rows."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from benchmarks.company import codes, fill
from benchmarks.measure import Ratio, compare, fresh_database
from erpcrm_orchestration.domain.clock import FixedClock, SystemClock
from erpcrm_orchestration.services.supervision import Refresh, refresh

# One scan of each table, no leases, no alerts, no mails, no ledger, no open hours: what cannot be left out.
FLOOR = """
WITH limits AS (
    SELECT dossier_code, crm_project_code, activated_at, alert_delay_min,
           date_trunc('day', CAST(:now AS timestamptz) AT TIME ZONE time_zone) AT TIME ZONE time_zone AS opens
    FROM hub.dossier
),
lines AS (
    SELECT e.dossier_code, max(e.at) FILTER (WHERE e.action = 'WEAVY_URL_FILE') AS last_sync_at,
           count(*) FILTER (WHERE e.action = 'WEAVY_URL_FILE' AND e.at >= l.opens) AS syncs_today,
           count(DISTINCT e.sync_id) FILTER (WHERE e.at >= l.opens AND (e.outcome = 'REJECT' OR e.reject_count > 0)) AS rejects
    FROM flow.logbook_entry e JOIN limits l USING (dossier_code)
    GROUP BY e.dossier_code
),
sets AS (
    SELECT h.dossier_code,
           count(*) FILTER (WHERE h.category = 'INTERVENTION' AND h.created_at >= l.opens) AS it,
           count(*) FILTER (WHERE h.category = 'INTERVENTION') AS i,
           count(*) FILTER (WHERE h.category = 'TIME' AND h.created_at >= l.opens) AS t,
           count(*) FILTER (WHERE h.category = 'DOCUMENT' AND h.created_at >= l.opens AND h.origin = 'CRM') AS d,
           count(*) FILTER (WHERE h.category = 'INTERVENTION' AND h.state_group = 'ERROR') AS ie,
           count(*) FILTER (WHERE h.category = 'TIME' AND h.created_at >= l.opens AND h.state_group = 'ERROR') AS te,
           count(*) FILTER (WHERE h.category = 'DOCUMENT' AND h.created_at >= l.opens AND h.origin = 'CRM'
                            AND h.state_group = 'ERROR') AS de
    FROM flow.hub_dataset h JOIN limits l USING (dossier_code)
    WHERE h.state_group <> 'CLOSED_OK'
    GROUP BY h.dossier_code
),
new AS (
    SELECT l.dossier_code, l.crm_project_code, s.last_sync_at,
           CASE WHEN e.late THEN 'ALERT' ELSE 'NORMAL' END AS sync_state,
           CASE WHEN e.late THEN 'Alerte > ' || l.alert_delay_min ELSE 'Normal' END AS label, l.alert_delay_min,
           CAST(extract(epoch FROM CAST(:now AS timestamptz) - coalesce(s.last_sync_at, l.activated_at)) / 60 AS integer) AS minutes,
           s.last_sync_at IS NULL AS never, coalesce(s.syncs_today, 0) AS syncs, coalesce(h.it, 0) AS it, coalesce(h.i, 0) AS i,
           coalesce(h.t, 0) AS t, coalesce(h.d, 0) AS d, coalesce(s.rejects, 0) AS rejects, coalesce(h.ie, 0) AS ie,
           coalesce(h.te, 0) AS te, coalesce(h.de, 0) AS de,
           CASE WHEN e.late THEN CAST(:now AS timestamptz) END AS anomaly
    FROM limits l
    LEFT JOIN lines s USING (dossier_code)
    LEFT JOIN sets h USING (dossier_code)
    CROSS JOIN LATERAL (
        SELECT CAST(:now AS timestamptz) - coalesce(s.last_sync_at, l.activated_at) > make_interval(mins => l.alert_delay_min) AS late
    ) e
),
written AS (
    INSERT INTO supervision.interaction_state AS x
    SELECT dossier_code, crm_project_code, last_sync_at, sync_state, label, alert_delay_min, minutes, never, :now, syncs, it, i, t, d,
           rejects, ie, te, de, anomaly, NULL, 'floor', NULL, 1
    FROM new
    ON CONFLICT (dossier_code) DO UPDATE SET last_sync_at = excluded.last_sync_at, sync_state = excluded.sync_state,
        sync_state_label = excluded.sync_state_label, elapsed_min = excluded.elapsed_min,
        never_synced = excluded.never_synced, last_refreshed_at = excluded.last_refreshed_at, syncs_today = excluded.syncs_today,
        interventions_today_not_ok = excluded.interventions_today_not_ok,
        interventions_not_ok = excluded.interventions_not_ok, times_not_ok = excluded.times_not_ok,
        documents_not_ok = excluded.documents_not_ok, syncs_with_rejects = excluded.syncs_with_rejects,
        interventions_in_error = excluded.interventions_in_error, times_in_error = excluded.times_in_error,
        documents_in_error = excluded.documents_in_error, anomaly_started_at = excluded.anomaly_started_at,
        last_alert_mail_at = NULL, run_id = excluded.run_id
)
INSERT INTO supervision.interaction_state_history
SELECT dossier_code, crm_project_code, last_sync_at, sync_state, label, alert_delay_min, minutes, never, :now, syncs, it, i, t, d,
       rejects, ie, te, de, anomaly, NULL, 'floor'
FROM new
"""
COUNTERS = """
SELECT dossier_code, last_sync_at, sync_state, syncs_today, interventions_today_not_ok, interventions_not_ok, times_not_ok,
       documents_not_ok, syncs_with_rejects, interventions_in_error, times_in_error, documents_in_error
FROM supervision.interaction_state ORDER BY 1
"""


def run(*, full: bool) -> list[Ratio]:
    """10,000 dossiers, 1,000,000 lines, 300,000 datasets; a tenth of that when it is small."""
    dossiers = 10_000 if full else 1_000
    lines, datasets = dossiers * 100, dossiers * 30
    clock = FixedClock(SystemClock().now())
    with fresh_database() as engine:
        fill(engine, dossiers=dossiers, lines=lines, datasets=datasets, now=clock.now())
        wanted = codes(engine)

        def ours() -> None:
            clock.at += timedelta(milliseconds=1)
            result = refresh(engine, wanted, Refresh(clock, {}, notify=False))
            assert len(result.states) == dossiers

        def floor() -> None:
            clock.at += timedelta(milliseconds=1)
            with engine.begin() as connection:
                assert connection.execute(sa.text(FLOOR), {"now": clock.now()}).rowcount == dossiers

        def rows() -> list[tuple[object, ...]]:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(sa.text(COUNTERS))]

        floor()
        theirs = rows()
        ours()
        assert rows() == theirs, "both compute the same"
        work = f"state of {dossiers:,} dossiers over {lines:,} lines and {datasets:,} datasets"
        return [compare("Q1", work, ours, floor, aim=1.5)]
