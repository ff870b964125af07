"""What people decide of fields that two systems changed: ours stays, theirs is taken, or another value stands for both.

Until then no change of the record is sent to the system that tells it otherwise. The decision leaves through the outbox.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.casts import Refused, cast_for
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.correction import Change, Entry, written
from erpcrm_orchestration.domain.entity import ADDRESS_FIELDS, ENTITIES, Field, Kind
from erpcrm_orchestration.domain.errors import InputError, did_you_mean
from erpcrm_orchestration.domain.integration import WORK
from erpcrm_orchestration.domain.mapping import Address, address_of
from erpcrm_orchestration.domain.strict_json import loads
from erpcrm_orchestration.domain.three_way import Base
from erpcrm_orchestration.services.connectors import Connected, connected
from erpcrm_orchestration.services.inbox_correction import Author
from erpcrm_orchestration.services.outbound import Target, plan, targets_of
from erpcrm_orchestration.services.shared_fields import as_base, base_of, completed, shown, told_parts
from erpcrm_orchestration.store import conflict as store
from erpcrm_orchestration.store import shared_fields
from erpcrm_orchestration.store.conflict import Open
from erpcrm_orchestration.store.correction import append, lock_dossier
from erpcrm_orchestration.store.engine import reported
from erpcrm_orchestration.store.records import plain
from erpcrm_orchestration.store.shared_fields import Place

AGREED = "both hold the same by now"
GONE = "the field is not shared any more, or its record is gone"


class Whose(StrEnum):
    """Whose value stands by a person's decision."""

    OURS = "ours"
    THEIRS = "theirs"
    VALUE = "value"


@dataclass(frozen=True)
class Choice:
    """`text` is the value of VALUE as it was typed: an address as a JSON object of its parts, the others are ours."""

    whose: Whose
    text: str = ""


@dataclass(frozen=True)
class Decided:
    """What stands from now on, and how many changes were queued. `left`: the system is not written to and keeps its value."""

    conflict: Open
    value: str | None
    queued: int
    left: bool


def listed(
    engine: sa.Engine,
    dossier_code: str | None,
    *,
    entity: str | None = None,
    closed: bool = False,
    limit: int,
    person_id: int | None = None,
) -> list[Open]:
    """Return conflicts, the newest first, with addresses as texts; with `person_id` those that this person may see.

    Raises InputError E-COR-022: no such entity.
    """
    if entity is not None and entity not in ENTITIES:
        raise InputError("E-COR-022", "erpcrm conflicts list --entity", f"no entity {entity!r}", did_you_mean(entity, ENTITIES))
    with reported(engine), engine.connect() as connection:
        found = store.list_conflicts(
            connection, dossier_code=dossier_code, entity=entity, closed=closed, limit=limit, person_id=person_id
        )
        return [_readable(connection, one) for one in found]


def read(engine: sa.Engine, dossier_code: str, conflict_id: int) -> Open:
    """Return a conflict with addresses as texts. Raises InputError E-COR-030: no such conflict."""
    with reported(engine), engine.connect() as connection:
        return _readable(connection, _found(connection, dossier_code, conflict_id))


def decide(
    engine: sa.Engine,
    dossier_code: str,
    conflict_id: int,
    choice: Choice,
    author: Author,
    *,
    clock: Clock,
    seen: Open | None = None,
) -> Decided:
    """Let a value stand, queue what the systems that differ have to be told, and keep who decided why.

    Raises InputError E-COR-009 and 030 to 034. When one of both values is not what the conflict shows any more nothing is
    decided and the conflict shows the new ones, nor when it shows other ones than those that were `seen`; one without anything
    to decide is closed.
    """
    where = _where(dossier_code, conflict_id)
    if not author.reason.strip():
        raise InputError("E-COR-009", where, "no reason", "say why, for the audit trail")
    with reported(engine), engine.begin() as connection:
        lock_dossier(connection, dossier_code, WORK)
        found = _found(connection, dossier_code, conflict_id, lock=True)
        decision = _Decision(connection, found, clock.now())
        refusal = decision.refusal(seen)
        if refusal is None:
            return decision.run(choice, author)
    # What the conflict shows from now on is committed.
    raise refusal


def _found(connection: sa.Connection, dossier_code: str, conflict_id: int, *, lock: bool = False) -> Open:
    found = store.find_conflict(connection, dossier_code, conflict_id, lock=lock)
    if found is None:
        remedy = f"see `erpcrm conflicts list --dossier {dossier_code}`"
        raise InputError("E-COR-030", _where(dossier_code, conflict_id), "no such conflict", remedy)
    return found


