"""Execution orders as people handle them: scheduled, cancelled, retried; and claimed for runs when they are due."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from erpcrm_orchestration.domain.agenda import next_order_at
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.configuration import Dossier
from erpcrm_orchestration.domain.errors import InputError, did_you_mean
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.routine import NewOrder, Order, OrderState, Origin
from erpcrm_orchestration.domain.routine_settings import Agenda
from erpcrm_orchestration.domain.schedule import local_instant
from erpcrm_orchestration.services.ledger import ATTEMPTS, LAUNCH_PATIENCE, RunState
from erpcrm_orchestration.services.order_parameters import checked_parameters
from erpcrm_orchestration.services.programs import require_program
from erpcrm_orchestration.store import order as store
from erpcrm_orchestration.store import routine_settings
from erpcrm_orchestration.store.audit import AuditRow, record_changes
from erpcrm_orchestration.store.dossier import require_code, require_dossier
from erpcrm_orchestration.store.routine import list_results

AT_ONCE = 500
"""So many orders are claimed at most in one look; the others in the next."""


@dataclass(frozen=True)
class OrderRequest:
    """One run to ask Dagster for: its orders, its place on their server, and the tags that take it there."""

    batch: str
    orders: tuple[store.Key, ...]
    server_code: str | None
    slot: int
    tags: Mapping[str, str]


def schedule(engine: sa.Engine, new: NewOrder, *, clock: Clock, same_within: timedelta | None = None) -> int:
    """Write an order, or raise InputError saying what it cannot be executed with; return its number.

    With `same_within`, an order that says the same and that the same person made so shortly before is joined, not repeated.

    E-ORD-002 unknown program, 003 before now, 004 agenda without times, 005 parameters, 006 server, 007 audience, 008 parent,
    009 the agenda has its next order, E-CLI-057 unknown dossier.
    """
    now = clock.now()
    with engine.begin() as connection:
        dossier = require_dossier(connection, new.dossier_code)
        program = require_program(new.program)
        new = replace(new, program=program.code, server_code=new.server_code or dossier.routines.server)
        new = checked_parameters(connection, new)
        _require_references(connection, new)
        summary = program.summary if new.summary is None else new.summary
        if same_within is not None:
            store.lock_requester(connection, new.requested_by)
            same = store.find_same(connection, replace(new, summary=summary), since=now - same_within)
            if same is not None:
                return same
        at = _scheduled_at(connection, new, dossier, now)
        number = store.insert_order(connection, new, scheduled_at=at, summary=summary, origin=Origin.PERSON, now=now)
        row = AuditRow("execution_order", str(number), "add", None, {"program": program.code, "at": at.isoformat()})
        record_changes(connection, [row], now=now, actor=new.requested_by)
    return number


def _scheduled_at(connection: sa.Connection, new: NewOrder, dossier: Dossier, now: datetime) -> datetime:
    """Return when the order is due. Dates and times are whole minutes of the dossier; `now` is one of them."""
    if new.agenda:
        agenda: Agenda | None = routine_settings.load_one(connection, "agendas", new.program)
        if agenda is None:
            raise InputError("E-ORD-004", "agenda", f"program {new.program} has none", "configure one, or give date and hour")
        waiting = store.has_next_of_agenda(connection, new.dossier_code, new.program)
        if waiting is not None:
            raise InputError("E-ORD-009", "agenda", f"its next order is {waiting}", "cancel that one first to change it")
        return next_order_at(agenda, dossier.time_zone, now)
    at = new.at or now
    if at < now:
        raise InputError(
            "E-ORD-003", "date and hour", f"{_local(at, dossier)} is before now, {_local(now, dossier)}", "give a later time"
        )
    return at


def _local(at: datetime, dossier: Dossier) -> str:
    return f"{at.astimezone(ZoneInfo(dossier.time_zone)):%Y-%m-%d %H:%M}"


def _require_references(connection: sa.Connection, new: NewOrder) -> None:
    for name, section, code, error in (
        ("server", "servers", new.server_code, "E-ORD-006"),
        ("audience", "audiences", new.audience, "E-ORD-007"),
    ):
        if code is not None and code not in (known := routine_settings.load(connection, section)):
            raise InputError(error, name, f"no {name} {code!a}", did_you_mean(code, known))
    if new.depends_on is not None:
        parent = store.read_order(connection, new.depends_on)
        if parent.dossier_code != new.dossier_code:
            raise InputError("E-ORD-008", "parent", f"{parent.label} is of another dossier", "name one of this dossier")
        if parent.state is OrderState.CANCELLED:
            raise InputError("E-ORD-008", "parent", f"{parent.label} is cancelled", "it never becomes DONE")


@dataclass(frozen=True)
class Backfill:
    """A routine to be executed for dossiers now, as if it were `on_date`; None is today."""

    program: str
    on_date: date | None = None
    audience: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    dry_run: bool = False
    email: str | None = None


def order_backfill(
    engine: sa.Engine, dossier_codes: Sequence[str], wanted: Backfill, *, run_id: str, clock: Clock
) -> list[int]:
    """Write an order for each dossier that the caller executes itself; return their numbers. No sensor claims them.

    Raises InputError as `schedule` does; a date that is past is what backfills are for, one to come is E-ORD-003.
    """
    now = clock.now()
    numbers = []
    with engine.begin() as connection:
        for code in dossier_codes:
            dossier = require_dossier(connection, code)
            new = NewOrder(
                code, wanted.program, "backfill", audience=wanted.audience, parameters=wanted.parameters,
                dry_run=wanted.dry_run, email=wanted.email, summary=wanted.email is not None,
            )  # fmt: skip
            new = checked_parameters(connection, new)
            _require_references(connection, new)
            at = now if wanted.on_date is None else _noon(wanted.on_date, dossier)
            if at > now and wanted.on_date != now.astimezone(ZoneInfo(dossier.time_zone)).date():
                raise InputError("E-ORD-003", "on_date", f"{wanted.on_date} is to come", "give today or a past date")
            numbers.append(
                store.insert_order(
                    connection, new, scheduled_at=at, summary=bool(new.summary), origin=Origin.BACKFILL, now=now, run_id=run_id
                )
            )
    return numbers


def _noon(day: date, dossier: Dossier) -> datetime:
    """Return an instant of the local day that every time zone has on that day."""
    return local_instant(datetime.combine(day, time(12)), dossier.time_zone)


def cancel(engine: sa.Engine, order_number: int, *, clock: Clock, actor: str) -> None:
    """Cancel an order that did not start; raise InputError E-ORD-001 (none), E-ORD-010 (it started or ended)."""
    with engine.begin() as connection:
        order = store.read_order(connection, order_number, lock=True)
        if order.state is not OrderState.PENDING:
            raise InputError("E-ORD-010", order.label, f"is {order.state}", "only an order that waits is cancelled")
        store.end(connection, order, OrderState.CANCELLED, failure=None, now=clock.now())
        _audit(connection, order, "cancel", clock.now(), actor)


def retry(engine: sa.Engine, order_number: int, *, clock: Clock, actor: str) -> None:
    """Let a failed order start again as a new attempt; it goes on where it ended. Raises InputError E-ORD-001, E-ORD-011."""
    with engine.begin() as connection:
        order = store.read_order(connection, order_number, lock=True)
        if order.state is not OrderState.FAILED:
            raise InputError("E-ORD-011", order.label, f"is {order.state}", "only a FAILED order is retried")
        store.reopen(connection, order)
        _audit(connection, order, "retry", clock.now(), actor)


def _audit(connection: sa.Connection, order: Order, action: str, now: datetime, actor: str) -> None:
    row = AuditRow("execution_order", str(order.order_number), action, {"state": order.state.value}, None)
    record_changes(connection, [row], now=now, actor=actor)


def take_due(engine: sa.Engine, *, clock: Clock) -> list[OrderRequest]:
    """Claim the orders that may start; return one request for each run that their servers have room for.

    A request is committed before it is made: one that is lost is found by `reconcile`.
    """
    now = clock.now()
    with engine.begin() as connection:
        requests = _requests(store.lock_due(connection, now=now, limit=AT_ONCE))
        for one in requests:
            store.give_batch(connection, one.orders, one.batch, one.slot, now=now)
        failpoint("orders_before_commit")
    failpoint("orders_after_commit")
    return requests


def _requests(due: Sequence[store.Due]) -> list[OrderRequest]:
    """Deal the orders of each server out to as many runs as it has room for; a program of a dossier stands there once."""
    servers: dict[str | None, list[store.Due]] = {}
    seen: set[tuple[str, str]] = set()
    for one in due:
        program = (one.key[0], one.program)
        if program not in seen:
            seen.add(program)
            servers.setdefault(one.server_code, []).append(one)
    requests = []
    for code, orders in servers.items():
        room = [slot for slot in range(1, orders[0].capacity + 1) if slot not in orders[0].taken_slots]
        hands = {slot: orders[start :: len(room)] for start, slot in enumerate(room[: len(orders)])}
        requests += [
            OrderRequest(f"order-{uuid.uuid4()}", tuple(one.key for one in hand), code, slot, orders[0].tags)
            for slot, hand in hands.items()
        ]
    return requests


def open_batches(engine: sa.Engine) -> dict[str, datetime]:
    """Return the requests for runs of orders that are open, and when they were made."""
    with engine.connect() as connection:
        return store.open_batches(connection)


def lost(engine: sa.Engine, runs: Mapping[str, RunState], *, clock: Clock) -> list[Order]:
    """Let the orders of lost runs be claimed again; return those that were lost too often, which are to be failed.

    `runs` tells for each open request what Dagster knows of its run.
    """
    now = clock.now()
    given_up: list[Order] = []
    with engine.begin() as connection:
        for batch, requested_at in store.open_batches(connection).items():
            state = runs.get(batch, "unknown")
            if state == "open" or (state == "unknown" and now - requested_at < LAUNCH_PATIENCE):
                continue
            store.free_batch(connection, batch)
            for _, number in store.orders_of_batch(connection, batch):
                order = store.read_order(connection, number, lock=True)
                if order.state is not OrderState.RUNNING or order.batch != batch:
                    continue
                if order.attempt >= ATTEMPTS:
                    given_up.append(order)
                else:
                    store.reopen(connection, order)
    return given_up


def backfill_runs(engine: sa.Engine) -> set[str]:
    """Return the runs of backfills that have open orders."""
    with engine.connect() as connection:
        return set(store.open_backfills(connection).values())


def abandoned(engine: sa.Engine, ended: Collection[str], *, clock: Clock) -> list[Order]:
    """Cancel what a backfill that ended had not begun; return what it was in the middle of: it is to be failed."""
    running: list[Order] = []
    with engine.begin() as connection:
        for number, run_id in store.open_backfills(connection).items():
            if run_id not in ended:
                continue
            order = store.read_order(connection, number, lock=True)
            if order.state is OrderState.RUNNING:
                running.append(order)
            elif order.state is OrderState.PENDING:
                store.end(connection, order, OrderState.CANCELLED, failure=None, now=clock.now())
    return running


def listed(engine: sa.Engine, dossier_code: str | None, state: str | None, *, limit: int) -> list[Order]:
    """Return orders, the newest first; raise InputError E-CLI-057 for an unknown dossier."""
    with engine.connect() as connection:
        return store.list_orders(connection, dossier_code=require_code(connection, dossier_code), state=state, limit=limit)


def local_time(engine: sa.Engine, dossier_code: str, day: date | None, hour: time | None, *, clock: Clock) -> datetime | None:
    """Return the instant of a day and an hour of a dossier; without a day it is today, without both None: at once.

    A day without an hour begins the day, or is at once when it is today; so is the minute that is running. Raises InputError
    E-CLI-057.
    """
    with engine.connect() as connection:
        zone = require_dossier(connection, dossier_code).time_zone
    now = clock.now()
    today = now.astimezone(ZoneInfo(zone)).date()
    if hour is None and day in {None, today}:
        return None
    at = local_instant(datetime.combine(day or today, hour or time(0)), zone)
    return None if at <= now < at + timedelta(minutes=1) else at


def details(engine: sa.Engine, order_number: int) -> tuple[Order, list[dict[str, Any]]]:
    """Return an order and what it says of single accounts; raise InputError E-ORD-001."""
    with engine.connect() as connection:
        order = store.read_order(connection, order_number)
        return order, list_results(connection, order, limit=1000)
