"""The audit trail: who changed what, when, why, and from what to what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.store import schema


@dataclass(frozen=True)
class Change:
    """One change of one object by a person, with the reason that was given."""

    at: datetime
    actor: str
    object_kind: str
    object_code: str
    action: str
    reason: str | None
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def write_change(connection: sa.Connection, change: Change) -> None:
    """Append a change; nothing is ever taken out."""
    connection.execute(sa.insert(schema.change).values(**vars(change)))
