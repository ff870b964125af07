"""What routines work on: the accounts of an order in slices, and what became of single ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.routine import Counts, Order, Outcome
from erpcrm_orchestration.store.audience import accounts_of, shown_name
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.entity_schema import entity_table
from erpcrm_orchestration.store.paging import Rows, page_of, rows_of
from erpcrm_orchestration.store.routine_schema import execution_order, order_account

customer = entity_table["customer"]
order_detail = sa.table(
    "order_detail",
    *(sa.column(name) for name in ("dossier_code", "order_number", "customer_id", "outcome", "message", "details")),
    schema="automation",
)
"""A view: the results of an order, and what stands in a history because of it."""
AT_ONCE = 1_000
"""So many accounts are loaded at a time to plan what other systems are told of them."""
ERRORS_FIRST = (order_detail.c.outcome != Outcome.ERROR, order_detail.c.customer_id)


@dataclass(frozen=True)
class Result:
    """What became of one account, as people see it. `details` are plain JSON values."""

    customer_id: int
    outcome: Outcome
    message: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


def freeze_audience(connection: sa.Connection, order: Order, condition: sa.ColumnElement[bool]) -> None:
    """Write down which accounts the audience holds now: every attempt of the order considers the same ones."""
    chosen = sa.select(
        sa.literal(order.dossier_code), sa.literal(order.order_number, sa.BigInteger), customer.c.customer_id
    ).where(accounts_of(order.dossier_code), condition)
    connection.execute(
        sa.insert(order_account).from_select(["dossier_code", "order_number", "customer_id"], chosen),
    )
    connection.execute(
        sa.update(execution_order).where(execution_order.c.order_number == order.order_number).values(audience_frozen=True)
    )


def is_frozen(connection: sa.Connection, order: Order) -> bool:
    """True when the audience of the order was written down."""
    frozen = sa.select(execution_order.c.audience_frozen).where(execution_order.c.order_number == order.order_number)
    return bool(connection.scalar(frozen))


def take_slice(connection: sa.Connection, order: Order, *, size: int) -> tuple[int, int]:
    """Put the next accounts into the temporary table `scope`; return how many and the last id.

    The table is emptied at the end of the transaction.
    """
    connection.execute(load_sql("scope_table"))
    taken = connection.execute(
        load_sql("take_scope"),
        {
            "dossier_code": order.dossier_code,
            "order_number": order.order_number,
            "has_audience": order.audience_code is not None,
            "after": order.account_after,
            "size": size,
        },
    ).one()
    # Without it the planner takes a fresh table for a thousand rows, however many there are.
    connection.execute(sa.text("ANALYZE scope"))
    return int(taken.accounts), int(taken.last)


def scope_bounds(connection: sa.Connection, order: Order) -> dict[str, int]:
    """Return the least and the greatest id that `scope` may hold: with them a statement reads one part of an index."""
    last = connection.scalar(sa.text("SELECT max(customer_id) FROM scope"))
    return {"first": order.account_after + 1, "last": last or 0}


def work_set_based(connection: sa.Connection, name: str, order: Order, **parameters: Any) -> Counts:  # noqa: ANN401 bound values
    """Run the statement of a routine over `scope`; it returns one row of counts."""
    row = connection.execute(
        load_sql(name),
        {
            "dossier_code": order.dossier_code,
            "order_number": order.order_number,
            "run_date": order.run_date,
            "dry_run": order.dry_run,
            **scope_bounds(connection, order),
            **parameters,
        },
    ).one()
    return Counts(row.changed, row.unchanged, row.skipped, row.errors)


def in_parts(connection: sa.Connection, accounts: sa.Select[tuple[int]]) -> Iterator[list[int]]:
    """Yield the account ids that a query selects, ascending, in parts of AT_ONCE."""
    (column,) = accounts.selected_columns
    after = 0
    while found := list(connection.scalars(accounts.where(column > after).order_by(column).limit(AT_ONCE))):
        yield found
        after = found[-1]


def write_results(connection: sa.Connection, order: Order, results: Sequence[Result]) -> None:
    """Keep what became of these accounts; a later attempt's word takes the place of an earlier one's."""
    if results:
        rows = [
            {"customer_id": one.customer_id, "outcome": one.outcome, "message": one.message, "details": one.details}
            for one in results
        ]
        connection.execute(
            load_sql("write_order_results"),
            {"dossier_code": order.dossier_code, "order_number": order.order_number, "rows": json.dumps(rows, default=str)},
        )


def list_results(
    connection: sa.Connection, order: Order, *, limit: int, outcome: Outcome | None = None
) -> list[dict[str, Any]]:
    """Return what became of single accounts, errors first, with the code and name of each account."""
    statement = _results(order).order_by(*ERRORS_FIRST).limit(limit)
    if outcome is not None:
        statement = statement.where(order_detail.c.outcome == outcome)
    return rows_of(connection, statement)


def page_results(connection: sa.Connection, order: Order, *, limit: int, offset: int) -> tuple[Rows, int]:
    """Return a page of what `list_results` lists, and how many there are."""
    return page_of(connection, _results(order), ERRORS_FIRST, limit, offset)


def _results(order: Order) -> sa.Select[Any]:
    columns = order_detail.c
    return (
        sa.select(
            columns.customer_id, customer.c.code, shown_name().label("name"), columns.outcome, columns.message, columns.details
        )
        .join(
            customer,
            sa.and_(customer.c.dossier_code == columns.dossier_code, customer.c.customer_id == columns.customer_id),
        )
        .where(columns.dossier_code == order.dossier_code, columns.order_number == order.order_number)
    )
