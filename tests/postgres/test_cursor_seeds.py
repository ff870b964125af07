"""The proof of the cursor: whatever a system does to its rows while it is read, every newest version is in the inbox.

Rows are committed late with older instants, share instants over the borders of pages, change while the list is read, and the
system's clock is wrong and jumps. 200 seeds, 0 rows missed.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

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
    Reading,
)
from erpcrm_orchestration.domain.integration import WORK
from erpcrm_orchestration.domain.received import Change, Page, Received, Span, Written
from erpcrm_orchestration.services.connectors import Connected
from erpcrm_orchestration.services.leases import hold
from erpcrm_orchestration.services.polling import poll
from erpcrm_orchestration.services.work import Work
from tests.integrated_company import IntegratedCompany

SEEDS = int(os.environ.get("CURSOR_SEEDS", "60"))
"""`make crash` does two hundred."""
PASSES = 5
PAGE = 4
ORDERS = [
    ConnectorEntity(
        "orders",
        Reading(ChangeMode.CURSOR, Call("/orders"), modified="modified", one=one),
        EntityMapping("order", {"number": FieldMap("id")}),
    )
    for one in (None, Call("/orders/{id}"))
]
"""A system that gives no single record, and one that does: there a second change within a second is fetched anew."""


@dataclass
class System:
    """A system with rows that others write while we read. `skew`: how wrong its clock is."""

    chance: random.Random
    clock: FixedClock
    skew: timedelta = timedelta(0)
    rows: dict[int, tuple[datetime, int]] = field(default_factory=dict)
    """Id -> modified instant and revision."""
    owed: list[tuple[int, datetime]] = field(default_factory=list)
    """Rows that a slow transaction has stamped and not committed."""
    revisions: int = 0
    busy: bool = True

    def now(self) -> datetime:
        return (self.clock.now() + self.skew).replace(microsecond=0)

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

    def pages(self, entity: ConnectorEntity, span: Span) -> Iterator[Page]:
        """Yield rows at or after an instant in the order of their change; they go on changing meanwhile."""
        place: tuple[datetime, int] | None = None
        clock = self.now()
        while True:
            found = sorted((at, number) for number, (at, _) in self.rows.items() if span.after is None or at >= span.after)
            page = [one for one in found if place is None or one > place][:PAGE]
            yield Page([self._received(number) for _, number in page], clock)
            if not page:
                return
            place = page[-1]
            if self.busy and self.chance.random() < 0.5:
                self.write()
            if self.busy and self.chance.random() < 0.3:
                self.commit_owed()

    def fetch(self, entity: ConnectorEntity, source_id: str) -> Received | None:
        return self._received(int(source_id)) if int(source_id) in self.rows else None

    def write_change(self, change: Change) -> Written:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""

    def _commit(self, number: int, at: datetime) -> None:
        self.revisions += 1
        self.rows[number] = (at, self.revisions)

    def _received(self, number: int) -> Received:
        at, revision = self.rows[number]
        content = {"id": number, "modified": at.isoformat(), "revision": revision}
        return Received(str(number), json.dumps(content), at)


@dataclass(frozen=True)
class ToSystem(Connected):
    """A connection to a system of this test."""

    system: System | None = None

    def open(self, environment: object) -> System:  # type: ignore[override]
        assert self.system is not None
        return self.system


def missed(company: IntegratedCompany, dossier: str, system: System) -> list[int]:
    """Return the rows whose content we do not have as the newest, or as one that is to be fetched anew."""
    statement = sa.text(
        "SELECT x.external_id, i.payload FROM hub.cross_reference x JOIN flow.inbox i"
        " ON i.dossier_code = x.dossier_code AND i.message_id = x.message_id WHERE x.dossier_code = :dossier"
    )
    asked = sa.text("SELECT source_id FROM flow.work_item WHERE dossier_code = :dossier AND event = 'on_demand'")
    with company.engine.connect() as connection:
        held = {int(row[0]): json.loads(row[1])["revision"] for row in connection.execute(statement, {"dossier": dossier})}
        fetched = {int(row[0]) for row in connection.execute(asked, {"dossier": dossier})}
    return [number for number, (_, revision) in system.rows.items() if held.get(number) != revision and number not in fetched]


@pytest.mark.slow
def test_no_row_is_missed_whatever_the_seed(engine: sa.Engine, clock: FixedClock) -> None:
    """F23 F24 F25"""
    company = IntegratedCompany(engine, clock)
    found: dict[int, list[int]] = {}
    written = 0
    for seed in range(SEEDS):
        dossier = f"S{seed:03}"
        company.dossier(dossier)
        chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        system = System(chance, clock)
        connection = Connection(f"c{seed}", dossier, "shop", "c", "http://127.0.0.1")
        connector = Connector("c", ConnectorKind.REST, (ORDERS[seed % 2],))
        one = ToSystem(connection, connector, system)
        with hold(engine, [dossier], WORK, holder=f"run-{seed}", clock=clock) as held:
            work = Work(engine, clock, {}, f"run-{seed}", held.epochs)
            for number in range(PASSES):
                clock.at += timedelta(seconds=chance.choice([60, 61, 90, 300]))
                if chance.random() < 0.2:
                    system.skew = timedelta(seconds=chance.choice([-600, -60, 0, 60, 600]))
                system.write()
                polls = poll(work, one)
                assert polls["orders"].failure is None
                if number % 2:
                    system.commit_owed()
            system.commit_owed()
            system.busy = False
            for _ in range(2):
                clock.at += timedelta(seconds=3600)
                poll(work, one)
        written += system.revisions
        if lost := missed(company, dossier, system):
            found[seed] = lost
    assert found == {}
    assert written > SEEDS * PASSES
