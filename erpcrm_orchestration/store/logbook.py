"""The logbook: lines of sources merged in bulk, and lines of our own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.schema import logbook_entry
from erpcrm_orchestration.store.staging import copy_rows

STAGED = (
    "position",
    "dossier_code",
    "entry_key",
    "at",
    "other_at",
    "sync_id",
    "program",
    "action",
    "outcome",
    "reject_count",
    "message",
)


@dataclass(frozen=True)
class LogbookLine:
    """A line that we write ourselves. `origin` is `system` or `data_hub`; `entry_key` is unique in it at its instant."""

    dossier_code: str
    at: datetime
    origin: str
    entry_key: str
    action: str
    outcome: str
    message: str
    run_id: str | None = None
    program: str | None = "erpcrm"
    sync_id: str | None = None


def stage_lines(connection: sa.Connection, rows: Iterable[Sequence[Any]]) -> None:
    """Append rows of STAGED columns for the next merge of this transaction."""
    copy_rows(connection, "staging_logbook", "logbook_staging", STAGED, rows)


def merge_lines(connection: sa.Connection, parameters: dict[str, Any]) -> list[sa.Row[Any]]:
    """Store the staged lines; return (dossier_code, merged, late, max_lateness_s) rows."""
    return list(connection.execute(load_sql("merge_logbook"), parameters))


def write_lines(connection: sa.Connection, lines: Sequence[LogbookLine]) -> None:
    """Write lines of our own; one that is there already stays."""
    if lines:
        values = [asdict(line) | {"recorded_at": line.at} for line in lines]
        connection.execute(insert(logbook_entry).on_conflict_do_nothing(), values)
