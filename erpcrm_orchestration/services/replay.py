"""A backfill: the entities of a dossier made anew from its inbox.

No system is asked, no cursor moves, no message changes its state, and nothing is delivered: what differs from another system
afterwards is for the reconciliation to find. Fields that several systems tell are merged as ever: what a person decided stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.connection import ConnectorEntity
from erpcrm_orchestration.domain.errors import StoreError
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.integration import BATCH, WORK, Tally
from erpcrm_orchestration.services.batch_message import Stream
from erpcrm_orchestration.services.connectors import Connected, compiled, connected
from erpcrm_orchestration.services.integration import parents_first
from erpcrm_orchestration.services.integration_batch import IntegrationBatch
from erpcrm_orchestration.services.leases import hold
from erpcrm_orchestration.services.shared_fields import Sharing, sharing_of
from erpcrm_orchestration.services.work import Work
from erpcrm_orchestration.store import inbox


@dataclass(frozen=True)
class Replay:
    """What a backfill is given. With `dry` it is undone at its end: the tallies say what would come of it."""

    clock: Clock
    run_id: str
    dry: bool = False


def replay(
    engine: sa.Engine, dossier_codes: Sequence[str], entities: Collection[str], job: Replay
) -> dict[tuple[str, str], Tally]:
    """Return (dossier, entity) -> what was made; raise StoreError E-DB-031 for dossiers that another run works on."""
    with engine.connect() as connection:
        found = connected(connection, dossier_codes)
    tallies: dict[tuple[str, str], Tally] = {}
    with hold(engine, sorted(dossier_codes), WORK, holder=job.run_id, clock=job.clock) as held, ExitStack() as stack:
        work = Work(engine, job.clock, {}, job.run_id, held.epochs)
        trial = stack.enter_context(_undone(engine)) if job.dry else None
        streams = [(one, stream) for one in found for stream in one.streams if stream.map and stream.map.entity in entities]
        for one, stream in parents_first(streams):
            if one.connection.dossier in held.epochs and stream.map:
                key = (one.connection.dossier, stream.map.entity)
                about = sharing_of(one, stream, [each for each in found if each.connection.dossier == one.connection.dossier])
                tallies[key] = tallies.get(key, Tally()) + StreamReplay(work, one, stream, about, trial).run()
    if held.refused:
        codes = ", ".join(sorted(held.refused))
        raise StoreError("E-DB-031", f"dossier {codes}", "another run works on it", "run the backfill again for these")
    return tallies


@contextmanager
def _undone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection whose one transaction is rolled back."""
    with engine.connect() as connection:
        yield connection
        connection.rollback()


class StreamReplay:
    """The integrated messages of one stream, batch by batch; each is a transaction of its own, unless all are undone."""

    def __init__(
        self, work: Work, one: Connected, stream: ConnectorEntity, sharing: Sharing, trial: sa.Connection | None
    ) -> None:
        self.work, self.one, self.stream, self.sharing, self.trial = work, one, stream, sharing, trial
        self.mapping = compiled(stream)

    def run(self) -> Tally:
        """Return what was made."""
        tally, after = Tally(), 0
        while self.mapping is not None:
            with self._transaction() as connection:
                messages = inbox.integrated(connection, self.one.key(self.stream), after, BATCH)
                if not messages:
                    break
                after = messages[-1].message_id
                now, run_id = self.work.clock.now(), self.work.run_id
                about = Stream(self.one.connection, self.stream, self.mapping, now, run_id, self.sharing)
                tally += IntegrationBatch(connection, about).rebuild(messages)
                failpoint("replay.before_commit")
        return tally

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        if self.trial is not None:
            yield self.trial
            return
        with self.work.engine.begin() as connection:
            self.work.fence(connection, self.one.connection.dossier)
            yield connection
