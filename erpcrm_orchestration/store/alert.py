"""Alerts: a failing check from its first failure to the evaluation that passes, one open row for each dossier and check."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.checks import Metadata, Severity
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.schema import alert, dossier

INSTALLATION = ""
"""Stands for the installation where a dossier code is wanted."""


@dataclass(frozen=True)
class Failing:
    """A check that does not hold; `dossier_code` None is the installation itself."""

    dossier_code: str | None
    check_name: str
    severity: Severity
    details: Metadata
    recovery: str


def record(
    connection: sa.Connection,
    failing: Sequence[Failing],
    *,
    dossier_codes: Collection[str],
    check_names: Collection[str],
    now: datetime,
) -> None:
    """Open or prolong the failing ones and close the others among these dossiers (none: the installation) and checks."""
    rows = [
        {
            "dossier_code": one.dossier_code,
            "check_name": one.check_name,
            "severity": one.severity,
            "details": one.details,
            "recovery": one.recovery,
        }
        for one in failing
    ]
    closing = {
        "dossier_codes": list(dossier_codes) or [INSTALLATION],
        "failing_dossiers": [one.dossier_code or INSTALLATION for one in failing],
        "failing_checks": [one.check_name for one in failing],
        "check_names": list(check_names),
        "now": now,
    }
    connection.execute(load_sql("close_alerts"), closing)
    if rows:
        connection.execute(load_sql("open_alerts"), {"failing": json.dumps(rows), "now": now})


def close_of_inactive(connection: sa.Connection, *, now: datetime) -> int:
    """Close the open alerts of inactive dossiers: nobody evaluates them any more. Return how many."""
    inactive = sa.select(dossier.c.dossier_code).where(~dossier.c.active)
    return connection.execute(
        sa.update(alert).where(alert.c.closed_at.is_(None), alert.c.dossier_code.in_(inactive)).values(closed_at=now)
    ).rowcount


def snoozed(connection: sa.Connection, dossier_codes: Collection[str], check_name: str, *, now: datetime) -> set[str]:
    """Return those of these dossiers whose open alert a person put off."""
    if not dossier_codes:
        return set()
    columns = alert.c
    statement = sa.select(columns.dossier_code).where(
        columns.dossier_code.in_(dossier_codes),
        columns.check_name == check_name,
        columns.closed_at.is_(None),
        columns.snoozed_until > now,
    )
    return set(connection.scalars(statement))


def take(
    connection: sa.Connection, alert_id: int, *, actor: str, note: str | None, until: datetime | None, now: datetime
) -> bool:
    """Note that somebody takes care of an open alert, and puts its mails off until then; False when it is closed."""
    values = {"acknowledged_at": now, "acknowledged_by": actor, "note": note, "snoozed_until": until}
    done = connection.execute(sa.update(alert).where(alert.c.alert_id == alert_id, alert.c.closed_at.is_(None)).values(values))
    return done.rowcount == 1
