"""Execution orders: written by people and agendas, claimed for runs, begun, gone on with and ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.errors import FenceError, InputError
from erpcrm_orchestration.domain.routine import Counts, NewOrder, Order, OrderState, Origin
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.paging import page_of
from erpcrm_orchestration.store.person import granted
from erpcrm_orchestration.store.routine_schema import execution_order, server
from erpcrm_orchestration.store.schema import dossier

columns = execution_order.c
CLAIM = 0x4552504F
"""Key of the advisory lock ("ERPO") under which due orders are claimed: two claimers would overfill a server."""
Key = tuple[str, int]
"""Dossier and number of an order."""


def insert_order(
    connection: sa.Connection,
    new: NewOrder,
    *,
    scheduled_at: datetime,
    summary: bool,
    origin: Origin,
    now: datetime,
    run_id: str | None = None,
) -> int:
    """Write an order as PENDING; return its number. `run_id`: the run that makes it for itself."""
    values = _values(new, scheduled_at=scheduled_at, summary=summary, origin=origin, now=now) | {"run_id": run_id}
    number: int = connection.execute(sa.insert(execution_order).values(values).returning(columns.order_number)).scalar_one()
    return number


def _values(new: NewOrder, *, scheduled_at: datetime, summary: bool, origin: Origin, now: datetime) -> dict[str, Any]:
    return {
        "dossier_code": new.dossier_code,
        "program": new.program,
        "requested_by": new.requested_by,
        "email": new.email,
        "summary": summary,
        "scheduled_at": scheduled_at,
        "server_code": new.server_code,
        "auto_agenda": new.agenda,
        "origin": origin,
        "audience_code": new.audience,
        "parameters": dict(new.parameters),
        "depends_on": new.depends_on,
        "dry_run": new.dry_run,
        "created_at": now,
    }


def lock_requester(connection: sa.Connection, requested_by: str) -> None:
    """Let the person's own orders be written one after another until the end of the transaction."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CLAIM, sa.func.hashtext(requested_by))))


def find_same(connection: sa.Connection, new: NewOrder, *, since: datetime) -> int | None:
    """Return the number of an order that the same person made since then and that says the same, None when there is none."""
    at_once = columns.scheduled_at == columns.created_at
    due = columns.auto_agenda if new.agenda else at_once if new.at is None else columns.scheduled_at == new.at
    same = {
        columns.dossier_code: new.dossier_code, columns.program: new.program, columns.requested_by: new.requested_by,
        columns.server_code: new.server_code, columns.audience_code: new.audience, columns.email: new.email,
        columns.parameters: dict(new.parameters), columns.depends_on: new.depends_on, columns.dry_run: new.dry_run,
        columns.summary: new.summary, columns.auto_agenda: new.agenda, columns.origin: Origin.PERSON,
    }  # fmt: skip
    conditions = [column.is_not_distinct_from(value) for column, value in same.items()]
    statement = sa.select(sa.func.max(columns.order_number)).where(
        *conditions, due, columns.created_at >= since, columns.state != OrderState.CANCELLED
    )
    number: int | None = connection.scalar(statement)
    return number


def has_next_of_agenda(connection: sa.Connection, dossier_code: str, program: str) -> int | None:
    """Return the number of the order of this agenda that waits, None when there is none."""
    return connection.scalar(
        sa.select(columns.order_number).where(
            columns.dossier_code == dossier_code,
            columns.program == program,
            columns.auto_agenda,
            columns.attempt == 1,
            columns.state == OrderState.PENDING,
        )
    )


def insert_next_of_agenda(connection: sa.Connection, order: Order, *, scheduled_at: datetime, now: datetime) -> None:
    """Write the order that follows one of an agenda, unless one waits already."""
    following = NewOrder(
        order.dossier_code, order.program, order.requested_by, agenda=True, server_code=order.server_code,
        audience=order.audience_code, parameters=order.parameters, dry_run=order.dry_run, email=order.email,
    )  # fmt: skip
    values = _values(following, scheduled_at=scheduled_at, summary=order.summary, origin=Origin.AGENDA, now=now)
    connection.execute(
        insert(execution_order)
        .values(values)
        .on_conflict_do_nothing(
            index_elements=[columns.dossier_code, columns.program],
            index_where=sa.text("auto_agenda AND attempt = 1 AND state = 'PENDING'"),
        )
    )


