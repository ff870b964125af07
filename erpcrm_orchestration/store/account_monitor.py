"""Accounts without movement: found, handed over, and told to people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.routine import Counts, Order
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.entity_schema import entity_table
from erpcrm_orchestration.store.routine import in_parts, work_set_based
from erpcrm_orchestration.store.routine_schema import order_result, responsible_transfer

_is_listed = order_result.c.details.has_key("Seq")
ACTIVITIES = {"ACTION": "action", "TASK": "task", "CAMPAIGN": "campaign"}
"""Process -> the type of the activities that it is."""
AT_ONCE = 100
"""So many digests are read at a time."""


@dataclass(frozen=True)
class Watch:
    """What is looked for: movements of `processes` from `since` to before `until`. `transfer_to` is the id of an employee."""

    processes: Collection[str]
    include_related: bool
    since: datetime
    until: datetime
    transfer_to: int | None
    tells_responsible: bool


@dataclass(frozen=True)
class Digest:
    """What one person is told: how many accounts, and the first of them as texts."""

    address: str
    name: str | None
    accounts: int
    shown: Sequence[str]


def employees_of_code(connection: sa.Connection, dossier_code: str, code: str) -> list[int]:
    """Return the ids of the employees with this code who are there and active."""
    employee = entity_table["employee"].c
    found = sa.select(employee.employee_id).where(
        employee.dossier_code == dossier_code,
        employee.code == code,
        employee.deleted_at.is_(None),
        employee.active.is_not(False),
    )
    return list(connection.scalars(found.order_by(employee.employee_id)))


def watch_scope(connection: sa.Connection, order: Order, watch: Watch, *, now: datetime) -> Counts:
    """List the accounts in `scope` without movement, and hand them over when somebody gets them."""
    listed = sa.select(sa.func.count()).where(*_of(order), _is_listed)
    return work_set_based(
        connection,
        "routine_account_monitor",
        order,
        now=now,
        listed_before=connection.scalar(listed),
        processes=list(watch.processes),
        activity_types=[word for process, word in ACTIVITIES.items() if process in watch.processes],
        include_related=watch.include_related,
        since=watch.since,
        until=watch.until,
        transfer_to=watch.transfer_to,
        tells_responsible=watch.tells_responsible,
    )


def handed_over(connection: sa.Connection, order: Order) -> Iterator[list[int]]:
    """Yield the accounts in `scope` that this order handed over, in parts."""
    scope = sa.table("scope", sa.column("customer_id"))
    columns = responsible_transfer.c
    ids = (
        sa.select(columns.customer_id)
        .join(scope, scope.c.customer_id == columns.customer_id)
        .where(columns.dossier_code == order.dossier_code, columns.order_number == order.order_number)
    )
    return in_parts(connection, ids)


def count_listed(connection: sa.Connection, order: Order) -> int:
    """Return how many accounts without movement an order found."""
    return connection.scalar(sa.select(sa.func.count()).where(*_of(order), _is_listed)) or 0


def digests(
    connection: sa.Connection,
    order: Order,
    *,
    tells_responsible: bool,
    tells_new: bool,
    told_of_all: Collection[str],
    most: int,
) -> Iterator[Digest]:
    """Yield what each person is told; the address * stands for all of `told_of_all`, whose count ends with `most`."""
    parameters = {
        "dossier_code": order.dossier_code,
        "order_number": order.order_number,
        "tells_responsible": tells_responsible,
        "tells_new": tells_new,
        "told_of_all": [one.lower() for one in told_of_all],
        "most": most,
    }
    statement = load_sql("monitor_digests").execution_options(yield_per=AT_ONCE)
    for row in connection.execute(statement, parameters):
        yield Digest(row.address, row.name, row.accounts, row.shown)


def _of(order: Order) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return order_result.c.dossier_code == order.dossier_code, order_result.c.order_number == order.order_number
