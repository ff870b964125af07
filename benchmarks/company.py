"""Rows for the benchmarks: dossiers, logbook lines and datasets, made inside the server."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

GROUND = """
INSERT INTO hub.dossier (dossier_code, crm_project_code, time_zone, activated_at, alert_delay_min, created_at, updated_at)
SELECT 'D' || lpad(i::text, 6, '0'), 'P' || i,
       (ARRAY['Europe/Paris', 'Europe/Lisbon', 'America/Sao_Paulo', 'Asia/Yekaterinburg'])[1 + i % 4],
       CAST(:now AS timestamptz) - interval '400 days', 30, :now, :now
FROM generate_series(1, :dossiers) i;
"""
PROCESSES = """
INSERT INTO automation.process (dossier_code, process_code, state, days, start, duration_min, frequency_min, missed_ticks,
    missed_max, mail_group, mail_template, on_uncertain, considered_until, updated_at)
SELECT dossier_code, 'interactions_erpcrm', 'ACTIVE', '{1,2,3,4,5,6,7}', '00:00', 1439, 15, 'last', 1, 'g', 't', 'resend', :now, :now
FROM hub.dossier;
"""
LINES = """
INSERT INTO flow.logbook_entry (dossier_code, at, origin, entry_key, sync_id, action, outcome, recorded_at)
SELECT 'D' || lpad((1 + i % :dossiers)::text, 6, '0'),
       CAST(:now AS timestamptz) - make_interval(secs => (i::float8 / :lines) * 86400 * :days),
       'source:erp', :prefix || i, 'S' || (i / 10),
       CASE WHEN (i / :dossiers) % 3 = 0 THEN 'WEAVY_URL_FILE' ELSE 'CUSTOMER' END,
       CASE WHEN i % 97 = 0 THEN 'REJECT' ELSE 'OK' END, :now
FROM generate_series(1, :lines) i;
"""
DATASETS = """
INSERT INTO flow.hub_dataset (dossier_code, type_code, category, origin, intake, source_key, state_number, state_group, created_at,
    updated_at, last_error, content_hash)
SELECT 'D' || lpad((1 + i % :dossiers)::text, 6, '0'), 'T', (ARRAY['INTERVENTION', 'TIME', 'DOCUMENT'])[1 + i % 3], 'CRM',
       'source:erp/x', :prefix || i, 900, CASE WHEN i % 10 = 0 THEN 'ERROR' WHEN i % 11 = 0 THEN 'PENDING' ELSE 'CLOSED_OK' END,
       CAST(:now AS timestamptz) - make_interval(secs => (i::float8 / :datasets) * 86400 * :days), :now,
       CASE WHEN i % 10 = 0 THEN 'E' END, 'h'
FROM generate_series(1, :datasets) i;
"""


def fill(engine: sa.Engine, *, dossiers: int, lines: int, datasets: int, now: datetime, days: int = 30) -> None:
    """Make so many dossiers with so many rows over the last `days` days, and analyse the tables."""
    parameters = {"dossiers": dossiers, "lines": lines, "datasets": datasets, "now": now, "days": days, "prefix": "a"}
    with engine.begin() as connection:
        for statement in (GROUND, PROCESSES, LINES, DATASETS):
            connection.execute(sa.text(statement), parameters)
    vacuum(engine)


def add_history(engine: sa.Engine, *, dossiers: int, lines: int, datasets: int, now: datetime, days: int) -> None:
    """Add older rows for the same dossiers: `datasets` of them closed."""
    parameters = {"dossiers": dossiers, "lines": lines, "datasets": datasets, "now": now, "days": days, "prefix": "b"}
    closed = DATASETS.replace(
        "CASE WHEN i % 10 = 0 THEN 'ERROR' WHEN i % 11 = 0 THEN 'PENDING' ELSE 'CLOSED_OK' END", "'CLOSED_OK'"
    ).replace("CASE WHEN i % 10 = 0 THEN 'E' END", "NULL")
    with engine.begin() as connection:
        for statement in (LINES, closed):
            connection.execute(sa.text(statement), parameters)
    vacuum(engine)


def vacuum(engine: sa.Engine) -> None:
    """Bring the planner's statistics up to date."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))


def codes(engine: sa.Engine) -> list[str]:
    """Return every dossier code."""
    with engine.connect() as connection:
        return list(connection.scalars(sa.text("SELECT dossier_code FROM hub.dossier ORDER BY 1")))
