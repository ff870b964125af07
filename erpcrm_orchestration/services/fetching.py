"""Records fetched on demand: missing parents at once, requests of people outside of the peak hours, on average one a second."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from erpcrm_orchestration.domain.connection import Connection
from erpcrm_orchestration.domain.errors import CredentialsRefused, PermanentFailure, SourceError
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.received import ConnectorClient, Via
from erpcrm_orchestration.domain.work import LEASE_MARGIN_S, Outcome, WorkState, outcome_of_failure
from erpcrm_orchestration.services.connectors import Connected
from erpcrm_orchestration.services.work import Work
from erpcrm_orchestration.store import connection_state
from erpcrm_orchestration.store.dossier import time_zone_of
from erpcrm_orchestration.store.inbox import Arrival, head_of, receive, take_turn
from erpcrm_orchestration.store.work import Item, Turn, claim_work, close_work, give_back, queue_fetches

AT_ONCE = 50
CONTRADICTED = "what came of it contradicts what we have"
"""The cause of a fetch that asks which of both stands; of a deletion, that the system has no such record is an answer, too."""


def request_missing(
    connection: sa.Connection, one: Connected, missing: Collection[tuple[str, str]], cause: str, now: datetime
) -> int:
    """Ask for the records that others wait for: (entity, id). What the system cannot give singly is waited for."""
    wanted = [
        (one.key(stream), source_id)
        for entity, source_id in sorted(missing)
        if (stream := one.stream_of(entity)) is not None and stream.read and stream.read.one
    ]
    return queue_fetches(connection, wanted, cause=cause, urgent=True, now=now)


def in_peak(one: Connection, zone: str, now: datetime) -> bool:
    """True in the part of the dossier's day in which requests that can wait are not sent; it may span midnight."""
    local = now.astimezone(ZoneInfo(zone)).time()
    if one.peak_from <= one.peak_to:
        return one.peak_from <= local < one.peak_to
    return local >= one.peak_from or local < one.peak_to


def fetch_due(work: Work, one: Connected) -> int:
    """Fetch what is due from one system into the inbox; return how many items were tried."""
    tried = 0
    with closing(one.open(work.environment)) as client:
        while batch := _claim(work, one):
            for number, item in enumerate(batch, start=1):
                failpoint("fetch.claimed")
                tried += 1
                if not _fetch(work, one, client, item):
                    with work.engine.begin() as connection:
                        give_back(connection, one.connection.dossier, batch[number:])
                    return tried
    return tried


def _claim(work: Work, one: Connected) -> Sequence[Item]:
    """Lease the urgent items; outside of the peak also others, one for every second since the last."""
    now, connection_of = work.clock.now(), one.connection
    until = now + timedelta(seconds=one.connector.timeout_s + LEASE_MARGIN_S)
    with work.engine.begin() as connection:
        work.fence(connection, connection_of.dossier)

        def claimed(limit: int, *, urgent: bool) -> list[Item]:
            turn = Turn("on_demand", [connection_of.connection_code], now, until, limit, urgent_only=urgent)
            return claim_work(connection, connection_of.dossier, turn)

        items = claimed(AT_ONCE, urgent=True)
        if items or in_peak(connection_of, time_zone_of(connection, connection_of.dossier), now):
            return items
        last = connection_state.last_request(connection, connection_of)
        allowed = 1 if last is None else min(int((now - last).total_seconds()), AT_ONCE)
        items = claimed(allowed, urgent=False) if allowed > 0 else []
        if items:
            connection_state.note(connection, connection_of, request_at=now)
        return items


def _fetch(work: Work, one: Connected, client: ConnectorClient, item: Item) -> bool:
    """Fetch one record and close its item; False when the connection has to be left alone."""
    stream = one.connector.entity(item.stream)
    try:
        if stream is None or stream.read is None or item.source_id is None:
            raise PermanentFailure(
                "E-INT-004", f"{item.connection_code} {item.stream}", "not read any more", "drop it: erpcrm work drop"
            )
        key = one.key(stream)
        with work.engine.connect() as connection:
            before = head_of(connection, key, item.source_id)
        found = client.fetch(stream, item.source_id)
    except SourceError as failure:
        return _failed(work, one, item, failure)
    failpoint("fetch.answered")
    now = work.clock.now()
    outcome = Outcome(WorkState.DONE, now)
    with work.engine.begin() as connection:
        work.fence(connection, one.connection.dossier)
        take_turn(connection, key)
        head = head_of(connection, key, item.source_id)
        if head.message_id != before.message_id:
            # A webhook or a poll was quicker: what was answered may be from before it.
            outcome = Outcome(WorkState.QUEUED, now, counts=False)
        elif found is not None:
            receive(connection, key, [found], Arrival(Via.ON_DEMAND, now, work.run_id))
        elif item.cause != CONTRADICTED or not head.is_deleted:
            place = f"{item.connection_code} {item.stream} {item.source_id}"
            error = f"E-INT-005 {place}: the system has no such record; correct the id, or compare: erpcrm reconcile"
            outcome = Outcome(WorkState.DEAD, now, error)
        close_work(connection, one.connection.dossier, item, outcome, now=now, run_id=work.run_id)
        failpoint("fetch.before_commit")
    return True


def _failed(work: Work, one: Connected, item: Item, failure: SourceError) -> bool:
    now = work.clock.now()
    outcome = outcome_of_failure(item.work_id, item.attempts, failure, now)
    with work.engine.begin() as connection:
        close_work(connection, one.connection.dossier, item, outcome, now=now, run_id=work.run_id)
        if isinstance(failure, CredentialsRefused):
            connection_state.stop_connection(connection, one.connection, str(failure), now)
        wishes_rest = connection_state.rest(connection, one.connection, failure, now)
    return not (wishes_rest or isinstance(failure, CredentialsRefused))
