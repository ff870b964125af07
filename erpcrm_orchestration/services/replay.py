"""A backfill: the entities of a dossier made anew from its inbox.

No system is asked, no cursor moves, no message changes its state, and nothing is delivered: what differs from another system
afterwards is for the reconciliation to find.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.connection import ConnectorEntity
from erpcrm_orchestration.domain.errors import StoreError
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.integration import BATCH, WORK, Tally
from erpcrm_orchestration.services.connectors import Connected, compiled, connected
from erpcrm_orchestration.services.integration import parents_first
from erpcrm_orchestration.services.integration_batch import IntegrationBatch, Stream
from erpcrm_orchestration.services.leases import hold
from erpcrm_orchestration.services.work import Work
from erpcrm_orchestration.store import inbox


def replay(
    engine: sa.Engine, dossier_codes: Sequence[str], entities: Collection[str], *, clock: Clock, run_id: str
) -> dict[tuple[str, str], Tally]:
    """Return (dossier, entity) -> what was made; raise StoreError E-DB-031 for dossiers that another run works on."""
    with engine.connect() as connection:
        found = connected(connection, dossier_codes)
    tallies: dict[tuple[str, str], Tally] = {}
    with hold(engine, sorted(dossier_codes), WORK, holder=run_id, clock=clock) as held:
        work = Work(engine, clock, {}, run_id, held.epochs)
        streams = [(one, stream) for one in found for stream in one.streams if stream.map and stream.map.entity in entities]
        for one, stream in parents_first(streams):
            if one.connection.dossier in held.epochs and stream.map:
                key = (one.connection.dossier, stream.map.entity)
                tallies[key] = tallies.get(key, Tally()) + _replay_stream(work, one, stream, stream.map.entity)
    if held.refused:
        codes = ", ".join(sorted(held.refused))
        raise StoreError("E-DB-031", f"dossier {codes}", "another run works on it", "run the backfill again for these")
    return tallies


def _replay_stream(work: Work, one: Connected, stream: ConnectorEntity, entity: str) -> Tally:
    mapping, tally, after = compiled(stream), Tally(), 0
    if mapping is None:
        return tally
    while True:
        with work.engine.begin() as connection:
            work.fence(connection, one.connection.dossier)
            messages = inbox.integrated(connection, one.key(stream), after, BATCH)
            if not messages:
                return tally
            after = messages[-1].message_id
            about = Stream(one.connection, stream, mapping, work.clock.now(), work.run_id)
            tally += IntegrationBatch(connection, about).rebuild(messages)
            failpoint("replay.before_commit")
