"""Fixtures of the tests on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from tests.company import Company
from tests.mailbox import Mailbox, running_mailbox
from tests.trading_company import TradingCompany, trading_company


@pytest.fixture
def company(engine: sa.Engine, clock: FixedClock) -> Company:
    """A company without dossiers, Wednesday 2026-11-18 12:00 UTC."""
    return Company(engine, clock)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A running SMTP server."""
    with running_mailbox() as running:
        yield running


@pytest.fixture
def systems(engine: sa.Engine, clock: FixedClock) -> Iterator[TradingCompany]:
    """Shop, ERP and CRM of dossier 998 on their ports; they are connected by the test."""
    with trading_company(engine, clock) as made:
        yield made


@pytest.fixture
def outbound(systems: TradingCompany) -> TradingCompany:
    """The three systems connected, and written to."""
    systems.company.connect_systems(**systems.urls)
    return systems
