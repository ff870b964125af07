"""From the inbox to the tables: every dossier's new messages, batch by batch, parents before what refers to them.

One writer per dossier: a lease whose epoch every batch checks. A batch is one transaction; what is in it stands or does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.connection import ConnectorEntity
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.integration import BATCH, LONGEST_WAIT, Tally, too_many_rejects
from erpcrm_orchestration.services.connectors import Connected, compiled
from erpcrm_orchestration.services.fetching import request_missing
from erpcrm_orchestration.services.integration_batch import IntegrationBatch, Stream
from erpcrm_orchestration.services.outbound import plan, targets_of
from erpcrm_orchestration.services.shared_fields import sharing_of
from erpcrm_orchestration.services.work import Work
from erpcrm_orchestration.store import inbox
from erpcrm_orchestration.store.connection_state import stop_stream, stopped_streams
from erpcrm_orchestration.store.outbound import undecided

ROUNDS = 32
"""How often a dossier is gone through again because records were woken: one for each level of a tree."""


def integrate(work: Work, dossier_code: str, connections: Sequence[Connected]) -> dict[tuple[str, str], Tally]:
    """Integrate what is NEW in the inbox of a dossier; return (connection code, stream) -> what became of it."""
    tallies: dict[tuple[str, str], Tally] = {}
    with work.engine.begin() as connection:
        work.fence(connection, dossier_code)
        inbox.expire(connection, dossier_code, now=work.clock.now(), longest=LONGEST_WAIT)
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
            tallies[key] = tallies.get(key, Tally()) + _integrate_stream(work, one, stream, connections)
    return tallies


def parents_first(streams: Sequence[tuple[Connected, ConnectorEntity]]) -> list[tuple[Connected, ConnectorEntity]]:
    """Return the streams by the order of their entities, whatever system they come from."""
    order = list(ENTITIES)
    return sorted(streams, key=lambda pair: order.index(pair[1].map.entity) if pair[1].map else 0)


def _integrate_stream(work: Work, one: Connected, stream: ConnectorEntity, targets: Sequence[Connected]) -> Tally:
    mapping = compiled(stream)
    if mapping is None or stream.map is None:
        return Tally()
    tally, sharing = Tally(), sharing_of(one, stream, targets)
    while True:
        now = work.clock.now()
        with work.engine.begin() as connection:
            work.fence(connection, one.connection.dossier)
            messages = inbox.claim(connection, one.connection.dossier, one.connection.system, stream.map.entity, BATCH)
            if not messages:
                return tally
            failpoint("integration.claimed")
            writes = stream.write is not None and one.connection.outbound_enabled
            in_doubt = writes and undecided(connection, one.key(stream))
            about = Stream(one.connection, stream, mapping, now, work.run_id, sharing, in_doubt)
            batch = IntegrationBatch(connection, about)
            result = batch.run(messages)
            request_missing(connection, one, result.missing, "a record waits for it", now)
            system, entity = one.connection.system, stream.map.entity
            cause = f"inbox:{messages[-1].message_id}"
            plan(connection, targets_of(targets, entity, but=system), entity, result.changed, cause=cause, now=now)
            itself = [target for target in targets_of(targets, entity) if target.one is one]
            plan(connection, itself, entity, result.told_again, cause=cause, now=now)
            if too_many_rejects(result.tally.rejected, len(messages)):
                _stop(connection, one, stream, result.tally, now)
            failpoint("integration.before_commit")
        failpoint("integration.after_commit")
        work.grew(result.tally.changed)
        tally += result.tally
        if too_many_rejects(result.tally.rejected, len(messages)):
            return tally


def _stop(connection: sa.Connection, one: Connected, stream: ConnectorEntity, tally: Tally, now: datetime) -> None:
    reason = f"{tally.rejected} of {tally.messages} records rejected: the system sends another shape"
    stop_stream(connection, one.connection, stream.name, reason, now)
