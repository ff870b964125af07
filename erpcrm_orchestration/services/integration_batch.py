"""One batch of messages of one entity: parsed, mapped, given our ids, merged and closed, in one transaction of the caller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.casts import Refused
from erpcrm_orchestration.domain.connection import Connection, ConnectorEntity
from erpcrm_orchestration.domain.entity import Field, Kind
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.integration import Tally
from erpcrm_orchestration.domain.mapping import CompiledMapping, Lookup, MappedRecord
from erpcrm_orchestration.domain.order_rules import PARTS, total_fault
from erpcrm_orchestration.domain.strict_json import loads
from erpcrm_orchestration.domain.tree import tree_faults
from erpcrm_orchestration.services.shared_fields import SharedFields, SharedRecord, Sharing
from erpcrm_orchestration.store import cross_reference, inbox
from erpcrm_orchestration.store.drift import note_drift
from erpcrm_orchestration.store.inbox import Message
from erpcrm_orchestration.store.logbook import LogbookLine, write_lines
from erpcrm_orchestration.store.record_merge import RecordMerge, Rows
from erpcrm_orchestration.store.shared_fields import Place

ACTION = "INTEGRATION"
"""The action of our lines in the logbook."""

Reference = tuple[str, str]
"""Entity and the other system's id."""


@dataclass(frozen=True)
class Stream:
    """What a batch needs to know of where its messages come from."""

    connection: Connection
    entity: ConnectorEntity
    mapping: CompiledMapping
    now: datetime
    run_id: str | None
    sharing: Sharing = field(default_factory=Sharing)
    undecided: bool = False
    """True while a record of ours may just have been created in this system without our knowing its id."""

    @property
    def dossier_code(self) -> str:
        return self.connection.dossier

    @property
    def system(self) -> str:
        return self.connection.system


@dataclass
class Pending:
    """A message on its way: what it was mapped to, or why it is not integrated."""

    message: Message
    mapped: MappedRecord | None = None
    record_id: int = 0
    error: str | None = None
    waiting_for: str | None = None
    warnings: list[str] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        return self.mapped is not None and self.error is None and self.waiting_for is None


@dataclass(frozen=True)
class Merged:
    """Messages after the merge: `ready` were integrated, `gone` are deletions, `ignored` are not ours."""

    pending: Sequence[Pending]
    ready: Sequence[Pending]
    gone: Sequence[Message]
    ignored: set[int]
    changed: set[int]

    @property
    def rejected(self) -> list[Pending]:
        return [one for one in self.pending if one.error]

    @property
    def waiting(self) -> list[Pending]:
        return [one for one in self.pending if one.waiting_for and not one.error and one.message.message_id not in self.ignored]


@dataclass
class BatchResult:
    """`changed`: our ids whose rows changed. `missing`: what has to be fetched for the messages that wait.

    `told_again`: records of which this system told what is not its to change.
    """

    tally: Tally
    changed: set[int] = field(default_factory=set)
    missing: set[Reference] = field(default_factory=set)
    told_again: set[int] = field(default_factory=set)


