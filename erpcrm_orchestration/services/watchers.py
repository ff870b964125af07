"""The watchers' heartbeats and what is due for them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.configuration import WatcherCode
from erpcrm_orchestration.domain.watcher import Heartbeat, WatcherState
from erpcrm_orchestration.store import alert, watcher


def beat(engine: sa.Engine, code: WatcherCode, *, clock: Clock, work: str) -> bool:
    """Record a heartbeat; return whether the watcher may work."""
    with engine.begin() as connection:
        return watcher.heartbeat(connection, code, now=clock.now(), work=work)


def dossiers_to_poll(engine: sa.Engine, *, clock: Clock) -> Sequence[str]:
    """Return the dossiers whose source is to be looked at."""
    with engine.connect() as connection:
        return watcher.dossiers_to_poll(connection, now=clock.now())


def calls_due(engine: sa.Engine, *, clock: Clock) -> int:
    """Return how many calls of the mobility watcher wait to be issued now."""
    with engine.connect() as connection:
        return watcher.mobility_calls_due(connection, now=clock.now())


def close_alerts_of_inactive(engine: sa.Engine, *, clock: Clock) -> int:
    """Close the alerts of dossiers that are not evaluated any more; return how many."""
    with engine.begin() as connection:
        return alert.close_of_inactive(connection, now=clock.now())


def observe(engine: sa.Engine, *, clock: Clock) -> list[tuple[Heartbeat, WatcherState]]:
    """Compute and store every watcher's state, and return it."""
    now = clock.now()
    with engine.begin() as connection:
        found = [(one, one.state(now)) for one in watcher.load(connection)]
        watcher.record_states(connection, {one.watcher_code: state for one, state in found})
    return found
