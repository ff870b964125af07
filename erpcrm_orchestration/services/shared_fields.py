"""Fields that several systems of a dossier tell us of, merged three ways before a batch is written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.connection import ConnectorEntity, EntityMapping
from erpcrm_orchestration.domain.entity import ADDRESS_FIELDS, Entity, Field, Kind
from erpcrm_orchestration.domain.mapping import Address, CompiledMapping, MappedRecord, address_of
from erpcrm_orchestration.domain.three_way import Base, Ownership, Stands, Told, base_after, decide, is_over
from erpcrm_orchestration.services.connectors import Connected
from erpcrm_orchestration.store import shared_fields as store
from erpcrm_orchestration.store.records import plain
from erpcrm_orchestration.store.shared_fields import Conflict

Row = tuple[Any, ...]
MERGED_KINDS = frozenset(set(Kind) - {Kind.REFERENCE, Kind.JSON})
"""References are kept by the cross-reference, which every system has its own side of."""


@dataclass(frozen=True)
class Sharing:
    """The fields of an entity that another system of the dossier tells us too, and whose they are."""

    ownership: Mapping[str, Ownership] = field(default_factory=dict)


def sharing_of(one: Connected, stream: ConnectorEntity, connections: Iterable[Connected]) -> Sharing:
    """Return what a stream shares with the other systems of its dossier."""
    if stream.map is None:
        return Sharing()
    others = [
        each.map
        for other in connections
        if other.connection.system != one.connection.system
        for each in other.streams
        if each.map and each.map.entity == stream.map.entity
    ]
    ownership: dict[str, Ownership] = {}
    for name in stream.map.fields:
        if name in stream.map.owns:
            ownership[name] = Ownership.THEIRS
        elif any(name in other.owns for other in others):
            ownership[name] = Ownership.OTHERS
        elif any(name in other.fields for other in others):
            ownership[name] = Ownership.SHARED
    return Sharing(ownership)


@dataclass
class SharedRecord:
    """A record of a batch: its id at the system and ours, and its values, which the merge may replace."""

    source_id: str
    record_id: int
    mapped: MappedRecord


class SharedFields:
    """Merges the shared fields of a batch; `told_again` are records whose system is to be told what stands.

    `written` are the fields that this system is told of.
    """

    def __init__(
        self,
        connection: sa.Connection,
        place: store.Place,
        mapping: CompiledMapping,
        sharing: Sharing,
        written: Collection[str],
    ) -> None:
        self.connection, self.place, self.sharing, self.written = connection, place, sharing, frozenset(written)
        self.entity, self.mapping = mapping.entity, mapping.mapping
        self.positions = {
            one.name: (at, one)
            for at, one in enumerate(mapping.fields)
            if one.name in sharing.ownership and one.kind in MERGED_KINDS
        }
        self.told_again: set[int] = set()
        self.changed_there: set[int] = set()
        """Records of which the system holds something else by now than what it was told last."""

    def merge(self, records: Sequence[SharedRecord]) -> None:
        """Replace in the records what does not stand; keep conflicts for people and the new bases."""
        if not self.positions or not records:
            return
        columns = [one.column for _, one in self.positions.values()]
        ids = [one.record_id for one in records]
        current = store.current_values(self.connection, self.place, self.entity, ids, columns)
        bases = store.load_bases(self.connection, self.place, [one.source_id for one in records])
        # Records that are new to us are linked to nothing: a first load asks nothing.
        there = {one.source_id for one in records if one.record_id in current}
        self.only_linked = store.only_linked(self.connection, self.place, there - bases.keys())
        self.parts = self._parts_of_ours(records, current, bases)
        self.still_open = store.open_conflicts(self.connection, self.place, ids)
        self.conflicts: list[Conflict] = []
        self.settled = {(record_id, name) for record_id, name in self.still_open if name not in self.positions}
        self.theirs: dict[str, Row] = {}
        new_bases = {
            one.source_id: self._merged(one, current.get(one.record_id), bases.get(one.source_id, {})) for one in records
        }
        store.keep_bases(self.connection, self.place, new_bases)
        store.keep_addresses(self.connection, self.place.dossier_code, self.theirs)
        store.keep_conflicts(self.connection, self.place, self.conflicts)
        store.settle_conflicts(self.connection, self.place, self.settled)
        store.forget_sent(self.connection, self.place, self.told_again)
        store.note_changed_there(self.connection, self.place, self.changed_there - self.told_again)

    def _parts_of_ours(
        self, records: Sequence[SharedRecord], current: Mapping[int, Mapping[str, Any]], bases: Collection[str]
    ) -> Mapping[str, Mapping[str, str | None]]:
        """Return the parts of the addresses of ours that a system tells otherwise and keeps partly, or tells first now."""
        addresses = [(at, one.column, self._is_whole(one)) for at, one in self.positions.values() if one.kind is Kind.ADDRESS]
        hashes = {
            current[one.record_id][column]
            for one in records
            for at, column, is_whole in addresses
            if one.record_id in current
            and not (is_whole and one.source_id in bases)
            and _comparable(one.mapped.header[at]) != current[one.record_id][column]
        }
        return store.address_parts(self.connection, self.place.dossier_code, hashes - {None})

    def _is_whole(self, target: Field) -> bool:
        return len(told_parts(self.mapping, target.name)) == len(ADDRESS_FIELDS)

    def _merged(self, one: SharedRecord, current: Mapping[str, Any] | None, bases: Mapping[str, Any]) -> dict[str, Any]:
        """Put what stands into a record; return the base of its next merge by field name."""
        header = list(one.mapped.header)
        after: dict[str, Any] = {}
        for name, (at, target) in self.positions.items():
            theirs = _comparable(header[at])
            if current is None:
                after[name] = theirs
                continue
            ours = current[target.column]
            told = Told(base_of(bases, name), plain(ours), theirs)
            stands = decide(told, self.sharing.ownership[name])
            if told.base is None and stands is Stands.OURS and self._has_more(header[at], ours):
                stands = Stands.THEIRS
            self._note(one, target, told, stands, header[at])
            header[at] = self._standing(target, ours, header[at], stands)
            after[name] = as_base(base_after(told, stands, _comparable(header[at])))
        one.mapped.header = tuple(header)
        return after

    def _note(self, one: SharedRecord, target: Field, told: Told, stands: Stands, theirs: object) -> None:
        name = target.name
        if stands is Stands.CONFLICT:
            self.conflicts.append(Conflict(one.record_id, name, *_shown_values(told)))
            if isinstance(theirs, Address):
                self.theirs[theirs.address_hash] = theirs.parts
        elif (one.record_id, name) in self.still_open and is_over(told, stands):
            self.settled.add((one.record_id, name))
        if stands is Stands.REFUSED or (
            one.source_id in self.only_linked and self._is_to_be_told(target, told, stands, theirs)
        ):
            self.told_again.add(one.record_id)
        if stands is Stands.THEIRS and told.base is not None and told.theirs != told.ours and name in self.written:
            self.changed_there.add(one.record_id)

    def _has_more(self, theirs: object, ours: object) -> bool:
        """True when their address says all that ours does, and more."""
        parts = self.parts.get(ours) if isinstance(theirs, Address) and isinstance(ours, str) else None
        if parts is None or not isinstance(theirs, Address):
            return False
        return all(parts[name] in (None, theirs.parts[at]) for at, name in enumerate(ADDRESS_FIELDS))

    def _is_to_be_told(self, target: Field, told: Told, stands: Stands, theirs: object) -> bool:
        """True when ours stands against what a system told that was unknown to us, beyond the parts that it keeps."""
        if stands is not Stands.OURS or target.name not in self.written:
            return False
        held = _comparable(self._standing(target, told.ours, theirs, Stands.THEIRS))
        return bool(held != told.ours)

    def _standing(self, target: Field, ours: object, theirs: object, stands: Stands) -> object:
        if stands is not Stands.THEIRS:
            return _as_row_value(target, ours)
        if isinstance(theirs, Address) and isinstance(ours, str) and theirs.address_hash != ours:
            return completed(theirs, self.parts.get(ours), told_parts(self.mapping, target.name))
        return theirs


def told_parts(mapping: EntityMapping, name: str) -> frozenset[str]:
    """Return which parts of an address a system tells us of; every one of a field that is none."""
    source = mapping.fields.get(name)
    return frozenset(source.fields) if source and source.fields else frozenset(ADDRESS_FIELDS)


def completed(theirs: Address, ours: Mapping[str, str | None] | None, told: Collection[str]) -> Address:
    """Return their address with our parts where the system keeps none."""
    if ours is None:
        return theirs
    parts = [theirs.parts[at] if name in told else ours[name] for at, name in enumerate(ADDRESS_FIELDS)]
    return address_of(tuple(parts)) or theirs


def base_of(bases: Mapping[str, Any], name: str) -> Base | None:
    """Return the base of a field as it is kept: what was told, or [what was told, our value that it stands for]."""
    if name not in bases:
        return None
    kept = bases[name]
    return Base(*kept) if isinstance(kept, list) else Base(kept, kept)


def as_base(base: Base) -> object:
    """Return a base as it is kept."""
    return base.theirs if base.theirs == base.ours else [base.theirs, base.ours]


def told_values(entity: Entity, fields: Collection[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a system was told of these fields, in the form of a base. `values` are those of a delivery."""
    found = {}
    for one in entity.fields:
        if one.name in fields and one.kind in MERGED_KINDS:
            value = values.get(one.name)
            if one.kind is Kind.ADDRESS:
                value = _comparable(address_of(tuple((value or {}).get(name) for name in ADDRESS_FIELDS)))
            found[one.name] = value
    return found


def _comparable(value: object) -> object:
    return value.address_hash if isinstance(value, Address) else plain(value)


def _as_row_value(target: Field, ours: object) -> object:
    """Return a stored value as the merge takes it; an address is its hash, whose row is there already."""
    return Address(ours, ()) if target.kind is Kind.ADDRESS and isinstance(ours, str) else ours


def _shown_values(told: Told) -> tuple[str | None, str | None, str | None]:
    return shown(told.base.ours if told.base else None), shown(told.ours), shown(told.theirs)


def shown(value: object) -> str | None:
    """Return a plain value as it stands in a conflict."""
    return None if value is None else str(value)
