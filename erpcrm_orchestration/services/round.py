"""One round of a dossier: read its systems, integrate, fetch what is missing, deliver what changed.

Dossiers go side by side; what one of them meets stops no other. A system that does not answer fails for its streams only.
A step that another session stood in the way of is made again: what it had committed stands, and it goes on from there.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.errors import ErpcrmError, SourceError
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.integration import WORK, Tally
from erpcrm_orchestration.services.connectors import Connected, connected
from erpcrm_orchestration.services.delivery import Deliveries, deliver_due
from erpcrm_orchestration.services.fetching import fetch_due
from erpcrm_orchestration.services.integration import integrate
from erpcrm_orchestration.services.leases import hold
from erpcrm_orchestration.services.polling import StreamPoll, poll
from erpcrm_orchestration.services.webhook_status import look_at_webhooks
from erpcrm_orchestration.services.work import Work
from erpcrm_orchestration.store.connection_state import resting_connections, stopped_connections
from erpcrm_orchestration.store.engine import in_each_others_way, locked, reported
from erpcrm_orchestration.store.inbox import Receipt

ATTEMPTS = 3
"""So often a step is begun that locks of other sessions cut off."""
DOSSIERS_AT_ONCE = 4
FETCH_ROUNDS = 8
"""How often fetched parents may turn out to need parents of their own within one round."""

Found = TypeVar("Found")


@dataclass
class DossierRound:
    """What a round did for a dossier. `polls`, `tallies` and `entities` are by (connection code, stream).

    `failure` ended it early; the failures of single systems are in `polls`, and in `unopened` when not even a session could be
    begun, by connection code.
    """

    dossier_code: str
    polls: dict[tuple[str, str], StreamPoll] = field(default_factory=dict)
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    entities: dict[tuple[str, str], str] = field(default_factory=dict)
    deliveries: dict[str, Deliveries] = field(default_factory=dict)
    fetched: int = 0
    unopened: dict[str, SourceError] = field(default_factory=dict)
    failure: ErpcrmError | None = None

    def by_entity(self) -> dict[str, Tally]:
        """Return entity -> what became of its messages; an entity that got none is missing."""
        found: dict[str, Tally] = {}
        for key, tally in self.tallies.items():
            if key in self.entities:
                found[self.entities[key]] = found.get(self.entities[key], Tally()) + tally
        return found

    def receipts(self) -> dict[str, Receipt]:
        """Return entity -> what was received of it, of those that were read."""
        found: dict[str, Receipt] = {}
        for key, one in self.polls.items():
            if key in self.entities:
                found[self.entities[key]] = found.get(self.entities[key], Receipt()) + one.receipt
        return found

    @property
    def failures(self) -> list[ErpcrmError]:
        """Everything that went wrong, the round's own failure first."""
        own = [self.failure] if self.failure else []
        return [*own, *self.unopened.values(), *(one.failure for one in self.polls.values() if one.failure)]


@dataclass(frozen=True)
class Round:
    """What a round is given. `everything` reads streams that are not due; without `reading` only the inbox is worked."""

    clock: Clock
    environment: Mapping[str, str]
    run_id: str = field(default_factory=lambda: f"cli-{uuid.uuid4()}")
    everything: bool = False
    reading: bool = True


def work_round(engine: sa.Engine, dossier_codes: Sequence[str], job: Round) -> dict[str, DossierRound]:
    """Do one round for these dossiers; one whose lease another run holds is left out."""
    codes = sorted(set(dossier_codes))
    with reported(engine):
        with engine.connect() as connection:
            by_dossier: dict[str, list[Connected]] = {}
            for one in connected(connection, codes):
                by_dossier.setdefault(one.connection.dossier, []).append(one)
        failpoint("round.before_lease")
        with hold(engine, sorted(by_dossier), WORK, holder=job.run_id, clock=job.clock) as held:
            failpoint("round.after_lease")
            work = Work(engine, job.clock, job.environment, job.run_id, held.epochs)
            with ThreadPoolExecutor(max(1, min(DOSSIERS_AT_ONCE, len(held.epochs))), "round") as threads:
                done = list(threads.map(lambda code: _dossier(work, by_dossier[code], code, job), sorted(held.epochs)))
    return {one.dossier_code: one for one in done}


def _dossier(work: Work, connections: Sequence[Connected], dossier_code: str, job: Round) -> DossierRound:
    result = DossierRound(dossier_code)
    result.entities = {
        (one.connection.connection_code, stream.name): stream.map.entity
        for one in connections
        for stream in one.streams
        if stream.map
    }
    try:
        if job.reading:
            for one in connections:
                with _opened(one, result):
                    _read(work, one, job, result)
        _integrate(work, dossier_code, connections, result)
        for _ in range(FETCH_ROUNDS):
            fetched = _fetch(work, connections, result)
            if not fetched:
                break
            result.fetched += fetched
            _integrate(work, dossier_code, connections, result)
        _deliver(work, connections, result)
    except ErpcrmError as failure:
        result.failure = failure
    return result


@contextmanager
def _opened(one: Connected, result: DossierRound) -> Iterator[None]:
    """Keep the failure of a connection that cannot even be opened, a secret of it is missing: the others go on."""
    try:
        yield
    except SourceError as failure:
        result.unopened[one.connection.connection_code] = failure


def _read(work: Work, one: Connected, job: Round, result: DossierRound) -> None:
    found = _persistently(work, partial(poll, work, one, everything=job.everything))
    result.polls |= {(one.connection.connection_code, stream): each for stream, each in found.items()}
    look_at_webhooks(work, one)


def _integrate(work: Work, dossier_code: str, connections: Sequence[Connected], result: DossierRound) -> None:
    for key, tally in _persistently(work, partial(integrate, work, dossier_code, connections)).items():
        result.tallies[key] = result.tallies.get(key, Tally()) + tally


def _deliver(work: Work, connections: Sequence[Connected], result: DossierRound) -> None:
    for one in _to_be_asked(work, connections):
        if one.connection.outbound_enabled:
            with _opened(one, result):
                result.deliveries[one.connection.connection_code] = _persistently(work, partial(deliver_due, work, one))


def _fetch(work: Work, connections: Sequence[Connected], result: DossierRound) -> int:
    fetched = 0
    for one in _to_be_asked(work, connections):
        with _opened(one, result):
            fetched += _persistently(work, partial(fetch_due, work, one))
    return fetched


def _to_be_asked(work: Work, connections: Sequence[Connected]) -> list[Connected]:
    """Return those of these connections that are neither stopped nor left alone for now."""
    with work.engine.connect() as connection:
        silent = {*stopped_connections(connection), *resting_connections(connection, work.clock.now())}
    return [one for one in connections if one.connection.connection_code not in silent]


def _persistently(work: Work, step: Callable[[], Found], attempts: int = ATTEMPTS) -> Found:
    """Return what a step returns, begun again when locks cut it off; raise StoreError E-DB-006 when they do every time.

    Its numbers are those of the last time it was begun.
    """
    try:
        return step()
    except DBAPIError as error:
        if not in_each_others_way(error):
            raise
        if attempts == 1:
            raise locked(work.engine.url, error.orig) from error
    return _persistently(work, step, attempts - 1)
