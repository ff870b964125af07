"""What people look up on the command line, read from the views that analysts read too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

WATCHER = ("watcher_code", "state", "enabled", "paused", "heartbeat_age_s", "poll_interval_s", "heartbeat_at", "last_work")
TICK = ("due_at", "dossier_code", "process_code", "state", "attempt", "reason", "run_id", "closed_at")
ALERT = (
    "alert_id",
    "dossier_code",
    "check_name",
    "severity",
    "opened_at",
    "last_seen_at",
    "duration_min",
    "details",
    "recovery",
)

Rows = list[dict[str, Any]]


def list_watchers(connection: sa.Connection) -> Rows:
    """Return every watcher, ON or OFF at this moment; ages in seconds."""
    return _read(connection, _view("watcher", WATCHER).order_by(sa.column("watcher_code")))


def list_ticks(connection: sa.Connection, *, dossier_code: str | None, state: str | None, limit: int) -> Rows:
    """Return the newest due ticks and what became of them."""
    statement = _view("tick", TICK).order_by(sa.column("due_at").desc(), sa.column("dossier_code")).limit(limit)
    if state is not None:
        statement = statement.where(sa.column("state") == state)
    return _read(connection, _of_dossier(statement, dossier_code))


def list_open_alerts(connection: sa.Connection, *, dossier_code: str | None, limit: int) -> Rows:
    """Return the alerts that last, the newest first; durations in minutes."""
    statement = _view("alert", ALERT).where(sa.column("is_open")).order_by(sa.column("alert_id").desc()).limit(limit)
    return _read(connection, _of_dossier(statement, dossier_code))


def _view(name: str, columns: Sequence[str]) -> sa.Select[tuple[object, ...]]:
    return sa.select(*(sa.column(column) for column in columns)).select_from(sa.table(name, schema="mart"))


def _of_dossier(statement: sa.Select[tuple[object, ...]], code: str | None) -> sa.Select[tuple[object, ...]]:
    return statement if code is None else statement.where(sa.column("dossier_code") == code)


def _read(connection: sa.Connection, statement: sa.Select[tuple[object, ...]]) -> Rows:
    return [dict(row) for row in connection.execute(statement).mappings()]
