"""Killed rounds, with an ERP that knows idempotency keys: nothing is lost, nothing is doubled, nothing stays behind.

Half of the rounds are here, the other half in test_crash, so that two processes share them.
`make crash ROUNDS=10000` does it longer, with a seed of your own by SEED=...; the seed stands in the failure.
"""

from __future__ import annotations

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from tests.scenarios.crash_harness import NEEDED, ROUNDS, SEED, crashing_company, killed_rounds_are_made_good


def test_F1_F6_killed_rounds_lose_double_and_forget_nothing_with_keys(engine: sa.Engine, clock: FixedClock) -> None:
    """F1 F2 F3 F4 F5 F6 F9 F30"""
    with crashing_company(engine, clock, SEED + 1, keys=True, of_the_shop=NEEDED) as harness:
        killed_rounds_are_made_good(harness, ROUNDS // 2)
