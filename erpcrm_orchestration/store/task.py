"""Inter-company tasks: recorded from a source, executed through calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from erpcrm_orchestration.domain.configuration import WatcherCode, WatcherSettings
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.schema import inter_company_task, watcher
from erpcrm_orchestration.store.staging import copy_rows

STAGED = ("position", "dossier_code", "task_key", "at", "kind", "payload")


def stage_tasks(connection: sa.Connection, rows: Iterable[Sequence[Any]]) -> None:
    """Append rows of STAGED columns for the next merge of this transaction."""
    copy_rows(connection, "staging_task", "task_staging", STAGED, rows)


def merge_tasks(connection: sa.Connection, parameters: dict[str, Any]) -> list[sa.Row[Any]]:
    """Record the staged tasks; return (dossier_code, merged, late, max_lateness_s) rows."""
    return list(connection.execute(load_sql("merge_task"), parameters))


def due_dossiers(connection: sa.Connection, now: datetime | None) -> list[str]:
    """Return the dossiers with tasks to execute; with `now` not those whose calls wait for their time."""
    return list(connection.scalars(load_sql("due_task"), {"now": now}))


def close_tasks(connection: sa.Connection) -> dict[str, int]:
    """Carry the state of their calls over to the active tasks; return how many are now in each state."""
    return dict(Counter(connection.scalars(load_sql("close_task"))))


def is_paused(connection: sa.Connection) -> bool:
    """True while inter-company tasks are recorded but not executed."""
    paused = sa.select(watcher.c.paused).where(watcher.c.watcher_code == WatcherCode.INTERCOMPANY.value)
    return bool(connection.scalar(paused))


def set_paused(connection: sa.Connection, paused: bool) -> bool:
    """Pause or resume the execution; return what it was before."""
    before = is_paused(connection)
    default = WatcherSettings(WatcherCode.INTERCOMPANY)
    statement = insert(watcher).values(
        watcher_code=default.code.value, enabled=default.enabled, paused=paused, poll_interval_s=default.poll_interval_s
    )
    connection.execute(statement.on_conflict_do_update(index_elements=["watcher_code"], set_={"paused": paused}))
    return before


def list_tasks(
    connection: sa.Connection, *, dossier_code: str | None = None, state: str | None = None, limit: int = 1000
) -> list[dict[str, Any]]:
    """Return tasks, the latest first."""
    task = inter_company_task.c
    statement = sa.select(inter_company_task).order_by(task.at.desc(), task.task_key).limit(limit)
    if dossier_code is not None:
        statement = statement.where(task.dossier_code == dossier_code)
    if state is not None:
        statement = statement.where(task.state == state)
    return [{str(name): value for name, value in row.items()} for row in connection.execute(statement).mappings()]


def reactivate_tasks(
    connection: sa.Connection, dossier_code: str, task_keys: Sequence[str] | None, now: datetime
) -> list[tuple[str, str | None]]:
    """Make suspended tasks active again, all of the dossier or those given, and their calls due; return (key, old error)."""
    rows = connection.execute(
        load_sql("reactivate_task"),
        {"dossier_code": dossier_code, "task_keys": None if task_keys is None else list(task_keys), "now": now},
    )
    return sorted((row.task_key, row.last_error) for row in rows)
