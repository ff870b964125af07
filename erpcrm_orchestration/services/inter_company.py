"""The inter-company watcher's work: tasks that a source recorded are executed by a call to their target, each once.

Paused, tasks are still recorded and none is executed. A task whose call fails is suspended until somebody reactivates it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.call import CallCause
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.configuration import WatcherCode
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.services.call import deliver
from erpcrm_orchestration.store.audit import AuditRow, record_changes
from erpcrm_orchestration.store.call import issue_task_calls
from erpcrm_orchestration.store.engine import reported
from erpcrm_orchestration.store.task import close_tasks, due_dossiers, is_paused, reactivate_tasks, set_paused


@dataclass(frozen=True)
class Executions:
    """What one pass did: tasks done, tasks suspended, calls to be tried again; `paused` when nothing may be executed."""

    done: int = 0
    suspended: int = 0
    retried: int = 0
    paused: bool = False


def execute(engine: sa.Engine, *, clock: Clock, environment: Mapping[str, str], run_id: str | None) -> Executions:
    """Execute the active tasks of all dossiers; pausing takes effect before the next batch."""
    with reported(engine):
        with engine.begin() as connection:
            if is_paused(connection):
                return Executions(paused=True)
            before = close_tasks(connection)
            issue_task_calls(connection, clock.now())
        delivered = deliver(
            engine,
            CallCause.INTER_COMPANY,
            clock=clock,
            environment=environment,
            may_go_on=lambda connection: not is_paused(connection),
        )
        with engine.begin() as connection:
            after = close_tasks(connection)
    return Executions(
        done=before.get("DONE", 0) + after.get("DONE", 0),
        suspended=before.get("SUSPENDED", 0) + after.get("SUSPENDED", 0),
        retried=delivered.retried,
    )


def due(connection: sa.Connection, now: datetime | None = None) -> list[str]:
    """Return the dossiers with active tasks, none while paused; with `now` not those whose calls wait for their time."""
    return due_dossiers(connection, now)


def pause(engine: sa.Engine, *, reason: str, actor: str, clock: Clock) -> bool:
    """Stop executing tasks, go on recording them; return False when they were paused already."""
    return _switch(engine, True, reason, actor, clock)


def resume(engine: sa.Engine, *, reason: str, actor: str, clock: Clock) -> bool:
    """Execute tasks again; return False when they were not paused."""
    return _switch(engine, False, reason, actor, clock)


def reactivate(
    engine: sa.Engine, dossier_code: str, task_keys: Sequence[str] | None = None, *, reason: str, actor: str, clock: Clock
) -> list[str]:
    """Make suspended tasks of a dossier active again, all or those given; return their keys.

    Raises InputError E-TASK-001 when there is none, or for keys that are not suspended; then nothing is changed.
    """
    now = clock.now()
    with reported(engine), engine.begin() as connection:
        found = reactivate_tasks(connection, dossier_code, task_keys, now)
        missing = sorted(set(task_keys or ()) - {key for key, _ in found})
        if missing or not found:
            what = f"task {', '.join(missing)} is not suspended" if missing else "no task is suspended"
            raise InputError("E-TASK-001", f"dossier {dossier_code}", what, "see `erpcrm tasks list --state SUSPENDED`")
        rows = [
            AuditRow(
                "inter_company_task",
                f"{dossier_code}/{key}",
                "reactivate",
                {"state": "SUSPENDED", "last_error": error},
                {"state": "ACTIVE"},
            )
            for key, error in found
        ]
        record_changes(connection, rows, now=now, actor=actor, reason=reason)
    return [key for key, _ in found]


def _switch(engine: sa.Engine, paused: bool, reason: str, actor: str, clock: Clock) -> bool:
    with reported(engine), engine.begin() as connection:
        before = set_paused(connection, paused)
        if before != paused:
            action = "pause" if paused else "resume"
            row = AuditRow("watcher", WatcherCode.INTERCOMPANY.value, action, {"paused": before}, {"paused": paused})
            record_changes(connection, [row], now=clock.now(), actor=actor, reason=reason)
    return before != paused
