"""The audit trail: who changed what, when, from what to what. It is only ever appended to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.store.engine import load_sql


@dataclass(frozen=True)
class AuditRow:
    """One changed object; `before` and `after` are plain data, None when it was or is not there."""

    kind: str
    code: str
    action: str
    before: Any = None
    after: Any = None


def record_changes(
    connection: sa.Connection, rows: Sequence[AuditRow], *, now: datetime, actor: str, reason: str | None = None
) -> None:
    """Append the rows in one statement."""
    if rows:
        content = json.dumps([vars(row) for row in rows], ensure_ascii=False)
        connection.execute(load_sql("record_changes"), {"rows": content, "now": now, "actor": actor, "reason": reason})
