"""Rounds that are stopped, and a database that goes away in any phase of them: what is there in the end is the shop's."""

from __future__ import annotations

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
from erpcrm_orchestration.store.embedded import EmbeddedServer
from tests.integrated_company import IntegratedCompany
from tests.scenarios.child_round import go_on, wait_until_stopped
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


def stopped_at(harness: CrashHarness, failpoint: str) -> BaseProcess:
    """Start a round and wait until it stands still at the failpoint."""
    process = harness.start("stopped", f"{failpoint}:stop")
    wait_until_stopped(process)
    return process


@pytest.mark.parametrize("failpoint", ["integration.before_commit", "delivery.written"])
def test_F10_a_stopped_round_that_comes_back_finds_its_lease_gone(harness: CrashHarness, failpoint: str) -> None:
    zombie = stopped_at(harness, failpoint)
    holds_rows = failpoint != "delivery.written"
    harness.company.clock.at += STEP
    if holds_rows:
        # It stands within a transaction that holds the lease row: an heir waits for it, as it should.
        assert go_on(zombie) in (0, 3)
    else:
        done = harness.company.round(run_id="heir")["998"]
        assert done.failures == []
        assert go_on(zombie) == 3, "E-FENCE-001"
    harness.settle()
    account = harness.account()
    assert account.is_clean, account


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
