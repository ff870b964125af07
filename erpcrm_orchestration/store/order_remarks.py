"""What an order says of single accounts, in sentences."""

from __future__ import annotations

import sqlalchemy as sa

from erpcrm_orchestration.domain.routine import Order, Outcome
from erpcrm_orchestration.store.routine_schema import order_result


def remarks(connection: sa.Connection, order: Order, *, errors: bool, limit: int) -> tuple[list[str], int]:
    """Return the first messages on accounts, of errors or of all else, and how many there are."""
    columns = order_result.c
    wanted = (
        columns.dossier_code == order.dossier_code,
        columns.order_number == order.order_number,
        columns.message.is_not(None),
        (columns.outcome == Outcome.ERROR) if errors else (columns.outcome != Outcome.ERROR),
    )
    first = connection.scalars(sa.select(columns.message).where(*wanted).order_by(columns.customer_id).limit(limit))
    return list(first), connection.scalar(sa.select(sa.func.count()).where(*wanted)) or 0
