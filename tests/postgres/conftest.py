"""Fixtures of the tests on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from tests.company import Company
from tests.mailbox import Mailbox, running_mailbox


@pytest.fixture
def company(engine: sa.Engine, clock: FixedClock) -> Company:
    """A company without dossiers, Wednesday 2026-11-18 12:00 UTC."""
    return Company(engine, clock)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A running SMTP server."""
    with running_mailbox() as running:
        yield running
