"""The mobility watcher's work: after an export of the agent the mobile synchronisation is started, once per export."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from erpcrm_orchestration.domain.call import CallCause, Deliveries
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.services.call import deliver
from erpcrm_orchestration.store.call import issue_mobility_calls
from erpcrm_orchestration.store.engine import reported


def issue_calls(engine: sa.Engine, *, clock: Clock) -> int:
    """Issue one call for every new logbook line with the mobility action of its dossier; return how many.

    Lines from before the activation of the dossier are history and start nothing.
    """
    with reported(engine), engine.begin() as connection:
        return issue_mobility_calls(connection, clock.now())


def deliver_calls(engine: sa.Engine, *, clock: Clock, environment: Mapping[str, str]) -> Deliveries:
    """Send the calls that are due; what cannot be sent is tried again later or fails with its reason."""
    with reported(engine):
        return deliver(engine, CallCause.MOBILITY, clock=clock, environment=environment)
