"""Killed rounds: nothing is lost, nothing is doubled, nothing stays behind.

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
from tests.integrated_company import IntegratedCompany
from tests.scenarios.crash_harness import CrashHarness, connectors

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "300"))
SEED = int(os.environ.get("CRASH_SEED", "20261122"))


@pytest.fixture
def harness(engine: sa.Engine, clock: FixedClock) -> Iterator[CrashHarness]:
    """Shop and ERP of dossier 998; the ERP does not know idempotency keys, so that only looking helps."""
    shop, erp = Shop(clock=clock), Erp(clock=clock)
    company = IntegratedCompany(engine, clock)
    company.dossier()
    with ExitStack() as stack:
        urls = {name: stack.enter_context(WebServer(one)).url for name, one in (("shop", shop), ("erp", erp))}
        company.connect_systems(**urls, of_the_shop=("customers", "products", "orders"))
        company.connect(connectors(keys=False))
        yield CrashHarness(company, shop, erp, SEED)


def test_F1_F6_killed_rounds_lose_double_and_forget_nothing(harness: CrashHarness) -> None:
    """F1 F2 F3 F4 F5 F6 F9 F30"""
    account = harness.run(ROUNDS)
    assert account.is_clean, f"seed {SEED}: {account}"
    assert account.kills >= ROUNDS * 0.5, f"seed {SEED}: only {account.kills} of {ROUNDS} rounds died"
    assert account.orders == ROUNDS
