"""What the parts of the integration share while they work on a dossier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.integration import WORK
from erpcrm_orchestration.store import lease
from erpcrm_orchestration.store.statistics import analyze_entity, analyze_received

GROWTH_STEPS = (500, 5_000, 50_000, 500_000)


@dataclass
class Growth:
    """How many rows this run has written, by what they are."""

    rows: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Work:
    """`run_id` stands in every row written. `epochs`: dossier -> epoch of the lease that this run holds."""

    engine: sa.Engine
    clock: Clock
    environment: Mapping[str, str]
    run_id: str
    epochs: Mapping[str, int] = field(default_factory=dict)
    growth: Growth = field(default_factory=Growth)

    def received(self, rows: int, entity: str) -> None:
        """Count new messages of an entity, see `_is_due`."""
        if self._is_due(rows, f"received {entity}"):
            with self.engine.begin() as connection:
                analyze_received(connection)

    def grew(self, rows: int, entity: str) -> None:
        """Count new records of an entity, see `_is_due`."""
        if self._is_due(rows, entity):
            with self.engine.begin() as connection:
                analyze_entity(connection, entity)

    def _is_due(self, rows: int, of: str) -> bool:
        """True when a first load has made ten times more rows: the planner needs fresh statistics.

        Autovacuum comes a minute later, and until then every key looks like the only one: each lookup, and each check of a
        foreign key, would go through all rows that there are by now.
        """
        before = self.growth.rows[of]
        self.growth.rows[of] += rows
        return any(before < step <= self.growth.rows[of] for step in GROWTH_STEPS)

    def fence(self, connection: sa.Connection, dossier_code: str) -> None:
        """Lock the lease until the commit; raise FenceError when it was taken over."""
        epoch = self.epochs[dossier_code]
        if not lease.lock_held(connection, {dossier_code: epoch}, WORK, holder=self.run_id):
            raise lease.fenced(dossier_code, WORK)