class _Decision:
    """One conflict in the transaction that decides it."""

    def __init__(self, connection: sa.Connection, found: Open, now: datetime) -> None:
        self.connection, self.found, self.now = connection, found, now
        self.where = _where(found.dossier_code, found.conflict_id)
        self.place = Place(found.dossier_code, found.system_code, found.entity, now)
        self.target = self._target()
        self.ours, self.base = self._values()

    def _target(self) -> Field:
        if self.found.closed_at is not None:
            at = self.found.closed_at.isoformat(timespec="seconds")
            raise InputError("E-COR-031", self.where, f"decided at {at}: {self.found.resolution}", "nothing is left to decide")
        return ENTITIES[self.found.entity].field(self.found.field) or Field(self.found.field)

    def _values(self) -> tuple[Any, Base | None]:
        """Return our value and what the system told last; no base when there is nothing to be decided any more."""
        args, entity, record_id = (self.connection, self.place), ENTITIES[self.found.entity], self.found.record_id
        external_id = self.found.external_id or ""
        base = base_of(shared_fields.load_bases(*args, [external_id]).get(external_id, {}), self.found.field)
        if base is None or entity.field(self.found.field) is None:
            return None, None
        current = shared_fields.current_values(*args, entity, [record_id], [self.target.column])
        return (plain(current[record_id][self.target.column]), base) if record_id in current else (None, None)

    def refusal(self, seen: Open | None) -> InputError | None:
        """Return why nothing can be decided now, None when it can; the conflict then shows what is, or ends."""
        if self.base is None:
            store.close(self.connection, self.found, GONE, self.now)
            return InputError("E-COR-034", self.where, GONE, "the conflict is closed, nothing is to be done")
        ours, theirs = shown(self.ours), shown(self.base.theirs)
        if ours == theirs:
            store.close(self.connection, self.found, AGREED, self.now)
            return InputError("E-COR-031", self.where, AGREED, "nothing is left to decide")
        shows = seen or _readable(self.connection, self.found)
        now = _readable(self.connection, replace(self.found, our_value=ours, their_value=theirs))
        pairs = {"ours": (shows.our_value, now.our_value), "theirs": (shows.their_value, now.their_value)}
        told = [f"{name} is now {after}" for name, (earlier, after) in pairs.items() if earlier != after]
        if not told:
            return None
        store.renew(self.connection, self.found, ours, theirs)
        remedy = f"look at it again: erpcrm conflicts show {self.found.conflict_id} --dossier {self.found.dossier_code}"
        return InputError("E-COR-032", self.where, " and ".join(told), remedy)

    def run(self, choice: Choice, author: Author) -> Decided:
        """Write the value, close the conflict, and queue what follows."""
        value = self._chosen(choice)
        stands = value.address_hash if isinstance(value, Address) else plain(value)
        if isinstance(value, Address):
            shared_fields.keep_addresses(self.connection, self.found.dossier_code, {value.address_hash: value.parts})
        if stands != self.ours:
            row_value = stands if self.target.kind is Kind.ADDRESS else value
            store.write_value(self.connection, self.found, self.target.column, row_value, self.now)
        text = self._text(shown(stands))
        resolution = choice.whose.value if choice.whose is not Whose.VALUE else f"value: {text}"
        store.close(self.connection, self.found, resolution, self.now)
        append(self.connection, [self._entry(author, stands)])
        queued, left = self._tell(stands, choice.whose)
        return Decided(_readable(self.connection, self.found), text, queued, left)

    @property
    def _theirs(self) -> Any:  # noqa: ANN401  a value of any kind
        return self.base.theirs if self.base else None

    # --- the value that stands ----------------------------------------------------------------------------------------

    def _chosen(self, choice: Choice) -> Any:  # noqa: ANN401  a value of any kind
        match choice.whose:
            case Whose.OURS:
                return self._address(self.ours) if self.target.kind is Kind.ADDRESS else self.ours
            case Whose.THEIRS if self.target.kind is Kind.ADDRESS:
                return self._their_address()
            case Whose.THEIRS:
                # It was cast when it came; a factor may have given it more digits than one may type.
                is_number = self.target.kind is Kind.DECIMAL and self._theirs is not None
                return Decimal(self._theirs) if is_number else self._cast(self._theirs)
            case _ if self.target.kind is Kind.ADDRESS:
                return self._typed_address(choice.text)
            case _:
                return self._cast(self._loaded(choice.text) if self.target.kind is Kind.BOOLEAN else choice.text)

    def _cast(self, value: object) -> object:
        try:
            found = None if value is None else cast_for(self.target.kind, "UTC")(value, self.target.name)
        except Refused as refused:
            raise InputError("E-COR-033", self.where, f"{refused.path}: {refused.found}", "give another value") from None
        if found is None and self.target.required:
            raise InputError("E-COR-033", self.where, f"{self.target.name} needs a value", "give one")
        return found

    def _address(self, address_hash: str | None) -> Address | None:
        parts = self._parts(address_hash)
        return None if address_hash is None else Address(address_hash, tuple(parts.get(name) for name in ADDRESS_FIELDS))

    def _parts(self, address_hash: str | None) -> Mapping[str, str | None]:
        wanted = [address_hash] if address_hash else []
        return shared_fields.address_parts(self.connection, self.found.dossier_code, wanted).get(address_hash or "", {})

    def _their_address(self) -> Address | None:
        """Return what the system tells, with our parts where it keeps none."""
        theirs, one = self._address(self._theirs), self._system()
        stream = one.stream_of(self.found.entity) if one else None
        if theirs is None or stream is None or stream.map is None or not self.ours:
            return theirs
        return completed(theirs, self._parts(self.ours), told_parts(stream.map, self.found.field))

    def _loaded(self, text: str) -> object:
        try:
            return loads(text)
        except InputError as error:
            raise InputError("E-COR-033", self.where, error.found, "give a JSON value") from None

    def _typed_address(self, text: str) -> Address | None:
        given = self._loaded(text)
        if not isinstance(given, dict) or not all(value is None or isinstance(value, str) for value in given.values()):
            raise InputError("E-COR-033", self.where, "not an address", 'give its parts: {"city": "Lyon", "postcode": "69001"}')
        for name in given:
            if name not in ADDRESS_FIELDS:
                raise InputError("E-COR-033", self.where, f"no part {name!r}", did_you_mean(name, ADDRESS_FIELDS))
        parts = {**self._parts(self.ours), **given}
        return address_of(tuple(parts.get(name) or None for name in ADDRESS_FIELDS))

    # --- what follows -------------------------------------------------------------------------------------------------

    def _entry(self, author: Author, stands: object) -> Entry:
        found, name = self.found, self.found.field
        after = _json(self._text(shown(stands)))
        changes = (
            Change(f"ours.{name}", _json(self._text(shown(self.ours))), after),
            Change(f"{found.system_code}.{name}", _json(self._text(shown(self._theirs))), after),
        )
        return Entry(self.now, author.actor, "decide", author.reason, found.dossier_code, found.message_id or 0, None, changes)

    def _tell(self, stands: object, whose: Whose) -> tuple[int, bool]:
        """Queue what the systems that differ have to be told; return how much, and True when that of the conflict cannot be."""
        found, differs = self.found, whose is not Whose.THEIRS and stands != self._theirs
        targets = targets_of(connected(self.connection, [found.dossier_code]), found.entity)
        itself = [one for one in targets if one.one.connection.system == found.system_code]
        waits = self._waits(itself)
        told = itself if differs or waits else []
        # What it was told before the conflict says nothing of what it holds.
        shared_fields.forget_sent(self.connection, self.place, [found.record_id])
        if not told:
            self._keep_base(stands)
        if whose is not Whose.OURS:
            told = [one for one in targets if one in told or one not in itself]
        cause = f"conflict:{found.conflict_id}"
        queued = plan(self.connection, told, found.entity, [found.record_id], cause=cause, now=self.now)
        # A change that waited and says the same goes on as it is.
        return queued or int(waits), differs and not itself

    def _waits(self, targets: Sequence[Target]) -> bool:
        """True when a change of the record was held back because of the conflict."""
        keys = (one.key for one in targets)
        return any(store.has_open_delivery(self.connection, key, self.found.record_id) for key in keys)

    def _keep_base(self, stands: object) -> None:
        """Let the system's next change be its own: it is not told, and what it told last stands for the value of now."""
        external_id = self.found.external_id or ""
        bases = shared_fields.load_bases(self.connection, self.place, [external_id])[external_id]
        kept = {**bases, self.found.field: as_base(Base(self._theirs, stands))}
        shared_fields.keep_bases(self.connection, self.place, {external_id: kept})

    def _system(self) -> Connected | None:
        found = connected(self.connection, [self.found.dossier_code])
        return next((one for one in found if one.connection.system == self.found.system_code), None)

    def _text(self, value: str | None) -> str | None:
        return _as_text(self._parts(value), value) if self.target.kind is Kind.ADDRESS else value


def _readable(connection: sa.Connection, one: Open) -> Open:
    """Return a conflict with addresses as texts in place of their hashes."""
    target = ENTITIES[one.entity].field(one.field)
    if target is None or target.kind is not Kind.ADDRESS:
        return one
    hashes = (one.base_value, one.our_value, one.their_value)
    parts = shared_fields.address_parts(connection, one.dossier_code, {value for value in hashes if value})
    base, ours, theirs = (_as_text(parts.get(value or "", {}), value) for value in hashes)
    return replace(one, base_value=base, our_value=ours, their_value=theirs)


def _as_text(parts: Mapping[str, str | None], address_hash: str | None) -> str | None:
    """Return an address on one line: its parts by name; its hash when it was never kept."""
    return json.dumps({name: value for name, value in parts.items() if value}, ensure_ascii=False) if parts else address_hash


def _json(value: str | None) -> str | None:
    return None if value is None else written(value)


def _where(dossier_code: str, conflict_id: int) -> str:
    return f"conflict {dossier_code}/{conflict_id}"
