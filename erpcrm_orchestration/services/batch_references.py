"""The references of a batch: which records of ours its records are and refer to, and which of them have to wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.mapping import Lookup, MappedRecord
from erpcrm_orchestration.domain.tree import circle_of, tree_faults
from erpcrm_orchestration.services.batch_message import Pending, Reference, Stream, positions
from erpcrm_orchestration.store import cross_reference, inbox
from erpcrm_orchestration.store.record_merge import RecordMerge


class BatchReferences:
    """Gives the references of a batch our ids; `ids`: (entity, the system's id) -> ours, of what is there or arrives."""

    def __init__(self, connection: sa.Connection, stream: Stream) -> None:
        self.connection, self.stream = connection, stream
        self.mapping, self.entity = stream.mapping, stream.mapping.entity
        self.ids: dict[Reference, int] = {}
        self.of_header = positions(self.mapping.fields)
        self.of_children = {name: found for name, fields in self.mapping.child_fields.items() if (found := positions(fields))}
        self._has_lookups = any(one.lookup for one in self.mapping.sources())

    def settle(self, merge: RecordMerge, pending: Sequence[Pending]) -> None:
        """Find out which records of ours these are and refer to; what lacks a parent or a word waits, circles are refused."""
        self._match(merge, pending)
        self._look_up_words(pending)
        self._resolve(pending)

    def of(self, mapped: MappedRecord) -> Iterator[Reference]:
        """Yield what a record and its rows refer to."""
        for position, entity in self.of_header:
            if (external := mapped.header[position]) is not None:
                yield entity, external
        for name, places in self.of_children.items():
            for _, _, row in mapped.children.get(name, ()):
                for position, entity in places:
                    if (external := row[position]) is not None:
                        yield entity, external

    def with_ids(self, row: Sequence[Any], references: Sequence[tuple[int, str]]) -> list[Any]:
        """Return a row with our ids in place of the system's."""
        values = list(row)
        for at, entity in references:
            if (external := values[at]) is not None:
                values[at] = self.ids[entity, external]
        return values

    def _match(self, merge: RecordMerge, pending: Sequence[Pending]) -> None:
        """Take a record that is new to us for one of another system that has the same values in the match fields."""
        fields = self.mapping.mapping.match
        positions = [position for position, one in enumerate(self.mapping.fields) if one.name in fields]
        if not fields or len(positions) < len(fields):
            return
        names = [self.mapping.fields[position].name for position in positions]
        existing = merge.existing(one.record_id for one in pending)
        fresh = {
            tuple(one.mapped.header[position] for position in positions): one
            for one in reversed(pending)
            if one.mapped is not None and one.record_id not in existing
        }
        wanted = [values for values in fresh if all(value is not None for value in values)]
        if not wanted:
            return
        args = (self.connection, self.stream.dossier_code, self.stream.system, self.entity.name)
        found = cross_reference.matching(*args, names, wanted)
        for values, record_id in found.items():
            fresh[values].record_id = record_id
        cross_reference.relink(*args, {fresh[values].message.source_id: ours for values, ours in found.items()})

    def _look_up_words(self, pending: Sequence[Pending]) -> None:
        """Replace words of value mappings; a record with a word that nobody mapped waits for it."""
        if not self._has_lookups:
            return
        wanted = {(word.kind, word.word) for one in pending for word in _lookups(one.mapped)}
        known = cross_reference.words(self.connection, self.stream.dossier_code, self.stream.system, wanted)
        for one in pending:
            unknown = [word for word in _lookups(one.mapped) if (word.kind, word.word) not in known]
            if unknown:
                one.waiting_for = f"{unknown[0].kind} {unknown[0].word}"
            elif one.mapped is not None:
                one.mapped.header = tuple(_word(value, known) for value in one.mapped.header)
                for name, rows in one.mapped.children.items():
                    one.mapped.children[name] = [
                        (key, at, tuple(_word(value, known) for value in row)) for key, at, row in rows
                    ]

    def _resolve(self, pending: Sequence[Pending]) -> None:
        """Give every reference our id; a record whose parent is not there waits for it."""
        wanted: dict[str, set[str]] = {}
        for one in pending:
            for entity, external in one.references:
                wanted.setdefault(entity, set()).add(external)
        self.ids |= cross_reference.resolve(self.connection, self.stream.dossier_code, self.stream.system, wanted)
        if self.entity.tree:
            self._check_tree(pending, self.entity.tree)
        arriving = {(self.entity.name, one.message.source_id): one for one in pending if one.is_ready}
        blocked = True
        while blocked:
            blocked = False
            for one in [each for each in arriving.values() if each.is_ready]:
                lacking = next((ref for ref in one.references if not self._is_there(ref, arriving)), None)
                if lacking:
                    one.waiting_for = " ".join(lacking)
                    blocked = True
        self.ids |= {key: one.record_id for key, one in arriving.items() if one.is_ready}

    def _is_there(self, reference: Reference, arriving: Mapping[Reference, Pending]) -> bool:
        return reference in self.ids or (reference in arriving and arriving[reference].is_ready)

    def _check_tree(self, pending: Sequence[Pending], tree: str) -> None:
        """Refuse records that close a circle or lie too deep, those that wait for each other included."""
        position = next((at for at, one in enumerate(self.mapping.fields) if one.name == tree), None)
        arriving = {one.message.source_id: one for one in pending if one.is_ready}
        if position is None or not any(one.mapped and one.mapped.header[position] for one in arriving.values()):
            return
        args = (self.connection, self.stream.dossier_code, self.stream.system, self.entity.name)
        parents = cross_reference.parents(*args, tree)
        waiting = inbox.waiting_causes(*args)
        prefix = f"{self.entity.name} "
        parents |= {key: cause.removeprefix(prefix) for key, cause in waiting.items() if cause.startswith(prefix)}
        for key, one in arriving.items():
            above = one.mapped.header[position] if one.mapped else None
            parents.pop(key, None)
            if above is not None:
                parents[key] = above
        faults = tree_faults(arriving, parents)
        for key, fault in faults.items():
            where = self.stream.where(arriving[key].message)
            arriving[key].error = f"E-INT-003 {where}: {fault}; correct it at the source"
        for fault in set(faults.values()):
            self._refuse_waiting(waiting.keys() & circle_of(fault), fault)

    def _refuse_waiting(self, source_ids: Iterable[str], reason: str) -> None:
        """Refuse messages that wait for a parent which waits for them."""
        inbox.refuse_waiting(
            self.connection, self.stream.dossier_code, self.stream.system, self.entity.name, sorted(source_ids),
            f"E-INT-003 {self.entity.name}: {reason}; correct it at the source", self.stream.now,
        )  # fmt: skip


def _lookups(mapped: MappedRecord | None) -> Iterator[Lookup]:
    if mapped is None:
        return
    rows = (mapped.header, *(row for children in mapped.children.values() for _, _, row in children))
    for row in rows:
        for value in row:
            if isinstance(value, Lookup):
                yield value


def _word(value: object, known: Mapping[tuple[str, str], str]) -> object:
    return known[value.kind, value.word] if isinstance(value, Lookup) else value
