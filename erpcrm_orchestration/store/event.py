"""What people did at the board and were refused: appended, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from erpcrm_orchestration.domain.errors import one_line
from erpcrm_orchestration.store.board_schema import event
from erpcrm_orchestration.store.paging import Rows, page_of

Outcome = Literal["ok", "denied", "failed"]


def record_event(  # noqa: PLR0913  one parameter for each column
    connection: sa.Connection,
    *,
    at: datetime,
    actor: str,
    action: str,
    outcome: Outcome = "ok",
    dossier_code: str | None = None,
    address: str | None = None,
    details: Mapping[str, object] | None = None,
) -> None:
    """Append one row; what somebody typed cannot forge a second line."""
    connection.execute(
        sa.insert(event).values(
            at=at,
            actor=one_line(actor)[:200],
            action=action,
            outcome=outcome,
            dossier_code=dossier_code,
            address=address,
            details=dict(details or {}),
        )
    )


def list_events(
    connection: sa.Connection, *, actor: str | None, outcome: str | None, limit: int, offset: int
) -> tuple[Rows, int]:
    """Return what happened, the newest first, and how many rows there are."""
    columns, statement = event.c, sa.select(event)
    if actor is not None:
        statement = statement.where(columns.actor == actor)
    if outcome is not None:
        statement = statement.where(columns.outcome == outcome)
    return page_of(connection, statement, (columns.event_id.desc(),), limit, offset)
