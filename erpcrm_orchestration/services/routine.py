"""Execute an order: begin it, work through its accounts slice by slice, end it, and tell the requester.

Each slice is one transaction with its counts and how far it went, under a lock on the order that a run which was replaced does
not get any more. A slice that meets an account the database refuses is halved until that account is alone: it is counted as an
error and the others are done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.exc import DataError, IntegrityError, InternalError

from erpcrm_orchestration.domain.agenda import next_order_at
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.errors import ErpcrmError, InputError, StoreError, one_line
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.routine import Counts, Order, OrderState, Outcome
from erpcrm_orchestration.domain.routine_settings import Agenda, Audience
from erpcrm_orchestration.services.order_summary import summarise
from erpcrm_orchestration.store import order as orders
from erpcrm_orchestration.store import routine as store
from erpcrm_orchestration.store import routine_settings
from erpcrm_orchestration.store.audience import condition_of
from erpcrm_orchestration.store.engine import in_each_others_way

SLICE = 100_000
"""Accounts of one transaction: enough for set-based work, few enough that a restart repeats little."""

_OF_THE_DATA = (DataError, IntegrityError, InternalError)
"""What the database says of values; everything else (a lost connection, a lock) is of the whole run."""


@dataclass(frozen=True)
class RoutineRun:
    """What a run brings: its clock, the environment, and its id, which holds the orders that it works on."""

    clock: Clock
    environment: Mapping[str, str]
    run_id: str
    slice_size: int = SLICE


class Routine(Protocol):
    """What a program does. Every method is called in a transaction of its own order, and may be called again after a crash."""

    def prepare(self, connection: sa.Connection, order: Order) -> None:
        """Raise ErpcrmError when the order cannot be executed at all; nothing was written then."""

    def work(self, connection: sa.Connection, order: Order, run: RoutineRun) -> Counts:
        """Handle the accounts in the temporary table `scope`; the counts add up to how many they are."""

    def finish(self, connection: sa.Connection, order: Order, run: RoutineRun) -> None:
        """Do what follows when all accounts were handled, in the transaction that ends the order."""


@dataclass(frozen=True)
class Executed:
    """How an order stands after `execute`; `waits` says why it did not start."""

    order: Order
    waits: str | None = None


def execute(engine: sa.Engine, order_number: int, routine_of: Callable[[str], Routine], run: RoutineRun) -> Executed:
    """Execute an order as far as it goes; errors of the order end it as FAILED, and are told, not raised.

    Raises FenceError when another run has taken the order over, StoreError or SQLAlchemyError when the database is away: the
    order is then done by the next run.
    """
    begun = _begin(engine, order_number, run)
    if begun.waits is not None:
        return begun
    order = begun.order
    try:
        routine = routine_of(order.program)
        order = _prepare(engine, order, routine, run)
        order = _work(engine, order, routine, run)
        return Executed(_end(engine, order, run, OrderState.DONE, routine=routine))
    except StoreError:
        raise
    except ErpcrmError as error:
        return Executed(fail(engine, order, str(error), run))


def _begin(engine: sa.Engine, order_number: int, run: RoutineRun) -> Executed:
    """Mark the order as RUNNING and write the next one of its agenda, before anything is executed."""
    now = run.clock.now()
    try:
        with engine.begin() as connection:
            order = orders.read_order(connection, order_number, lock=True)
            if order.state is OrderState.RUNNING and order.run_id == run.run_id:
                return Executed(order)
            reason = orders.reason_to_wait(connection, order)
            if reason is not None:
                orders.free_order(connection, order_number)
                return Executed(order, reason)
            orders.begin(connection, order, run_id=run.run_id, now=now)
            _follow_agenda(connection, order, run)
            failpoint("order_before_begin_commit")
            begun = orders.read_order(connection, order_number)
    except IntegrityError:
        with engine.begin() as connection:
            orders.free_order(connection, order_number)
            return Executed(orders.read_order(connection, order_number), "another order of this program is running")
    failpoint("order_after_begin_commit")
    return Executed(begun)


def _follow_agenda(connection: sa.Connection, order: Order, run: RoutineRun) -> None:
    if not order.auto_agenda or order.attempt > 1:
        return
    agenda: Agenda | None = routine_settings.load_one(connection, "agendas", order.program)
    if agenda is not None:
        after = max(run.clock.now(), order.scheduled_at)
        at = next_order_at(agenda, order.time_zone, after)
        orders.insert_next_of_agenda(connection, order, scheduled_at=at, now=run.clock.now())


def _prepare(engine: sa.Engine, order: Order, routine: Routine, run: RoutineRun) -> Order:
    with engine.begin() as connection:
        order = orders.require_held(connection, order)
        routine.prepare(connection, order)
        if order.audience_code is not None and not store.is_frozen(connection, order):
            audience: Audience | None = routine_settings.load_one(connection, "audiences", order.audience_code)
            if audience is None:
                raise InputError(
                    "E-ORD-007", order.label, f"audience {order.audience_code} is not there any more", "name another and retry"
                )
            store.freeze_audience(connection, order, condition_of(audience))
    failpoint("order_after_prepare")
    return order


def _work(engine: sa.Engine, order: Order, routine: Routine, run: RoutineRun) -> Order:
    """Work through the accounts after the last one that was handled."""
    size = run.slice_size
    while True:
        try:
            order, taken = _slice(engine, order, routine, run, size)
        except _OF_THE_DATA as error:
            if in_each_others_way(error):
                raise
            if size > 1:
                size = max(1, min(size, run.slice_size) // 2)
                continue
            order = _refuse_next(engine, order, error)
            continue
        if not taken:
            return order
        # After a bad account the slices grow again: the rest is as good as ever.
        size = min(run.slice_size, size * 2)


def _slice(engine: sa.Engine, order: Order, routine: Routine, run: RoutineRun, size: int) -> tuple[Order, int]:
    with engine.begin() as connection:
        order = orders.require_held(connection, order)
        taken, last = store.take_slice(connection, order, size=size)
        if not taken:
            return order, 0
        counts = routine.work(connection, order, run)
        if counts.considered != taken:
            raise RuntimeError(f"{order.program} counted {counts.considered} of {taken} accounts")
        failpoint("order_before_slice_progress")
        orders.note_progress(connection, order, counts, account_after=last)
        failpoint("order_before_slice_commit")
    failpoint("order_after_slice_commit")
    return replace(order, account_after=last, counts=order.counts + counts), taken


def _refuse_next(engine: sa.Engine, order: Order, error: sa.exc.DBAPIError) -> Order:
    """Count the next account as an error: the database refuses what the routine would write of it."""
    message = one_line(str(error.orig).partition("\n")[0])
    with engine.begin() as connection:
        order = orders.require_held(connection, order)
        _, last = store.take_slice(connection, order, size=1)
        store.write_results(connection, order, [store.Result(last, Outcome.ERROR, f"E-ORD-020 account {last}: {message}")])
        orders.note_progress(connection, order, Counts(errors=1), account_after=last)
    return replace(order, account_after=last, counts=order.counts + Counts(errors=1))


def _end(
    engine: sa.Engine,
    order: Order,
    run: RoutineRun,
    state: OrderState,
    *,
    routine: Routine | None = None,
    failure: str | None = None,
) -> Order:
    now = run.clock.now()
    with engine.begin() as connection:
        order = orders.require_held(connection, order)
        if routine is not None:
            routine.finish(connection, order, run)
        orders.end(connection, order, state, failure=failure, now=now)
        ended = orders.read_order(connection, order.order_number)
        summarise(connection, ended, run.environment, now=now)
        failpoint("order_before_end_commit")
    failpoint("order_after_end_commit")
    return ended


def fail(engine: sa.Engine, order: Order, reason: str, run: RoutineRun) -> Order:
    """End an order that this run holds as FAILED, with its summary."""
    return _end(engine, order, run, OrderState.FAILED, failure=reason)
