"""Heartbeats of the watchers: the sensors that do the near-real-time work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.configuration import WatcherCode
from erpcrm_orchestration.domain.watcher import Heartbeat
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.schema import outbound_call, watcher


def heartbeat(connection: sa.Connection, code: WatcherCode, *, now: datetime, work: str) -> bool:
    """Record that the watcher looked and what it found; return whether it may work (enabled in the general parameters)."""
    beaten = connection.execute(
        sa.update(watcher)
        .where(watcher.c.watcher_code == code, watcher.c.enabled)
        .values(heartbeat_at=now, last_work=work, state="ON")
        .returning(watcher.c.watcher_code)
    )
    return beaten.first() is not None


def load(connection: sa.Connection) -> list[Heartbeat]:
    """Return every watcher with its last heartbeat."""
    rows = connection.execute(sa.select(watcher).order_by(watcher.c.watcher_code))
    return [Heartbeat(row.watcher_code, row.enabled, row.poll_interval_s, row.heartbeat_at, row.last_work) for row in rows]


def record_states(connection: sa.Connection, states: dict[str, str]) -> None:
    """Store what an observation computed."""
    for code, state in states.items():
        connection.execute(sa.update(watcher).where(watcher.c.watcher_code == code).values(state=state))


def mobility_calls_due(connection: sa.Connection, *, now: datetime) -> int:
    """Return how many calls of the mobility watcher are due."""
    due = sa.select(sa.func.count()).where(
        outbound_call.c.cause == "mobility",
        outbound_call.c.state.in_(("PENDING", "SENDING")),
        outbound_call.c.not_before <= now,
    )
    return connection.scalar(due) or 0


def dossiers_to_poll(connection: sa.Connection, *, now: datetime) -> Sequence[str]:
    """Return the active dossiers whose source was not looked at for its poll interval."""
    return connection.scalars(load_sql("dossiers_to_poll"), {"now": now}).all()
