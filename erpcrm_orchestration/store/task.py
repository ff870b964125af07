"""Inter-company tasks: recorded from a source, executed through calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.staging import copy_rows

STAGED = ("position", "task_key", "at", "kind", "payload")


def stage_tasks(connection: sa.Connection, rows: Iterable[Sequence[Any]]) -> None:
    """Append rows of STAGED columns for the next merge of this transaction."""
    copy_rows(connection, "staging_task", "task_staging", STAGED, rows)


def merge_tasks(connection: sa.Connection, parameters: dict[str, Any]) -> sa.Row[Any]:
    """Record the staged tasks; return (merged, late, max_lateness_s)."""
    return connection.execute(load_sql("merge_task"), parameters).one()
