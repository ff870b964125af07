"""F26: our clock jumps two hours forward and back, over the turn of the year too; the clocks of the other systems do not."""

from __future__ import annotations

import itertools
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

import erpcrm_orchestration
from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.schedule import Window, ticks_between
from erpcrm_orchestration.services import ledger
from erpcrm_orchestration.services.due import dossiers_due
from erpcrm_orchestration.store import schema
from tests.company import Company
from tests.integrated_company import IntegratedCompany
from tests.scenarios.child_round import start
from tests.scenarios.crash_harness import CrashHarness

AHEAD, BEHIND, RIGHT = timedelta(hours=2), timedelta(hours=-2), timedelta()
NOON = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
BEFORE_NEW_YEAR = datetime(2026, 12, 31, 22, 50, tzinfo=UTC)
"""Ten minutes before midnight in Paris."""
STEP = timedelta(minutes=2)


class World:
    """Shop and ERP whose clocks are right, and a company whose clock is `shift` away from them."""

    def __init__(self, engine: sa.Engine, begin: datetime, stack: ExitStack) -> None:
        self.real, ours = FixedClock(begin), FixedClock(begin)
        self.company = IntegratedCompany(engine, ours)
        self.company.dossier()
        shop, erp = Shop(clock=self.real), Erp(clock=self.real)
        self.company.connect_systems(shop=stack.enter_context(WebServer(shop)).url, erp=stack.enter_context(WebServer(erp)).url)
        self.harness = CrashHarness(self.company, shop, erp, seed=1)

    def pass_time(self, shift: timedelta) -> str:
        """Let two minutes go by and the shop take an order; return its number."""
        self.real.at += STEP
        self.company.clock.at = self.real.at + shift
        made = self.harness.shop.add_order([(self.harness.products[0], 1)], customer_id=self.harness.customer)
        return str(made["number"])

    def work(self, run_id: str) -> None:
        """Do one round in which nothing fails."""
        assert dossiers_due(self.company.engine, clock=self.company.clock) == ["998"], "the sensor asks for it"
        done = self.company.round(run_id=run_id)
        assert list(done) == ["998"], "nobody holds the lease"
        assert done["998"].failures == []

    def die(self, failpoint: str, run_id: str) -> None:
        """Let a run die that has leases and work in its hands."""
        url = self.company.engine.url.render_as_string(hide_password=False)
        process = start(url, self.company.clock.now(), run_id, self.company.environment, failpoint=f"{failpoint}:kill")
        process.join(60)
        assert process.exitcode == -signal.SIGKILL

    def settle(self) -> None:
        """Read back what was told last, with a clock that is right; then everything agrees."""
        for number in range(2):
            self.real.at += STEP
            self.company.clock.at = self.real.at
            self.work(f"quiet-{number}")
        account = self.harness.account()
        assert account.is_clean, account

    def in_the_erp(self) -> list[str]:
        return sorted(str(sale["external_reference"]) for sale in self.harness.erp.orders)


@pytest.fixture
def world(engine: sa.Engine, request: pytest.FixtureRequest) -> Iterator[World]:
    """A world that begins at the instant that the test names, at noon when it names none."""
    with ExitStack() as stack:
        yield World(engine, getattr(request, "param", NOON), stack)


@pytest.mark.parametrize("world", [NOON, BEFORE_NEW_YEAR], indirect=True, ids=["noon", "turn of the year"])
def test_F26_every_order_arrives_at_once_whatever_our_clock_shows(world: World) -> None:
    orders = []
    for number, shift in enumerate((RIGHT, AHEAD, RIGHT, BEHIND, AHEAD, BEHIND, RIGHT)):
        orders.append(world.pass_time(shift))
        world.work(f"run-{number}")
        assert world.in_the_erp() == sorted(orders), f"after {shift}"
    world.settle()


@pytest.mark.parametrize("failpoint", ["poll.before_commit", "delivery.claimed", "delivery.written"])
def test_F26_what_a_dead_run_held_is_free_at_once_when_our_clock_goes_back(world: World, failpoint: str) -> None:
    """Its lease and its work item end two hours from now by the new clock; nothing waits for that."""
    orders = [world.pass_time(AHEAD)]
    world.die(failpoint, "dead")
    for number in range(2):
        orders.append(world.pass_time(BEHIND))
        world.work(f"run-{number}")
    assert world.in_the_erp() == sorted(orders)
    assert {row["state"] for row in world.company.rows("flow.work_item")} == {"DONE"}
    world.settle()


def test_F26_a_leap_into_the_year_after_next_and_back_loses_nothing(world: World) -> None:
    orders = []
    for number, shift in enumerate((RIGHT, timedelta(days=800), RIGHT)):
        orders.append(world.pass_time(shift))
        world.work(f"run-{number}")
    assert world.in_the_erp() == sorted(orders)
    world.settle()


@pytest.mark.parametrize("begin", [NOON, BEFORE_NEW_YEAR], ids=["noon", "turn of the year"])
def test_F26_every_tick_has_exactly_one_row_when_our_clock_jumps(engine: sa.Engine, begin: datetime) -> None:
    """P3: what a jump forward left out is accounted for by the policy, what a jump back repeats is not due again."""
    clock = FixedClock(begin)
    company = Company(engine, clock)
    window = Window((1, 2, 3, 4, 5, 6, 7), time(0, 0), 1439, 15, "Europe/Paris")
    process = {"days": list(window.days), "start": window.start, "duration_min": 1439, "frequency_min": 15}
    company.dossier("998", process={**process, "missed_ticks": "all", "missed_max": 100}, time_zone="Europe/Paris")
    real = begin
    for shift in itertools.islice(itertools.cycle((RIGHT, AHEAD, RIGHT, BEHIND)), 60):
        real += timedelta(minutes=5)
        clock.at = real + shift
        ledger.collect(engine, clock=clock)
        company.refresh("998")
    clock.at = real + AHEAD
    ledger.collect(engine, clock=clock)
    company.refresh("998")
    rows = company.rows(schema.tick)
    assert sorted(row.due_at for row in rows) == ticks_between(window, begin, clock.at)
    assert {row.state for row in rows} == {"RAN"}


WALL_CLOCK = re.compile(r"\btime\.time\(|datetime\.now\(|datetime\.utcnow\(|date\.today\(")
MAY_LOOK = {
    "domain/clock.py": "the clock itself",
    "resources/clock.py": "the clock that Dagster hands to the steps",
    "dagster_internals.py": "the instants that Dagster shows of its events",
    "cli/demo.py": "the simulated company lives now",
}


def test_F26_no_duration_is_measured_by_the_wall_clock() -> None:
    """Rules are given their clock, and what waits or paces uses the monotonic one."""
    root = Path(erpcrm_orchestration.__file__).parent
    found = {str(file.relative_to(root)) for file in root.rglob("*.py") if WALL_CLOCK.search(file.read_text(encoding="utf-8"))}
    assert found <= set(MAY_LOOK)
