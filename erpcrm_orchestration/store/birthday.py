"""Birthdays of accounts, and which of them were greeted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.routine import Order
from erpcrm_orchestration.store.engine import load_sql


@dataclass(frozen=True)
class Celebrant:
    """An account whose birthday it is, and what a greeting says of it."""

    customer_id: int
    email: str | None
    name: str | None
    first_name: str | None
    language: str | None
    responsible_name: str | None


def celebrants(connection: sa.Connection, order: Order, days: Sequence[str]) -> tuple[list[Celebrant], int]:
    """Return the accounts in `scope` born on one of these days (MMDD) and not greeted this year, and how many others it has."""
    parameters = {"dossier_code": order.dossier_code, "days": list(days), "year": order.run_date.year}
    found = [Celebrant(**row) for row in connection.execute(load_sql("routine_birthday_greeting"), parameters).mappings()]
    accounts: int = connection.execute(sa.text("SELECT count(*) FROM scope")).scalar_one()
    return found, accounts - len(found)


def keep_greetings(connection: sa.Connection, order: Order, keys: Mapping[int, str], *, now: datetime) -> None:
    """Remember who was greeted; `keys` names the mail of each by its idempotency key."""
    connection.execute(
        load_sql("keep_greetings"),
        {
            "dossier_code": order.dossier_code,
            "order_number": order.order_number,
            "year": order.run_date.year,
            "now": now,
            "customer_ids": list(keys),
            "keys": list(keys.values()),
        },
    )
