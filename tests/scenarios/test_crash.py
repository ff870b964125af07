"""Killed rounds: nothing is lost, nothing is doubled, nothing stays behind; and bugs that should be caught are.

`make crash ROUNDS=10000` does it longer, with a seed of your own by SEED=...; the seed stands in the failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from tests.integrated_company import CONNECTORS, IntegratedCompany
from tests.scenarios.crash_harness import CrashHarness
from tests.scenarios.seeded_bugs import BUGS, WHERE_IT_SHOWS

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "300"))
SEED = int(os.environ.get("CRASH_SEED", "20261122"))
ROUNDS_FOR_A_BUG = 16
PEACEFUL_ROUNDS = 4


@pytest.fixture
def harness(engine: sa.Engine, clock: FixedClock) -> Iterator[CrashHarness]:
    """Shop and ERP of dossier 998; the ERP does not know idempotency keys, so that only looking helps."""
    shop, erp = Shop(clock=clock), Erp(clock=clock)
    company = IntegratedCompany(engine, clock)
    company.dossier()
    with ExitStack() as stack:
        urls = {name: stack.enter_context(WebServer(one)).url for name, one in (("shop", shop), ("erp", erp))}
        company.connect_systems(**urls)
        text = CONNECTORS.read_text(encoding="utf-8").replace("requests_per_s: 50", "requests_per_s: 1000")
        company.connect(
            text.replace("          find_records: items", "          find_records: items\n          idempotency_header: null")
        )
        yield CrashHarness(company, shop, erp, SEED)


def test_F1_F6_killed_rounds_lose_double_and_forget_nothing(harness: CrashHarness) -> None:
    """F1 F2 F3 F4 F5 F6 F9 F30"""
    account = harness.run(ROUNDS)
    assert account.is_clean, f"seed {SEED}: {account}"
    assert account.kills >= ROUNDS * 0.5, f"seed {SEED}: only {account.kills} of {ROUNDS} rounds died"
    assert account.orders == ROUNDS


@pytest.mark.parametrize("bug", [bug for bug, failpoints in WHERE_IT_SHOWS.items() if failpoints])
def test_a_seeded_bug_goes_unseen_while_nothing_dies_and_is_caught_when_it_does(harness: CrashHarness, bug: str) -> None:
    harness.bug = bug
    account = harness.run(PEACEFUL_ROUNDS, failpoints=())
    assert account.is_clean, f"{bug} is seen without a crash: {account}"
    account = harness.run(ROUNDS_FOR_A_BUG, failpoints=WHERE_IT_SHOWS[bug])
    assert not account.is_clean, f"seed {SEED}: {bug} went through {account.kills} kills unseen"


@pytest.mark.parametrize("bug", [bug for bug, failpoints in WHERE_IT_SHOWS.items() if not failpoints])
def test_a_seeded_bug_that_needs_no_death_is_caught_by_the_account(harness: CrashHarness, bug: str) -> None:
    harness.bug = bug
    account = harness.run(ROUNDS_FOR_A_BUG)
    assert not account.is_clean, f"seed {SEED}: {bug} went unseen"


def test_every_seeded_bug_is_looked_for() -> None:
    assert set(WHERE_IT_SHOWS) == set(BUGS)
