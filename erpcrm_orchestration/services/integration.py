"""From the inbox to the tables: every dossier's new messages, batch by batch, parents before what refers to them.

One writer per dossier: a lease whose epoch every batch checks. A batch is one transaction; what is in it stands or does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from erpcrm_orchestration.domain.connection import ConnectorEntity
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.integration import BATCH, LONGEST_WAIT, Tally, too_many_rejects
from erpcrm_orchestration.services.batch_message import Stream
from erpcrm_orchestration.services.connectors import Connected, compiled
from erpcrm_orchestration.services.fetching import request_missing
from erpcrm_orchestration.services.integration_batch import IntegrationBatch
from erpcrm_orchestration.services.integration_log import RoundLog
from erpcrm_orchestration.services.outbound import plan, targets_of
from erpcrm_orchestration.services.shared_fields import sharing_of
from erpcrm_orchestration.services.work import Work
from erpcrm_orchestration.store import inbox
from erpcrm_orchestration.store.connection_state import stop_stream, stopped_streams
from erpcrm_orchestration.store.logbook import write_lines
from erpcrm_orchestration.store.outbound import undecided

ROUNDS = 32
"""How often a dossier is gone through again because records were woken: one for each level of a tree."""


def integrate(work: Work, dossier_code: str, connections: Sequence[Connected]) -> dict[tuple[str, str], Tally]:
    """Integrate what is NEW in the inbox of a dossier; return (connection code, stream) -> what became of it."""
    tallies: dict[tuple[str, str], Tally] = {}
    with work.engine.begin() as connection:
        work.fence(connection, dossier_code)
        _give_up(connection, work, dossier_code, connections)
    for _ in range(ROUNDS):
        with work.engine.connect() as connection:
            open_now = inbox.open_streams(connection, dossier_code)
            stopped = stopped_streams(connection)
        streams = [
            (one, stream)
            for one in connections
            for stream in one.streams
            if stream.map
            and (one.connection.system, stream.map.entity, one.connection.connection_code) in open_now
            and (one.connection.connection_code, stream.name) not in stopped
        ]
        if not streams:
            break
        for one, stream in parents_first(streams):
            key = (one.connection.connection_code, stream.name)
            tallies[key] = tallies.get(key, Tally()) + StreamIntegration(work, one, stream, connections).run()
    return tallies


def _give_up(connection: sa.Connection, work: Work, dossier_code: str, connections: Sequence[Connected]) -> None:
    """Give up what waited too long for what is missing."""
    now = work.clock.now()
    delivering = [one.connection.connection_code for one in connections if one.connection.outbound_enabled]
    gone = inbox.expire(connection, dossier_code, now=now, longest=LONGEST_WAIT, delivering=delivering)
    write_lines(
        connection,
        [RoundLog(dossier_code, one.connection_code, now, work.run_id).rejected(one.message_id, one.error) for one in gone],
    )


def parents_first(streams: Sequence[tuple[Connected, ConnectorEntity]]) -> list[tuple[Connected, ConnectorEntity]]:
    """Return the streams by the order of their entities, whatever system they come from."""
    order = list(ENTITIES)
    return sorted(streams, key=lambda pair: order.index(pair[1].map.entity) if pair[1].map else 0)


class StreamIntegration:
    """The new messages of one stream, batch by batch; each batch is one transaction."""

    def __init__(self, work: Work, one: Connected, stream: ConnectorEntity, targets: Sequence[Connected]) -> None:
        mapping = compiled(stream)
        if mapping is None or stream.map is None:
            raise ValueError(f"{stream.name} is not mapped")
        self.work, self.one, self.stream, self.mapping = work, one, stream, mapping
        self.entity, self.key = stream.map.entity, one.key(stream)
        self.sharing = sharing_of(one, stream, targets)
        self.others = targets_of(targets, self.entity, but=one.connection.system)
        self.itself = [target for target in targets_of(targets, self.entity) if target.one is one]
        self.is_drained = False
        self.oldest_id = 0

    def run(self) -> Tally:
        """Return what became of the messages. A batch that our tables refuse is taken message by message."""
        tally, singly = Tally(), 0
        while True:
            try:
                found = self._batch(1 if singly else BATCH)
            except (IntegrityError, DataError) as error:
                if not singly:
                    singly = BATCH
                    continue
                found = self._refuse(error)
            singly = max(0, singly - 1)
            if found is None:
                return tally
            tally += found
            if found.stopped or self.is_drained:
                return tally

    def _batch(self, limit: int) -> Tally | None:
        now = self.work.clock.now()
        with self.work.engine.begin() as connection:
            messages = self._claimed(connection, limit)
            if not messages:
                return None
            self.oldest_id = messages[0].message_id
            failpoint("integration.claimed")
            result = IntegrationBatch(connection, self._about(connection, now)).run(messages)
            request_missing(connection, self.one, result.missing, "a record waits for it", now)
            cause = f"inbox:{messages[-1].message_id}"
            plan(connection, self.others, self.entity, result.changed, cause=cause, now=now)
            plan(connection, self.itself, self.entity, result.told_again, cause=cause, now=now)
            tally = self._judged(connection, result.tally, now)
            # What comes in meanwhile is open when the dossier is gone through again.
            self.is_drained = len(messages) < limit and not result.woken
            failpoint("integration.before_commit")
        failpoint("integration.after_commit")
        self.work.grew(tally.changed, self.entity)
        return tally

    def _claimed(self, connection: sa.Connection, limit: int) -> list[inbox.Message]:
        self.work.fence(connection, self.key.dossier_code)
        return inbox.claim(connection, self.key.dossier_code, self.key.system_code, self.entity, limit)

    def _about(self, connection: sa.Connection, now: datetime) -> Stream:
        writes = self.stream.write is not None and self.one.connection.outbound_enabled
        in_doubt = writes and undecided(connection, self.key)
        return Stream(self.one.connection, self.stream, self.mapping, now, self.work.run_id, self.sharing, in_doubt)

    def _judged(self, connection: sa.Connection, tally: Tally, now: datetime) -> Tally:
        """Stop the stream when too much of a batch was rejected."""
        if not too_many_rejects(tally.rejected, tally.messages):
            return tally
        reason = f"{tally.rejected} of {tally.messages} records rejected: the system sends another shape"
        stop_stream(connection, self.one.connection, self.stream.name, reason, now)
        return replace(tally, stopped=reason)

    def _refuse(self, error: DBAPIError) -> Tally:
        """Reject the message that our tables did not take, unless a newer version of its record took its place meanwhile."""
        first_line = str(error.orig).strip().partition("\n")[0]
        now = self.work.clock.now()
        with self.work.engine.begin() as connection:
            claimed = self._claimed(connection, 1)
            if not claimed or claimed[0].message_id != self.oldest_id:
                return Tally()
            message = claimed[0]
            where = f"{self.key.connection_code} {self.key.stream} {message.source_id}"
            told = f"E-INT-006 {where}: our tables refuse it: {first_line}; report it"
            row = {"message_id": message.message_id, "state": "REJECTED", "error": told}
            inbox.explain(connection, self.key.dossier_code, [row], now=now, run_id=self.work.run_id)
            log = RoundLog(self.key.dossier_code, self.key.connection_code, now, self.work.run_id)
            write_lines(connection, [log.rejected(message.message_id, told)])
        return Tally(rejected=1)
