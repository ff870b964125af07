"""The execution orders of the demo: routines that people schedule once there are accounts."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.routine import NewOrder, OrderState
from erpcrm_orchestration.services.order import schedule
from erpcrm_orchestration.store.entity_schema import entity_table
from erpcrm_orchestration.store.order import list_orders
from erpcrm_orchestration.store.routine_schema import (
    account_complement,
    account_status,
    birthday_greeting,
    class_transition,
    execution_order,
    order_account,
    order_result,
    responsible_transfer,
)

DOSSIER = "998"
WHO = "demo"
EMAIL = "camille.roux@meridian-pro.example"
SUBJECT = "Joyeux anniversaire {{account.first_name}}"
AT_ONCE = 4
"""So many orders are executed at once; one more waits for the agenda of its program."""


def has_accounts(engine: sa.Engine) -> bool:
    """True when the ERP has registered a customer of the dossier: from then on routines have something to tell."""
    customer = entity_table["customer"].c
    found = sa.select(sa.literal(1)).where(customer.dossier_code == DOSSIER, customer.registered_on.is_not(None)).limit(1)
    with engine.connect() as connection:
        return connection.scalar(found) is not None


def schedule_orders(engine: sa.Engine, *, clock: Clock) -> None:
    """Schedule complement, status, greetings, a class transition as a dry run, and the agenda of the complement."""

    def order(program: str, **wanted: object) -> int:
        return schedule(engine, NewOrder(DOSSIER, program, WHO, email=EMAIL, **wanted), clock=clock)  # type: ignore[arg-type]

    order("account_complement")
    order("account_status")
    order("class_transition", dry_run=True)
    order("birthday_greeting", parameters={"subject": SUBJECT, "template": "birthday"})
    order("account_complement", agenda=True)


def executed(engine: sa.Engine) -> Counter[OrderState]:
    """Return how many orders of the demo are in which state."""
    with engine.connect() as connection:
        return Counter(one.state for one in list_orders(connection, dossier_code=DOSSIER, limit=100) if one.requested_by == WHO)


def forget_orders(connection: sa.Connection) -> None:
    """Forget the orders and what they made: their accounts are those of an earlier run."""
    results = (birthday_greeting, class_transition, responsible_transfer, account_complement, account_status)
    for table in (*results, order_result, order_account, execution_order):
        connection.execute(sa.delete(table))
