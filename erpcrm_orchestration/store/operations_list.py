"""How the installation works, for the person who looks: alerts, ticks, mails, watchers; filtered and paged in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.access import EVERY_DOSSIER, Access
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.paging import Rows, page_of
from erpcrm_orchestration.store.person import granted
from erpcrm_orchestration.store.schema import alert, mail, mail_recipient, tick

TREND_DAYS = 30
_installation = sa.literal(EVERY_DOSSIER)


@dataclass(frozen=True)
class Trend:
    """One day, in UTC: alerts that were open at its end, and the median seconds to repair of those closed on it."""

    day: datetime
    open_alerts: int
    opened: int
    closed: int
    median_repair_s: float | None


def list_alerts(
    connection: sa.Connection,
    person_id: int,
    *,
    dossier_code: str | None = None,
    state: str = "open",
    check_name: str | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[Rows, int]:
    """Return alerts, the worst and newest first, and how many there are; `state` is open, closed or all."""
    columns = alert.c
    conditions = [_visible(person_id, columns.dossier_code)]
    if dossier_code is not None:
        conditions.append(columns.dossier_code == dossier_code)
    if check_name is not None:
        conditions.append(columns.check_name == check_name)
    if state != "all":
        conditions.append(columns.closed_at.is_(None) if state == "open" else columns.closed_at.is_not(None))
    order = (columns.closed_at.desc().nulls_first(), columns.severity, columns.alert_id.desc())
    return page_of(connection, sa.select(alert).where(*conditions), order, limit, offset)


def find_alert(connection: sa.Connection, alert_id: int) -> dict[str, Any] | None:
    """Return an alert, None when there is none."""
    row = connection.execute(sa.select(alert).where(alert.c.alert_id == alert_id)).mappings().one_or_none()
    return None if row is None else dict(row)


def alert_trend(connection: sa.Connection, person_id: int, *, now: datetime) -> list[Trend]:
    """Return the last days of the alerts that the person may see, the oldest first."""
    first = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=TREND_DAYS - 1)
    rows = connection.execute(load_sql("alert_trend"), {"first_day": first, "now": now, "person_id": person_id})
    return [Trend(*row) for row in rows]


def list_ticks(
    connection: sa.Connection,
    person_id: int,
    *,
    dossier_code: str | None = None,
    state: str | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[Rows, int]:
    """Return due ticks and what became of them, the newest first, and how many there are."""
    columns = tick.c
    conditions = [granted(person_id, Access.VIEW, columns.dossier_code)]
    if dossier_code is not None:
        conditions.append(columns.dossier_code == dossier_code)
    if state is not None:
        conditions.append(columns.state == state)
    order = (columns.due_at.desc(), columns.dossier_code)
    return page_of(connection, sa.select(tick).where(*conditions), order, limit, offset)


def list_mails(
    connection: sa.Connection,
    person_id: int,
    *,
    dossier_code: str | None = None,
    state: str | None = None,
    now: datetime,
    limit: int,
    offset: int = 0,
) -> tuple[Rows, int]:
    """Return mails without their texts, the newest first, and how many there are; state `SPOOLED` are those that wait."""
    columns = mail.c
    conditions = [_visible(person_id, columns.dossier_code)]
    if dossier_code is not None:
        conditions.append(columns.dossier_code == dossier_code)
    is_spooled = sa.and_(columns.state == "PENDING", columns.not_before > now)
    if state == "SPOOLED":
        conditions.append(is_spooled)
    elif state is not None:
        conditions.append(columns.state == state)
    people = mail_recipient.c
    recipients = sa.select(sa.func.count()).where(people.mail_id == columns.mail_id)
    shown = [one for one in columns if one.name not in {"text", "html", "idempotency_key", "claimed_at"}]
    statement = sa.select(
        *shown,
        is_spooled.label("is_spooled"),
        recipients.where(people.state == "ACCEPTED").scalar_subquery().label("accepted"),
        recipients.where(people.state == "REFUSED").scalar_subquery().label("refused"),
        recipients.where(people.state == "PENDING").scalar_subquery().label("pending"),
    ).where(*conditions)
    return page_of(connection, statement, (columns.mail_id.desc(),), limit, offset)


def _visible(person_id: int, dossier_code: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Return the condition that a row is of a dossier of the person's, or of the installation and the person sees all."""
    return granted(person_id, Access.VIEW, sa.func.coalesce(dossier_code, _installation))
