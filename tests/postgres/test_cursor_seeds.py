"""The proof of the cursor: whatever a system does to its rows while it is read, every newest version is in the inbox.

Rows are committed late with older instants, share instants over the borders of pages, change while the list is read, and the
system's clock is wrong and jumps. What contradicts itself is fetched anew, as a round does it. Some sources are long enough for
their pages to shift, and of these some are read over HTTP, by offsets or page numbers. 200 seeds, 0 rows missed.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.message import Answer, Refused, Request, json_answer
from erpcrm_orchestration.demo.web import WebServer, WebSystem
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.connection import (
    Call,
    ChangeMode,
    Connection,
    Connector,
    ConnectorEntity,
    ConnectorKind,
    EntityMapping,
    FieldMap,
    Paging,
    PagingKind,
    Reading,
)
from erpcrm_orchestration.domain.integration import WORK
from erpcrm_orchestration.domain.received import Change, Page, Received, Span, Written
from erpcrm_orchestration.services.connectors import Connected
from erpcrm_orchestration.services.fetching import fetch_due
from erpcrm_orchestration.services.leases import hold
from erpcrm_orchestration.services.polling import poll
from erpcrm_orchestration.services.work import Work
from tests.integrated_company import IntegratedCompany

SEEDS = int(os.environ.get("CURSOR_SEEDS", "60"))
"""`make crash` does two hundred."""
PASSES = 5
PAGE = 4
LONG, LONG_PAGE = 40, 9
"""Rows of a source that shifts while it is read: many enough for some that change never again."""
SHORT, OVER_HTTP = range(14), 19
"""Of twenty seeds those with a short source, and the one that is read over HTTP: there a request costs most."""
SELDOM = 0.2
"""A list in which something changes at every request is never read to its end."""
SHIFTED_TOO_OFTEN = "E-SRC-052"


def orders(one: Call | None, paging: PagingKind) -> ConnectorEntity:
    """Return the orders as such a system gives them; `one` gives a single record."""
    parameter = {PagingKind.OFFSET: "offset", PagingKind.PAGE: "page"}.get(paging)
    reading = Reading(
        ChangeMode.CURSOR,
        Call("/orders", query={"after": "{after}"}),
        modified="modified",
        paging=Paging(paging, LONG_PAGE, "size", parameter),
        one=one,
    )
    return ConnectorEntity("orders", reading, EntityMapping("order", {"number": FieldMap("id")}))


ORDERS = [orders(one, PagingKind.NONE) for one in (None, Call("/orders/{id}"))]
"""A system that gives no single record, and one that does: there a second change within a second is fetched anew."""
LISTS = [orders(Call("/orders/{id}"), paging) for paging in (PagingKind.OFFSET, PagingKind.PAGE)]


@dataclass
class System:
    """A system with rows that others write while we read. `skew`: how wrong its clock is."""

    chance: random.Random
    clock: FixedClock
    page: int = PAGE
    skew: timedelta = timedelta(0)
    rows: dict[int, tuple[datetime, int]] = field(default_factory=dict)
    """Id -> modified instant and revision."""
    owed: list[tuple[int, datetime]] = field(default_factory=list)
    """Rows that a slow transaction has stamped and not committed."""
    revisions: int = 0
    busy: bool = True

    def now(self) -> datetime:
        return (self.clock.now() + self.skew).replace(microsecond=0)

    def fill(self, rows: int) -> None:
        """Have rows of forty days ago, three of each second: no pass looks back so far, so the first one has to see all."""
        for number in range(1, rows + 1):
            self._commit(number, self.now() - timedelta(days=40) + timedelta(seconds=number // 3))

    def write(self) -> None:
        """New and changed rows; some are stamped now and committed later; several share a second."""
        at = self.now()
        for _ in range(self.chance.randint(0, 6)):
            number = self.chance.choice([*self.rows, len(self.rows) + 1]) if self.rows else 1
            if self.chance.random() < 0.3:
                self.owed.append((number, at))
            else:
                self._commit(number, at)

    def commit_owed(self) -> None:
        """Commit what was stamped before, with its older instant."""
        for number, at in self.owed:
            if number not in self.rows or self.rows[number][0] <= at:
                self._commit(number, at)
        self.owed.clear()

    def go_on(self, likely: float = 0.5) -> None:
        """Let others write between two requests of ours."""
        if self.busy and self.chance.random() < likely:
            self.write()
        if self.busy and self.chance.random() < 0.3:
            self.commit_owed()

    def changed(self, after: datetime | None) -> list[tuple[datetime, int]]:
        """Return (instant, id) of the rows at or after an instant, in the order of their change."""
        return sorted((at, number) for number, (at, _) in self.rows.items() if after is None or at >= after)

    def pages(self, entity: ConnectorEntity, span: Span) -> Iterator[Page]:
        """Yield rows at or after an instant in the order of their change; they go on changing meanwhile."""
        place: tuple[datetime, int] | None = None
        clock = self.now()
        while True:
            page = [one for one in self.changed(span.after) if place is None or one > place][: self.page]
            yield Page([self._received(number) for _, number in page], clock)
            if not page:
                return
            place = page[-1]
            self.go_on()

    def fetch(self, entity: ConnectorEntity, source_id: str) -> Received | None:
        """Return a row as it is now; it may change before the answer is taken."""
        found = self._received(int(source_id)) if int(source_id) in self.rows else None
        self.go_on(SELDOM)
        return found

    def write_change(self, change: Change) -> Written:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""

    def text(self, number: int) -> str:
        """Return a row as it is served."""
        at, revision = self.rows[number]
        return json.dumps({"id": number, "modified": at.isoformat(), "revision": revision})

    def _commit(self, number: int, at: datetime) -> None:
        self.revisions += 1
        self.rows[number] = (at, self.revisions)

    def _received(self, number: int) -> Received:
        return Received(str(number), self.text(number), self.rows[number][0])


@dataclass(frozen=True)
class ToSystem(Connected):
    """A connection to a system of this test."""

    system: System | None = None

    def open(self, environment: object) -> System:  # type: ignore[override]
        assert self.system is not None
        return self.system


class Listed(WebSystem):
    """The system over HTTP: its list is counted by offsets or pages, and shifts when a row before the border changes."""

    def __init__(self, system: System) -> None:
        super().__init__(clock=system)
        self.system = system
        self.walks = 0
        """How often the list was begun."""
        self.route("GET", "/orders", self._list)
        self.route("GET", "/orders/([0-9]+)", self._one)

    def _list(self, request: Request) -> Answer:
        offset = request.number("offset", (request.number("page", 1, least=1) - 1) * self.system.page)
        self.walks += offset == 0
        if offset:
            self.system.go_on(SELDOM if self.walks > 1 else 1)
        after = request.query.get("after")
        found = self.system.changed(datetime.fromisoformat(after) if after else None)[offset : offset + self.system.page]
        return json_answer(200, f"[{', '.join(self.system.text(number) for _, number in found)}]".encode())

    def _one(self, _request: Request, number: str) -> Answer:
        if int(number) not in self.system.rows:
            raise Refused(404, "not_found", "no such order")
        answer = json_answer(200, self.system.text(int(number)).encode())
        self.system.go_on(SELDOM)
        return answer


@dataclass
class Trial:
    """What the seeds found together."""

    missed: dict[int, list[int]] = field(default_factory=dict)
    written: int = 0
    fetched: int = 0
    walks_again: int = 0
    """How often a list was read from its start again because it had shifted."""


def missed(company: IntegratedCompany, dossier: str, system: System) -> list[int]:
    """Return the rows whose last revision is not what stands here."""
    statement = sa.text(
        "SELECT x.external_id, i.payload FROM hub.cross_reference x JOIN flow.inbox i"
        " ON i.dossier_code = x.dossier_code AND i.message_id = x.message_id WHERE x.dossier_code = :dossier"
    )
    with company.engine.connect() as connection:
        held = {int(row[0]): json.loads(row[1])["revision"] for row in connection.execute(statement, {"dossier": dossier})}
    return [number for number, (_, revision) in system.rows.items() if held.get(number) != revision]


def live(work: Work, one: Connected, system: System, clock: FixedClock, trial: Trial) -> int:
    """Let the system live while it is read, then stand still; return how often its list was read well or given up."""
    passes = 0
    for number in range(PASSES + 2):
        system.busy = number < PASSES
        clock.at += timedelta(seconds=system.chance.choice([60, 61, 90, 300]) if system.busy else 3600)
        if system.busy and system.chance.random() < 0.2:
            system.skew = timedelta(seconds=system.chance.choice([-600, -60, 0, 60, 600]))
        if system.busy:
            system.write()
        failure = poll(work, one)["orders"].failure
        assert failure is None or (system.busy and failure.code == SHIFTED_TOO_OFTEN), failure
        passes += 1
        if not system.busy or system.chance.random() < 0.5:
            trial.fetched += fetch_due(work, one)
        if number % 2 or number == PASSES - 1:
            system.commit_owed()
    return passes


def connected_to(system: System, seed: int, dossier: str, stack: ExitStack) -> tuple[Connected, Listed | None]:
    """Return the connection of a seed: with single records or without, of short and of long sources, some over HTTP."""
    score, place = divmod(seed, 20)
    if place not in SHORT:
        system.page = LONG_PAGE
        system.fill(LONG)
    if place != OVER_HTTP:
        connector = Connector("c", ConnectorKind.REST, (ORDERS[(score + place) % 2],))
        return ToSystem(Connection(f"c{seed}", dossier, "shop", "c", "http://127.0.0.1"), connector, system), None
    listed = Listed(system)
    url = stack.enter_context(WebServer(listed)).url
    connector = Connector("c", ConnectorKind.REST, (LISTS[score % 2],), requests_per_s=1000)
    return Connected(Connection(f"c{seed}", dossier, "shop", "c", url), connector), listed


@pytest.mark.slow
def test_no_row_is_missed_whatever_the_seed(engine: sa.Engine, clock: FixedClock) -> None:
    """F23 F24 F25"""
    company = IntegratedCompany(engine, clock)
    trial = Trial()
    for seed in range(SEEDS):
        dossier = f"S{seed:03}"
        company.dossier(dossier)
        system = System(random.Random(seed), clock)  # noqa: S311 - repeatable on purpose
        with ExitStack() as stack:
            one, listed = connected_to(system, seed, dossier, stack)
            held = stack.enter_context(hold(engine, [dossier], WORK, holder=f"run-{seed}", clock=clock))
            passes = live(Work(engine, clock, {}, f"run-{seed}", held.epochs), one, system, clock, trial)
        trial.walks_again += listed.walks - passes if listed else 0
        trial.written += system.revisions
        if lost := missed(company, dossier, system):
            trial.missed[seed] = lost
    assert trial.missed == {}
    assert {row["state"] for row in company.rows("flow.work_item")} == {"DONE"}
    assert trial.written > SEEDS * PASSES
    assert trial.fetched > SEEDS
    assert trial.walks_again > SEEDS // 20, "no list that is counted has shifted"