class IntegrationBatch:
    """Integrates claimed messages; nothing of it stands before the caller's commit."""

    def __init__(self, connection: sa.Connection, stream: Stream) -> None:
        self.connection, self.stream = connection, stream
        self.mapping, self.entity = stream.mapping, stream.mapping.entity
        self.drift: dict[str, str] = {}
        self.told_again: set[int] = set()
        self._header_references = _positions(self.mapping.fields)
        self._addresses = [at for at, one in enumerate(self.mapping.fields) if one.kind is Kind.ADDRESS]
        self._child_references = {
            name: found for name, fields in self.mapping.child_fields.items() if (found := _positions(fields))
        }
        self._total_positions = {
            one.name: at for at, one in enumerate(self.mapping.fields) if one.name in ("total", "tax_total", "shipping_total")
        }
        self._part_positions = {
            name: at
            for name, fields in self.mapping.child_fields.items()
            for at, one in enumerate(fields)
            if name in PARTS and one.name == "total"
        }
        self._has_lookups = any(one.lookup for one in self.mapping.sources())

    def run(self, messages: Sequence[Message]) -> BatchResult:
        """Return what became of the messages."""
        merged = self._merged(messages)
        self._close(merged)
        self._wake(merged.ready)
        note_drift(self.connection, self.stream.connection, self.stream.entity.name, self.drift, self.stream.now)
        tally = self._tally(merged)
        self._write_logbook(tally, merged.rejected)
        return BatchResult(tally, merged.changed, self._missing(merged), self.told_again)

    def rebuild(self, messages: Sequence[Message]) -> Tally:
        """Make the rows of integrated messages anew; nothing else is touched, and what fails now keeps the rows it has."""
        return self._tally(self._merged(messages))

    def _merged(self, messages: Sequence[Message]) -> Merged:
        gone = [message for message in messages if message.deleted]
        pending = [self._mapped(message) for message in messages if not message.deleted]
        self._match(pending)
        self._look_up_words(pending)
        self._resolve(pending)
        merge = RecordMerge(self.connection, self.stream.dossier_code, self.entity, self.stream.now)
        self._hold_back(merge, pending)
        ignored = self._not_ours(merge, pending)
        ready = [one for one in pending if one.is_ready and one.message.message_id not in ignored]
        self._merge_shared(ready)
        failpoint("integration.before_merge")
        changed = merge.merge(self._rows(ready), creates=self.mapping.mapping.creates)
        changed |= merge.mark_deleted(message.record_id for message in gone)
        failpoint("integration.after_merge")
        return Merged(pending, ready, gone, ignored, changed)

    # --- from payloads to rows ----------------------------------------------------------------------------------------

    def _mapped(self, message: Message) -> Pending:
        one = Pending(message, record_id=message.record_id)
        try:
            record = loads(message.payload)
            if not isinstance(record, dict):
                raise Refused("$", "not an object")
            one.mapped = self.mapping.apply(record)
            one.warnings = one.mapped.warnings
            for key in self.mapping.unknown_keys(record):
                self.drift.setdefault(key, str(record[key])[:200])
            one.references = list(self._references(one.mapped))
            if self.entity.name == "order":
                self._check_total(one, one.mapped)
        except Refused as refused:
            found = f"{refused.path}: {refused.found}"
            one.error = f"{refused.code} {self._where(message)}: {found}; correct it at the source, or the mapping"
        except InputError as error:
            one.error = f"{error.code} {self._where(message)}: {error.where} {error.found}; {error.remedy}"
        except Exception as unforeseen:
            # The boundary of one record: what nobody foresaw rejects it with its reason, and the others go on.
            found = f"{type(unforeseen).__name__} while it was mapped"
            one.error = f"E-INT-007 {self._where(message)}: {found}; report it"
        return one

    def _check_total(self, one: Pending, mapped: MappedRecord) -> None:
        header = {name: mapped.header[at] for name, at in self._total_positions.items()}
        children = {
            name: [{"total": row[at]} for _, _, row in mapped.children.get(name, ())]
            for name, at in self._part_positions.items()
        }
        fault = total_fault(header, children)
        if fault:
            one.warnings.append(f"order {one.message.source_id}: {fault}")

    def _where(self, message: Message) -> str:
        return f"{self.stream.connection.connection_code} {self.stream.entity.name} {message.source_id}"

    # --- references ---------------------------------------------------------------------------------------------------

    def _match(self, pending: Sequence[Pending]) -> None:
        """Take a record that is new to us for one of another system that has the same values in the match fields."""
        fields = self.mapping.mapping.match
        positions = [position for position, one in enumerate(self.mapping.fields) if one.name in fields]
        if not fields or len(positions) < len(fields):
            return
        names = [self.mapping.fields[position].name for position in positions]
        existing = RecordMerge(
            self.connection, self.stream.dossier_code, self.entity, self.stream.now
        ).existing(one.record_id for one in pending)  # fmt: skip
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
        self._ids = cross_reference.resolve(self.connection, self.stream.dossier_code, self.stream.system, wanted)
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
        self._ids |= {key: one.record_id for key, one in arriving.items() if one.is_ready}

    def _is_there(self, reference: Reference, arriving: Mapping[Reference, Pending]) -> bool:
        return reference in self._ids or (reference in arriving and arriving[reference].is_ready)

    def _references(self, mapped: MappedRecord) -> Iterator[Reference]:
        for position, entity in self._header_references:
            if (external := mapped.header[position]) is not None:
                yield entity, external
        for name, positions in self._child_references.items():
            for _, _, row in mapped.children.get(name, ()):
                for position, entity in positions:
                    if (external := row[position]) is not None:
                        yield entity, external

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
            arriving[key].error = f"E-INT-003 {self._where(arriving[key].message)}: {fault}; correct it at the source"
        self._refuse_waiting(waiting.keys() & _circles(faults.values()), faults)

    def _refuse_waiting(self, source_ids: Iterable[str], faults: Mapping[str, str]) -> None:
        """Refuse messages that wait for a parent which waits for them."""
        reason = next(iter(faults.values()), "")
        inbox.refuse_waiting(
            self.connection, self.stream.dossier_code, self.stream.system, self.entity.name, sorted(source_ids),
            f"E-INT-003 {self.entity.name}: {reason}; correct it at the source", self.stream.now,
        )  # fmt: skip

    def _hold_back(self, merge: RecordMerge, pending: Sequence[Pending]) -> None:
        """Let records that are new to us wait until it is known what we created in this system ourselves."""
        if self.stream.undecided:
            there = merge.existing(one.record_id for one in pending)
            for one in pending:
                if one.is_ready and one.record_id not in there:
                    one.waiting_for = f"delivery {self.entity.name}"

    def _merge_shared(self, ready: Sequence[Pending]) -> None:
        place = Place(self.stream.dossier_code, self.stream.system, self.entity.name, self.stream.now)
        shared = SharedFields(self.connection, place, self.mapping, self.stream.sharing)
        shared.merge([SharedRecord(one.message.source_id, one.record_id, one.mapped) for one in ready if one.mapped])
        self.told_again = shared.told_again

    def _not_ours(self, merge: RecordMerge, pending: Sequence[Pending]) -> set[int]:
        """Return the messages of records that this mapping may not create and that we do not have."""
        if self.mapping.mapping.creates:
            return set()
        ready = [one for one in pending if one.mapped is not None and not one.error]
        there = merge.existing(one.record_id for one in ready)
        return {one.message.message_id for one in ready if one.record_id not in there}

    def _rows(self, ready: Sequence[Pending]) -> Rows:
        rows = Rows(self.mapping.fields, self.mapping.child_fields)
        of_children = {name: self._child_references.get(name, []) for name in self.mapping.child_fields}
        for one in ready:
            mapped = one.mapped
            if mapped is None:
                continue
            header = self._with_ids(mapped.header, self._header_references)
            for at in self._addresses:
                if (address := header[at]) is not None:
                    header[at] = address.address_hash
                    if address.parts:
                        rows.addresses[address.address_hash] = address.parts
            rows.header.append((one.record_id, *header))
            for name, children in mapped.children.items():
                references = of_children[name]
                rows.children.setdefault(name, []).extend(
                    [(one.record_id, key, at, *self._with_ids(row, references)) for key, at, row in children]
                    if references
                    else [(one.record_id, key, at, *row) for key, at, row in children]
                )
        return rows

    def _with_ids(self, row: Sequence[Any], references: Sequence[tuple[int, str]]) -> list[Any]:
        """Return a row with our ids in place of the system's."""
        values = list(row)
        for at, entity in references:
            if (external := values[at]) is not None:
                values[at] = self._ids[entity, external]
        return values

    # --- outcome ------------------------------------------------------------------------------------------------------

    def _close(self, merged: Merged) -> None:
        code, now, run_id = self.stream.dossier_code, self.stream.now, self.stream.run_id
        plain = [one.message.message_id for one in merged.ready if not one.warnings]
        plain += [one.message_id for one in merged.gone]
        inbox.close(self.connection, code, plain, "TRANSFORMED", now=now, run_id=run_id)
        inbox.close(self.connection, code, sorted(merged.ignored), "IGNORED", now=now, run_id=run_id)
        explained = [
            {"message_id": one.message.message_id, **_outcome(one)}
            for one in merged.pending
            if one.message.message_id not in merged.ignored and (one.error or one.waiting_for or one.warnings)
        ]
        inbox.explain(self.connection, code, explained, now=now, run_id=run_id)

    def _wake(self, ready: Sequence[Pending]) -> None:
        causes = [f"{self.entity.name} {one.message.source_id}" for one in ready]
        inbox.wake(self.connection, self.stream.dossier_code, self.stream.system, causes)

    def _missing(self, merged: Merged) -> set[Reference]:
        """Return what messages wait for and has to be fetched."""
        return {
            reference
            for one in merged.waiting
            for reference in one.references
            if reference not in self._ids and one.waiting_for == " ".join(reference)
        }

    def _tally(self, merged: Merged) -> Tally:
        return Tally(
            transformed=len(merged.ready), changed=len(merged.changed), rejected=len(merged.rejected),
            waiting=len(merged.waiting), ignored=len(merged.ignored), deleted=len(merged.gone),
            warned=sum(bool(one.warnings) for one in merged.ready),
        )  # fmt: skip

    def _write_logbook(self, tally: Tally, rejected: Sequence[Pending]) -> None:
        stream = self.stream
        origin = f"connection:{stream.connection.connection_code}"
        done = tally.transformed + tally.deleted
        lines = [
            LogbookLine(
                stream.dossier_code, stream.now, origin, f"{one.message.message_id}", ACTION, "REJECT", one.error or "",
                stream.run_id, sync_id=stream.run_id,
            )
            for one in rejected
        ]  # fmt: skip
        if done:
            text = f"{stream.entity.name}: {done} integrated, {tally.rejected} rejected, {tally.waiting} waiting"
            key = f"{stream.entity.name}-{stream.run_id}"
            run_id = stream.run_id
            lines.append(LogbookLine(stream.dossier_code, stream.now, origin, key, ACTION, "OK", text, run_id, sync_id=run_id))
        write_lines(self.connection, lines)


def _outcome(one: Pending) -> dict[str, str | None]:
    if one.error:
        return {"state": "REJECTED", "error": one.error}
    if one.waiting_for:
        return {"state": "WAITING", "waiting_for": one.waiting_for}
    return {"state": "TRANSFORMED", "warning": "; ".join(one.warnings)}


def _positions(fields: Sequence[Field]) -> list[tuple[int, str]]:
    """Return where in a row references stand, with the entity that each refers to."""
    return [(at, one.refers_to) for at, one in enumerate(fields) if one.kind is Kind.REFERENCE and one.refers_to]


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


def _circles(faults: Iterable[str]) -> set[str]:
    """Return the ids that the messages of circles name."""
    return {key for fault in faults if fault.startswith("cycle ") for key in fault.removeprefix("cycle ").split(" > ")}