def _selected() -> sa.Select[tuple[Any, ...]]:
    return sa.select(execution_order, dossier.c.time_zone).join(dossier, dossier.c.dossier_code == columns.dossier_code)


def read_order(connection: sa.Connection, order_number: int, *, lock: bool = False) -> Order:
    """Return an order, locked until the end of the transaction if wished; raise InputError E-ORD-001 when there is none."""
    statement = _selected().where(columns.order_number == order_number)
    if lock:
        statement = statement.with_for_update(of=execution_order)
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise InputError("E-ORD-001", f"order {order_number}", "there is none of this number", "see `erpcrm order list`")
    return _order(row)


def dossier_of(connection: sa.Connection, order_number: int) -> str | None:
    """Return the dossier of an order, None when there is none of this number."""
    return connection.scalar(sa.select(columns.dossier_code).where(columns.order_number == order_number))


def list_orders(
    connection: sa.Connection,
    *,
    dossier_code: str | None = None,
    state: str | None = None,
    program: str | None = None,
    limit: int,
) -> list[Order]:
    """Return orders, the newest first."""
    statement = _selected().order_by(columns.order_number.desc()).limit(limit)
    for column, wanted in ((columns.dossier_code, dossier_code), (columns.state, state), (columns.program, program)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    return [_order(row) for row in connection.execute(statement).mappings()]


def page_orders(
    connection: sa.Connection,
    person_id: int,
    *,
    dossier_code: str | None = None,
    state: str | None = None,
    program: str | None = None,
    limit: int,
    offset: int,
) -> tuple[list[Order], int]:
    """Return a page of the orders that the person may see, the newest first, and how many there are."""
    statement = _selected().where(granted(person_id, Access.VIEW, columns.dossier_code))
    for column, wanted in ((columns.dossier_code, dossier_code), (columns.state, state), (columns.program, program)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    rows, total = page_of(connection, statement, (columns.order_number.desc(),), limit, offset)
    return [_order(row) for row in rows], total


@dataclass(frozen=True)
class Due:
    """An order that may start now; its server has `capacity` places for runs, numbered from 1, of which some are taken."""

    key: Key
    program: str
    server_code: str | None
    capacity: int
    tags: Mapping[str, str]
    taken_slots: frozenset[int]


def lock_due(connection: sa.Connection, *, now: datetime, limit: int) -> list[Due]:
    """Return the orders that may start, oldest first, locked: due, their server active, their parent done, alone of program."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CLAIM)))
    rows = connection.execute(load_sql("lock_due_orders"), {"now": now, "limit": limit})
    return [
        Due(
            (row.dossier_code, row.order_number),
            row.program,
            row.server_code,
            row.capacity,
            row.tags,
            frozenset(row.taken_slots),
        )
        for row in rows
    ]


def give_batch(connection: sa.Connection, keys: Sequence[Key], batch: str, slot: int, *, now: datetime) -> None:
    """Note the request that was made for these orders, and the place that its run has."""
    connection.execute(
        sa.update(execution_order)
        .where(columns.order_number.in_([number for _, number in keys]))
        .values(batch=batch, slot=slot, requested_at=now)
    )


def open_batches(connection: sa.Connection) -> dict[str, datetime]:
    """Return the requests with open orders, and when they were made."""
    rows = connection.execute(
        sa.select(columns.batch, sa.func.max(columns.requested_at).label("at"))
        .where(columns.state.in_([OrderState.PENDING, OrderState.RUNNING]), columns.batch.is_not(None))
        .group_by(columns.batch)
    )
    return {row.batch: row.at for row in rows}


def open_backfills(connection: sa.Connection) -> dict[int, str]:
    """Return the number of each open order that a backfill made for itself, and its run."""
    rows = connection.execute(
        sa.select(columns.order_number, columns.run_id).where(
            columns.origin == Origin.BACKFILL, columns.state.in_([OrderState.PENDING, OrderState.RUNNING])
        )
    )
    return {row.order_number: row.run_id for row in rows}


def orders_of_batch(connection: sa.Connection, batch: str) -> list[Key]:
    """Return the open orders of a request, in the order of their numbers."""
    rows = connection.execute(
        sa.select(columns.dossier_code, columns.order_number)
        .where(columns.batch == batch, columns.state.in_([OrderState.PENDING, OrderState.RUNNING]))
        .order_by(columns.order_number)
    )
    return [(row.dossier_code, row.order_number) for row in rows]


def reason_to_wait(connection: sa.Connection, order: Order) -> str | None:
    """Return why a locked order cannot start at this moment, None when it can: much may change once it is claimed."""
    if order.state is not OrderState.PENDING:
        return f"it is {order.state}"
    if order.depends_on is not None:
        parent = read_order(connection, order.depends_on)
        if parent.state is not OrderState.DONE:
            return f"its parent {parent.order_number} is {parent.state}"
    state = connection.scalar(sa.select(server.c.state).where(server.c.server_code == order.server_code))
    return f"server {order.server_code} is {state}" if state not in {None, "ACTIVE"} else None


def begin(connection: sa.Connection, order: Order, *, run_id: str, now: datetime) -> None:
    """Mark a locked order as RUNNING for this run; the unique index refuses a second one of the program (IntegrityError)."""
    connection.execute(
        sa.update(execution_order)
        .where(columns.order_number == order.order_number)
        .values(state=OrderState.RUNNING, run_id=run_id, started_at=sa.func.coalesce(columns.started_at, now))
    )


def require_held(connection: sa.Connection, order: Order) -> Order:
    """Lock the order and return it as it stands; raise FenceError when another run or attempt has it now."""
    found = read_order(connection, order.order_number, lock=True)
    if (found.state, found.run_id, found.attempt) != (OrderState.RUNNING, order.run_id, order.attempt):
        raise FenceError(
            "E-FENCE-001", order.label, "another run has taken it over", "nothing was written; that run does the work"
        )
    return found


def note_progress(connection: sa.Connection, order: Order, counts: Counts, *, account_after: int) -> None:
    """Write what a slice did together with how far it went."""
    connection.execute(
        sa.update(execution_order)
        .where(columns.order_number == order.order_number)
        .values(
            account_after=account_after,
            changed=columns.changed + counts.changed,
            unchanged=columns.unchanged + counts.unchanged,
            skipped=columns.skipped + counts.skipped,
            errors=columns.errors + counts.errors,
        )
    )


def end(connection: sa.Connection, order: Order, state: OrderState, *, failure: str | None, now: datetime) -> None:
    """End an order as DONE, FAILED with the reason, or CANCELLED."""
    connection.execute(
        sa.update(execution_order)
        .where(columns.order_number == order.order_number)
        .values(state=state, failure=failure, ended_at=now)
    )


def reopen(connection: sa.Connection, order: Order) -> None:
    """Let an order start once more, as a new attempt that goes on after the accounts that were handled."""
    connection.execute(
        sa.update(execution_order)
        .where(columns.order_number == order.order_number)
        .values(
            state=OrderState.PENDING,
            attempt=columns.attempt + 1,
            batch=None,
            requested_at=None,
            slot=None,
            run_id=None,
            ended_at=None,
            failure=None,
        )
    )


def free_batch(connection: sa.Connection, batch: str) -> int:
    """Let the orders of a request that did not start be claimed again; return how many."""
    return connection.execute(
        sa.update(execution_order)
        .where(columns.batch == batch, columns.state == OrderState.PENDING)
        .values(batch=None, slot=None, requested_at=None)
    ).rowcount


def free_order(connection: sa.Connection, order_number: int) -> None:
    """Let one order that did not start be claimed again."""
    connection.execute(
        sa.update(execution_order)
        .where(columns.order_number == order_number, columns.state == OrderState.PENDING)
        .values(batch=None, slot=None, requested_at=None)
    )


def _order(row: Mapping[Any, Any]) -> Order:
    same = (
        *("dossier_code", "order_number", "program", "requested_by", "email", "summary", "scheduled_at", "time_zone"),
        *("server_code", "auto_agenda", "audience_code", "parameters", "depends_on", "dry_run", "attempt", "batch", "run_id"),
        *("started_at", "ended_at", "failure", "account_after"),
    )
    return Order(
        **{name: row[name] for name in same},
        origin=Origin(row["origin"]),
        state=OrderState(row["state"]),
        counts=Counts(row["changed"], row["unchanged"], row["skipped"], row["errors"]),
    )
