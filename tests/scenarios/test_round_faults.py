"""Rounds that are stopped, a database that goes away in any phase of them, and a record that the ERP refuses.

What is there in the end is the shop's.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from multiprocessing.process import BaseProcess

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.errors import StoreError
from erpcrm_orchestration.store.embedded import EmbeddedServer
from tests.integrated_company import IntegratedCompany
from tests.scenarios.child_round import FENCED, go_on, go_to_next_stop, wait_until_stopped
from tests.scenarios.crash_harness import STEP, CrashHarness

PHASES = ("poll.after_insert", "integration.before_commit", "delivery.written")


@pytest.fixture
def harness(engine: sa.Engine, clock: FixedClock) -> Iterator[CrashHarness]:
    """Shop and ERP of dossier 998, with one order."""
    shop, erp = Shop(clock=clock), Erp(clock=clock)
    company = IntegratedCompany(engine, clock)
    company.dossier()
    with ExitStack() as stack:
        urls = {name: stack.enter_context(WebServer(one)).url for name, one in (("shop", shop), ("erp", erp))}
        company.connect_systems(**urls)
        made = CrashHarness(company, shop, erp, seed=1)
        made.live()
        yield made
        # One that stands still after a failed test would keep the test process from its end.
        for process in multiprocessing.active_children():
            process.kill()


def stopped_at(harness: CrashHarness, *failpoints: str) -> BaseProcess:
    """Start a round and wait until it stands still at the first of these failpoints."""
    process = harness.start("stopped", ",".join(f"{one}:stop" for one in failpoints))
    wait_until_stopped(process)
    return process


@pytest.mark.parametrize("failpoint", ["integration.before_commit", "delivery.written"])
def test_F10_a_stopped_round_that_comes_back_finds_its_lease_gone(harness: CrashHarness, failpoint: str) -> None:
    within = failpoint == "integration.before_commit"
    zombie = stopped_at(harness, failpoint, *["integration.after_commit"] * within)
    harness.company.clock.at += STEP
    if within:
        assert harness.work("too early") is None, "within its transaction the old round keeps the lease"
        go_to_next_stop(zombie)
    done = harness.work("heir")
    assert done is not None
    assert done.failures == []
    left = standing(harness)
    assert go_on(zombie) == FENCED
    assert standing(harness) == left, "the old round changed what its heir had made"
    harness.settle()
    account = harness.account()
    assert account.is_clean, account


def standing(harness: CrashHarness) -> list[object]:
    """Return what a round writes: our rows, what became of messages and work, and what ERP and shop were told."""
    rows = [harness.company.rows(name) for name in ("hub.order_header", "hub.order_line", "hub.customer", "hub.product")]
    states = [harness.company.rows(name) for name in ("flow.inbox", "flow.work_item")]
    return [*rows, *states, harness.erp.orders, harness.erp.records("customers"), list(harness.shop.writes)]


@pytest.mark.parametrize("failpoint", PHASES)
def test_F12_a_round_whose_connections_are_ended_is_made_good_by_the_next(harness: CrashHarness, failpoint: str) -> None:
    process = stopped_at(harness, failpoint)
    with harness.company.engine.begin() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    go_on(process)
    harness.company.clock.at += timedelta(minutes=2)
    harness.settle()
    account = harness.account()
    assert account.is_clean, account


@pytest.mark.parametrize("failpoint", PHASES)
def test_F11_a_database_that_restarts_in_any_phase_loses_and_doubles_nothing(
    harness: CrashHarness, failpoint: str, server: EmbeddedServer
) -> None:
    process = stopped_at(harness, failpoint)
    harness.company.engine.dispose()
    server.stop("immediate")
    server.start()
    go_on(process)
    harness.company.clock.at += timedelta(minutes=2)
    harness.settle()
    account = harness.account()
    assert account.is_clean, account


@pytest.mark.parametrize("failpoint", PHASES[1:])
def test_F13_a_round_whose_database_goes_away_fails_and_the_next_one_after_its_return_makes_it_good(
    harness: CrashHarness, failpoint: str, server: EmbeddedServer
) -> None:
    process = stopped_at(harness, failpoint)
    harness.company.engine.dispose()
    server.stop()
    try:
        assert go_on(process) not in (0, None)
        with pytest.raises(StoreError, match=r"^E-DB-001 "):
            harness.work("away")
    finally:
        server.start()
    harness.company.clock.at += timedelta(minutes=2)
    done = harness.work("back")
    assert done is not None
    assert done.failures == []
    harness.settle()
    account = harness.account()
    assert account.is_clean, account


def test_F32_of_a_hundred_orders_of_which_the_erp_refuses_one_ninety_nine_are_there(harness: CrashHarness) -> None:
    """The ERP takes no line without a quantity: its 422 is for one order, and for good."""
    (wrong,) = harness.shop.kinds["orders"]
    harness.shop.change_order(wrong, lines=[(harness.products[0], 0)])
    for _ in range(99):
        harness.shop.add_order([(harness.products[0], 1)], customer_id=harness.customer)
    done = harness.work("all")
    assert done is not None
    assert done.failures == []
    harness.company.clock.at += STEP
    harness.work("again")
    items = {str(row["record_id"]): row for row in harness.company.rows("flow.work_item", system_code="erp", entity="order")}
    assert Counter(row["state"] for row in items.values()) == {"DONE": 99, "DEAD": 1}
    (refused,) = [row for row in items.values() if row["state"] == "DEAD"]
    assert refused["attempts"] == 1
    assert refused["last_error"].startswith(
        "E-SRC-048 connection erp_998: POST /api/v1/orders: status 422 ('invalid_quantity');"
    )
    numbers = {str(harness.shop.order(one)["number"]) for one in harness.shop.kinds["orders"] if one != wrong}
    assert Counter(sale["external_reference"] for sale in harness.erp.orders) == Counter(numbers)
    assert harness.erp.log.count("POST", "/api/v1/orders") == 100
