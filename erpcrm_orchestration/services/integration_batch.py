"""One batch of messages of one entity: parsed, mapped, given our ids, merged and closed, in one transaction of the caller."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from erpcrm_orchestration.domain.casts import Refused
from erpcrm_orchestration.domain.entity import Kind
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.integration import PART, Tally
from erpcrm_orchestration.domain.mapping import MappedRecord
from erpcrm_orchestration.domain.order_rules import PARTS, total_fault
from erpcrm_orchestration.domain.record_filter import RecordFilter
from erpcrm_orchestration.domain.strict_json import loads
from erpcrm_orchestration.services.ahead import one_ahead
from erpcrm_orchestration.services.batch_message import BatchResult, Merged, Pending, Reference, Stream
from erpcrm_orchestration.services.batch_outcome import close_batch, tally_of
from erpcrm_orchestration.services.batch_references import BatchReferences
from erpcrm_orchestration.services.shared_fields import SharedFields, SharedRecord
from erpcrm_orchestration.store.drift import note_drift
from erpcrm_orchestration.store.inbox import OF_DELIVERY, Message
from erpcrm_orchestration.store.record_merge import RecordMerge, Rows
from erpcrm_orchestration.store.shared_fields import Place

__all__ = ["IntegrationBatch", "Stream"]


class IntegrationBatch:
    """Integrates claimed messages; nothing of it stands before the caller's commit."""

    def __init__(self, connection: sa.Connection, stream: Stream) -> None:
        self.connection, self.stream = connection, stream
        self.mapping, self.entity = stream.mapping, stream.mapping.entity
        self.drift: dict[str, str] = {}
        self.told_again: set[int] = set()
        self.references = BatchReferences(connection, stream)
        self._filter = RecordFilter(self.mapping.mapping.where, stream.connection.switches)
        self._addresses = [at for at, one in enumerate(self.mapping.fields) if one.kind is Kind.ADDRESS]
        self._total_positions = {
            one.name: at for at, one in enumerate(self.mapping.fields) if one.name in ("total", "tax_total", "shipping_total")
        }
        self._part_positions = {
            name: at
            for name, fields in self.mapping.child_fields.items()
            for at, one in enumerate(fields)
            if name in PARTS and one.name == "total"
        }

    def run(self, messages: Sequence[Message]) -> BatchResult:
        """Return what became of the messages."""
        merged = self._merged(messages)
        note_drift(self.connection, self.stream.connection, self.stream.entity.name, self.drift, self.stream.now)
        tally, woken = close_batch(self.connection, self.stream, merged)
        return BatchResult(tally, merged.changed, self._missing(merged), self.told_again, woken)

    def rebuild(self, messages: Sequence[Message]) -> Tally:
        """Make the rows of integrated messages anew; nothing else is touched, and what fails now keeps the rows it has."""
        return tally_of(self._merged(messages))

    def _merged(self, messages: Sequence[Message]) -> Merged:
        gone = [message for message in messages if message.deleted]
        merge = RecordMerge(self.connection, self.stream.dossier_code, self.entity, self.stream.now)
        merged = Merged(gone=gone)
        for part in one_ahead(self._parts([message for message in messages if not message.deleted])):
            self._merge_part(merge, part, merged)
        merged.changed |= merge.mark_deleted(message.record_id for message in gone)
        failpoint("integration.after_merge")
        return merged

    def _merge_part(self, merge: RecordMerge, pending: Sequence[Pending], merged: Merged) -> None:
        self.references.settle(merge, pending)
        self._hold_back(merge, pending)
        ignored = self._not_ours(merge, pending)
        ready = [one for one in pending if one.is_ready and one.message.message_id not in ignored]
        self._merge_shared(ready)
        failpoint("integration.before_merge")
        merged.changed |= merge.merge(self._rows(ready), creates=self.mapping.mapping.creates)
        merged.pending += pending
        merged.ready += ready
        merged.ignored |= ignored

    # --- from payloads to rows ----------------------------------------------------------------------------------------

    def _parts(self, messages: Sequence[Message]) -> Iterator[list[Pending]]:
        """Yield the messages mapped, a part at a time: each is mapped while the one before it is merged."""
        for begin in range(0, len(messages), PART):
            yield [self._mapped(message) for message in messages[begin : begin + PART]]

    def _mapped(self, message: Message) -> Pending:
        one = Pending(message, record_id=message.record_id)
        try:
            record = loads(message.payload)
            if not isinstance(record, dict):
                raise Refused("$", "not an object")
            one.left_out = self._filter.reason(record)
            if one.left_out is not None:
                return one
            one.mapped = self.mapping.apply(record)
            one.warnings = one.mapped.warnings
            for key in self.mapping.unknown_keys(record):
                self.drift.setdefault(key, str(record[key])[:200])
            one.references = list(self.references.of(one.mapped))
            if self.entity.name == "order":
                self._check_total(one, one.mapped)
        except Refused as refused:
            found = f"{refused.path}: {refused.found}"
            one.error = f"{refused.code} {self.stream.where(message)}: {found}; correct it at the source, or the mapping"
        except InputError as error:
            one.error = f"{error.code} {self.stream.where(message)}: {error.where} {error.found}; {error.remedy}"
        except Exception as unforeseen:
            # The boundary of one record: what nobody foresaw rejects it with its reason, and the others go on.
            found = f"{type(unforeseen).__name__} while it was mapped"
            one.error = f"E-INT-007 {self.stream.where(message)}: {found}; report it"
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

    def _hold_back(self, merge: RecordMerge, pending: Sequence[Pending]) -> None:
        """Let records that are new to us wait until it is known what we created in this system ourselves."""
        if self.stream.undecided:
            there = merge.existing(one.record_id for one in pending)
            for one in pending:
                if one.is_ready and one.record_id not in there:
                    one.waiting_for = f"{OF_DELIVERY}{self.entity.name}"

    def _merge_shared(self, ready: Sequence[Pending]) -> None:
        place = Place(self.stream.dossier_code, self.stream.system, self.entity.name, self.stream.now)
        written = self.stream.entity.write.fields if self.stream.entity.write else ()
        shared = SharedFields(self.connection, place, self.mapping, self.stream.sharing, written)
        shared.merge([SharedRecord(one.message.source_id, one.record_id, one.mapped) for one in ready if one.mapped])
        self.told_again |= shared.told_again

    def _not_ours(self, merge: RecordMerge, pending: Sequence[Pending]) -> set[int]:
        """Return the messages of records that this mapping may not create and that we do not have."""
        if self.mapping.mapping.creates:
            return set()
        ready = [one for one in pending if one.mapped is not None and not one.error]
        there = merge.existing(one.record_id for one in ready)
        return {one.message.message_id for one in ready if one.record_id not in there}

    def _rows(self, ready: Sequence[Pending]) -> Rows:
        rows = Rows(self.mapping.fields, self.mapping.child_fields)
        of_children = {name: self.references.of_children.get(name, []) for name in self.mapping.child_fields}
        for one in ready:
            mapped = one.mapped
            if mapped is None:
                continue
            header = self.references.with_ids(mapped.header, self.references.of_header)
            for at in self._addresses:
                if (address := header[at]) is not None:
                    header[at] = address.address_hash
                    if address.parts:
                        rows.addresses[address.address_hash] = address.parts
            rows.header.append((one.record_id, *header))
            for name, children in mapped.children.items():
                references = of_children[name]
                rows.children.setdefault(name, []).extend(
                    [(one.record_id, key, at, *self.references.with_ids(row, references)) for key, at, row in children]
                    if references
                    else [(one.record_id, key, at, *row) for key, at, row in children]
                )
        return rows

    def _missing(self, merged: Merged) -> set[Reference]:
        """Return what messages wait for and has to be fetched."""
        return {
            reference
            for one in merged.waiting
            for reference in one.references
            if reference not in self.references.ids and one.waiting_for == " ".join(reference)
        }
