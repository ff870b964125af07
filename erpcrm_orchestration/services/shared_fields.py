"""Fields that several systems of a dossier tell us of, merged three ways before a batch is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.connection import ConnectorEntity
from erpcrm_orchestration.domain.entity import Entity, Field, Kind
from erpcrm_orchestration.domain.mapping import Address, CompiledMapping, MappedRecord
from erpcrm_orchestration.domain.three_way import UNKNOWN_BASE, Ownership, Stands, Told, decide
from erpcrm_orchestration.services.connectors import Connected
from erpcrm_orchestration.store import shared_fields as store
from erpcrm_orchestration.store.records import plain
from erpcrm_orchestration.store.shared_fields import Conflict

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
    """Merges the shared fields of a batch; `told_again` are records whose system is to be told what stands."""

    def __init__(self, connection: sa.Connection, place: store.Place, mapping: CompiledMapping, sharing: Sharing) -> None:
        self.connection, self.place, self.sharing = connection, place, sharing
        self.entity: Entity = mapping.entity
        self.positions = {
            one.name: (at, one)
            for at, one in enumerate(mapping.fields)
            if one.name in sharing.ownership and one.kind in MERGED_KINDS
        }
        self.told_again: set[int] = set()

    def merge(self, records: Sequence[SharedRecord]) -> None:
        """Replace in the records what does not stand; keep conflicts for people and the new bases."""
        if not self.positions or not records:
            return
        columns = [one.column for _, one in self.positions.values()]
        current = store.current_values(self.connection, self.place, self.entity, [one.record_id for one in records], columns)
        bases = store.load_bases(self.connection, self.place, [one.source_id for one in records])
        conflicts: list[Conflict] = []
        new_bases: dict[str, dict[str, Any]] = {}
        for one in records:
            new_bases[one.source_id] = self._base_of(one)
            if one.record_id in current:
                conflicts += self._merged(one, current[one.record_id], bases.get(one.source_id))
        store.keep_bases(self.connection, self.place, new_bases)
        store.keep_conflicts(self.connection, self.place, conflicts)
        store.forget_sent(self.connection, self.place, self.told_again)

    def _base_of(self, one: SharedRecord) -> dict[str, Any]:
        return {name: _comparable(one.mapped.header[at]) for name, (at, _) in self.positions.items()}

    def _merged(self, one: SharedRecord, current: Mapping[str, Any], base: Mapping[str, Any] | None) -> Iterable[Conflict]:
        header = list(one.mapped.header)
        for name, (at, target) in self.positions.items():
            ours = current[target.column]
            before = UNKNOWN_BASE if base is None or name not in base else base[name]
            told = Told(before, plain(ours), _comparable(header[at]))
            stands = decide(told, self.sharing.ownership[name])
            if stands is Stands.CONFLICT:
                yield Conflict(one.record_id, name, _shown(told.base), _shown(told.ours), _shown(told.theirs))
            if stands is Stands.REFUSED:
                self.told_again.add(one.record_id)
            if stands is not Stands.THEIRS:
                header[at] = _as_row_value(target, ours)
        one.mapped.header = tuple(header)


def _comparable(value: object) -> object:
    return value.address_hash if isinstance(value, Address) else plain(value)


def _as_row_value(target: Field, ours: object) -> object:
    """Return a stored value as the merge takes it; an address is its hash, whose row is there already."""
    return Address(ours, ()) if target.kind is Kind.ADDRESS and isinstance(ours, str) else ours


def _shown(value: object) -> str | None:
    return None if value is None else str(value)
