"""Fixtures of the board: a company, a running board before its database, and people with rights."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from tests.board_house import House, running_board
from tests.company import Company


@pytest.fixture
def company(engine: sa.Engine, clock: FixedClock) -> Company:
    """A company without dossiers, Wednesday 2026-11-18 12:00 UTC."""
    return Company(engine, clock)


@pytest.fixture
def house(engine: sa.Engine, clock: FixedClock) -> Iterator[House]:
    """The board of this company, running."""
    with running_board(engine, clock) as running:
        yield running
