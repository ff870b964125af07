"""What the parts of the integration share while they work on a dossier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.integration import WORK
from erpcrm_orchestration.store import lease


@dataclass(frozen=True)
class Work:
    """`run_id` stands in every row written. `epochs`: dossier -> epoch of the lease that this run holds."""

    engine: sa.Engine
    clock: Clock
    environment: Mapping[str, str]
    run_id: str
    epochs: Mapping[str, int] = field(default_factory=dict)

    def fence(self, connection: sa.Connection, dossier_code: str) -> None:
        """Lock the lease until the commit; raise FenceError when it was taken over."""
        epoch = self.epochs[dossier_code]
        if not lease.lock_held(connection, {dossier_code: epoch}, WORK, holder=self.run_id):
            raise lease.fenced(dossier_code, WORK)
