"""What other systems are told of accounts that a routine changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.routine import Order
from erpcrm_orchestration.services.connectors import connected
from erpcrm_orchestration.services.outbound import plan, targets_of
from erpcrm_orchestration.store.shared_fields import Place, forget_sent

ENTITY = "customer"


def tell_of_accounts(connection: sa.Connection, order: Order, parts: Iterable[list[int]], *, now: datetime) -> int:
    """Queue what the systems of the dossier have to be told of these accounts; return how many changes.

    What was told last is forgotten: somebody there may have changed since what the routine sets again. The order is part of the
    cause, as a later one may come to the same values.
    """
    targets = targets_of(connected(connection, [order.dossier_code]), ENTITY)
    if not targets:
        return 0
    queued = 0
    for ids in parts:
        for target in targets:
            forget_sent(connection, Place(order.dossier_code, target.one.connection.system, ENTITY, now), ids)
        queued += plan(connection, targets, ENTITY, ids, cause=f"routine:{order.order_number}", now=now)
    return queued
