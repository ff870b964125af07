"""What people do to received records: correct one, or let refused ones enter again. What was received never changes.

A correction is a message of its own that takes the place of the original; it is tried before anything is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.correction import (
    FIRST_HASH,
    Assignment,
    Change,
    Entry,
    Link,
    broken,
    corrected,
    difference,
    written,
)
from erpcrm_orchestration.domain.errors import ErpcrmError, InputError
from erpcrm_orchestration.domain.integration import WORK
from erpcrm_orchestration.domain.json_path import at, part_of
from erpcrm_orchestration.domain.strict_json import loads
from erpcrm_orchestration.services.batch_message import Stream
from erpcrm_orchestration.services.connectors import Connected, compiled, connected
from erpcrm_orchestration.services.integration_batch import IntegrationBatch
from erpcrm_orchestration.services.round import DossierRound, Round, work_round
from erpcrm_orchestration.store import correction as store
from erpcrm_orchestration.store.correction import Stored
from erpcrm_orchestration.store.engine import reported
from erpcrm_orchestration.store.inbox import Message

RELAUNCHED = ("REJECTED", "DEAD", "WAITING")
"""The states that a message is relaunched from when none is named."""
RELAUNCHABLE = (*RELAUNCHED, "IGNORED")
"""Those that it can be relaunched from: what a condition left out enters again when a switch was changed."""
NAMELESS = "?"
"""Begins the id of a record whose own could not be read."""


@dataclass(frozen=True)
class Author:
    """Who does something, and why."""

    actor: str
    reason: str


@dataclass(frozen=True)
class Proposal:
    """A correction that was tried and not yet written.

    `state` is what would become of it, None when its stream is not read any more; `waiting_for` and `warning` explain it.
    """

    stored: Stored
    payload: str
    changes: tuple[Change, ...]
    state: str | None = None
    waiting_for: str | None = None
    warning: str | None = None


@dataclass(frozen=True)
class Correction:
    """What a person wants: values put in or taken away, or a whole corrected record as JSON text."""

    assignments: Sequence[Assignment] = ()
    removed: Sequence[str] = ()
    record: str | bytes | None = None


def propose(engine: sa.Engine, dossier_code: str, message_id: int, wanted: Correction, *, clock: Clock) -> Proposal:
    """Return the difference and what would become of it; nothing is written.

    Raises InputError E-COR-001 to 010: the message cannot be corrected, or what is wanted would be refused again.
    """
    with reported(engine), engine.connect() as connection:
        store.lock_dossier(connection, dossier_code, WORK)
        stored = _correctable(connection, dossier_code, message_id)
        found = next(
            (one for one in connected(connection, [dossier_code])
             if one.connection.connection_code == stored.key.connection_code),
            None,
        )  # fmt: skip
        payload, changes = _corrected(stored, wanted, found)
        proposal = _tried(connection, stored, payload, changes, found, clock.now())
        connection.rollback()
    return proposal


def correct(engine: sa.Engine, proposal: Proposal, author: Author, *, clock: Clock, run_id: str) -> int:
    """Write a proposal as a message; return its number. Raises InputError E-COR-002 when a newer one came meanwhile."""
    old, now = proposal.stored, clock.now()
    _require_reason(author, _where(old.key.dossier_code, old.message_id))
    with reported(engine), engine.begin() as connection:
        store.lock_dossier(connection, old.key.dossier_code, WORK)
        stored = _correctable(connection, old.key.dossier_code, old.message_id)
        message_id = store.replace_message(connection, stored, proposal.payload, now=now, run_id=run_id)
        entry = Entry(
            now, author.actor, "fix", author.reason, old.key.dossier_code, old.message_id, message_id, proposal.changes
        )
        store.append(connection, [entry])
    return message_id


def relaunch(engine: sa.Engine, dossier_code: str, author: Author, *, message_ids: Collection[int], clock: Clock) -> list[int]:
    """Let these messages enter again, all or none; return them. Raises InputError E-COR-001 to 003 and 009."""
    with reported(engine), engine.begin() as connection:
        store.lock_dossier(connection, dossier_code, WORK)
        for message_id in sorted(message_ids):
            _require_relaunchable(connection, dossier_code, message_id)
        entered = store.enter_again(connection, dossier_code, states=RELAUNCHABLE, message_ids=message_ids)
        return _record(connection, dossier_code, author, entered, clock.now())


def relaunch_all(
    engine: sa.Engine,
    dossier_code: str,
    author: Author,
    *,
    states: Collection[str] = RELAUNCHED,
    entity: str | None = None,
    clock: Clock,
) -> list[int]:
    """Let all messages in these states enter again that are the newest of their record; return them."""
    with reported(engine), engine.begin() as connection:
        store.lock_dossier(connection, dossier_code, WORK)
        entered = store.enter_again(connection, dossier_code, states=states, entity=entity)
        return _record(connection, dossier_code, author, entered, clock.now())


def integrate_now(
    engine: sa.Engine, dossier_code: str, *, clock: Clock, environment: Mapping[str, str], run_id: str
) -> DossierRound | None:
    """Integrate what is in the inbox of a dossier; None when another run works on it, and the next round does it."""
    job = Round(clock, environment, run_id=run_id, reading=False)
    return work_round(engine, [dossier_code], job).get(dossier_code)


def verify(engine: sa.Engine) -> tuple[int, str]:
    """Return how many rows the chain has and its last hash; raise ErpcrmError E-COR-012 naming the first broken row."""
    last, count = FIRST_HASH, 0
    with reported(engine), engine.connect() as connection:
        for number, link in store.links(connection):
            fault = broken(link, last)
            if fault:
                remedy = "compare the table with a backup from before; who could write to it as its owner?"
                raise ErpcrmError("E-COR-012", f"audit row {number}", fault, remedy)
            last, count = link.row_hash, count + 1
    return count, last


def listed(engine: sa.Engine) -> Iterator[tuple[int, Link]]:
    """Yield the rows of the chain with their numbers, the oldest first."""
    with reported(engine), engine.connect() as connection:
        yield from store.links(connection)


# --- what may be corrected --------------------------------------------------------------------------------------------


def _correctable(connection: sa.Connection, dossier_code: str, message_id: int) -> Stored:
    stored, where = _newest(connection, dossier_code, message_id), _where(dossier_code, message_id)
    if stored.deleted:
        raise InputError("E-COR-005", where, "it says that the record was deleted", "restore the record at the source")
    if stored.source_id.startswith(NAMELESS):
        raise InputError("E-COR-005", where, "the id of its record could not be read", "correct it at the source")
    return stored


def _newest(connection: sa.Connection, dossier_code: str, message_id: int) -> Stored:
    where = _where(dossier_code, message_id)
    stored = store.find_message(connection, dossier_code, message_id)
    if stored is None:
        raise InputError("E-COR-001", where, "no such message", f"see `erpcrm inbox list --dossier {dossier_code}`")
    if stored.newest_id > message_id or stored.state == "SUPERSEDED":
        found = f"{stored.key.entity} {stored.source_id} has a newer message, {stored.newest_id}"
        raise InputError("E-COR-002", where, found, f"look at message {stored.newest_id}")
    return stored


def _require_relaunchable(connection: sa.Connection, dossier_code: str, message_id: int) -> None:
    stored, where = _newest(connection, dossier_code, message_id), _where(dossier_code, message_id)
    if stored.state not in RELAUNCHABLE:
        raise InputError("E-COR-003", where, f"it is {stored.state}", f"only {', '.join(RELAUNCHABLE)} are relaunched")
    if stored.head_id != message_id:
        remedy = f"correct it, or fetch the record anew: erpcrm fetch {stored.key.entity} ID --dossier {dossier_code}"
        raise InputError("E-COR-003", where, "it was refused when it came", remedy)


def _require_reason(author: Author, where: str) -> None:
    if not author.reason.strip():
        raise InputError("E-COR-009", where, "no reason", "say why, for the audit trail")


def _record(
    connection: sa.Connection, dossier_code: str, author: Author, entered: Sequence[store.Entered], now: datetime
) -> list[int]:
    _require_reason(author, f"dossier {dossier_code}")
    store.append(
        connection,
        [
            Entry(
                now, author.actor, "relaunch", author.reason, dossier_code, one.message_id, None,
                (Change("state", one.state, "NEW"),),
            )
            for one in entered
        ],
    )  # fmt: skip
    return [one.message_id for one in entered]


# --- the corrected record, and what would become of it ----------------------------------------------------------------


def _corrected(stored: Stored, wanted: Correction, found: Connected | None) -> tuple[str, tuple[Change, ...]]:
    """Return the corrected payload and its difference to the original."""
    where = _where(stored.key.dossier_code, stored.message_id)
    before, fault = _read(stored.payload)
    if wanted.record is None and fault:
        remedy = "give the whole record with --from-file"
        raise InputError("E-COR-010", where, f"single values cannot be set: {fault.where} {fault.found}", remedy)
    after = before if wanted.record is None else loads(wanted.record, where=where)
    after = corrected(after, wanted.assignments, wanted.removed)
    payload = written(after)
    loads(payload, where=where)
    changes = tuple(difference({} if fault else before, after))
    if not changes:
        raise InputError("E-COR-004", where, "nothing differs", "to try it once more: erpcrm inbox relaunch")
    _require_same_id(stored, after, found, where)
    return payload, changes


def _read(payload: str) -> tuple[object, InputError | None]:
    try:
        return loads(payload), None
    except InputError as fault:
        return None, fault


def _require_same_id(stored: Stored, after: object, found: Connected | None, where: str) -> None:
    stream = found.connector.entity(stored.key.stream) if found else None
    if stream is not None and stream.read is not None:
        path, segment = stream.read.record_id, stream.read.record_segment
        found_id = str(at(after, path))
        if (found_id if segment is None else part_of(found_id, segment)) != stored.source_id:
            raise InputError("E-COR-011", f"{where} $.{path}", f"it is not {stored.source_id}", "a correction keeps the id")


def _tried(
    connection: sa.Connection,
    stored: Stored,
    payload: str,
    changes: tuple[Change, ...],
    found: Connected | None,
    now: datetime,
) -> Proposal:
    """Integrate the correction in the caller's transaction, which is rolled back; raise when it is refused again."""
    stream = next((one for one in found.streams if one.name == stored.key.stream), None) if found else None
    mapping = compiled(stream) if stream else None
    if found is None or stream is None or mapping is None:
        return Proposal(stored, payload, changes)
    message_id = store.replace_message(connection, stored, payload, now=now, run_id="trial")
    message = Message(message_id, stream.name, stored.source_id, stored.version_at, False, payload, stored.record_id)
    IntegrationBatch(connection, Stream(found.connection, stream, mapping, now, "trial")).run([message])
    outcome = store.find_message(connection, stored.key.dossier_code, message_id)
    if outcome is None:
        raise LookupError(f"message {message_id} is gone")
    if outcome.state == "REJECTED":
        where = _where(stored.key.dossier_code, stored.message_id)
        raise InputError("E-COR-006", where, f"corrected like this it is refused: {outcome.error}", "correct that too")
    return Proposal(stored, payload, changes, outcome.state, outcome.waiting_for, outcome.warning)


def _where(dossier_code: str, message_id: int) -> str:
    return f"message {dossier_code}/{message_id}"
