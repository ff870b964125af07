"""Both sides of every stream compared: the system is read whole, page by page, and judged against what we hold of it.

A comparison writes nothing but its result; what it found is repaired through inbox and outbox (services.reconciliation_repair).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.casts import Refused
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.connection import ConnectorEntity
from erpcrm_orchestration.domain.entity import ADDRESS_FIELDS, ENTITIES
from erpcrm_orchestration.domain.entity import Kind as FieldKind
from erpcrm_orchestration.domain.errors import CredentialsRefused, InputError, SourceError, TransientFailure
from erpcrm_orchestration.domain.integration import BATCH
from erpcrm_orchestration.domain.mapping import Address, CompiledMapping, Lookup, MappedRecord
from erpcrm_orchestration.domain.outbound import told, values_hash
from erpcrm_orchestration.domain.received import ConnectorClient, Page, Span
from erpcrm_orchestration.domain.reconciliation import Compared, Difference, Kind, held_there
from erpcrm_orchestration.domain.strict_json import loads
from erpcrm_orchestration.services.connectors import Connected, compiled, connected
from erpcrm_orchestration.services.integration import parents_first
from erpcrm_orchestration.services.outbound import Target, targets_of
from erpcrm_orchestration.services.reconciliation_repair import Repair, StreamRepair
from erpcrm_orchestration.store import connection_state, cross_reference
from erpcrm_orchestration.store import reconciliation as store
from erpcrm_orchestration.store.dossier import dossier_codes as known_codes
from erpcrm_orchestration.store.engine import reported
from erpcrm_orchestration.store.inbox import content_hash
from erpcrm_orchestration.store.reconciliation import Standing
from erpcrm_orchestration.store.records import load_records, plain, record_ids
from erpcrm_orchestration.store.shared_fields import CHANGED_THERE

OPEN_STATES = frozenset({"QUEUED", "LEASED", "RETRY"})


@dataclass(frozen=True)
class Reconciliation:
    """What a comparison is given. `entity` and `system` narrow it down; `samples` of each kind are kept."""

    clock: Clock
    environment: Mapping[str, str]
    run_id: str = field(default_factory=lambda: f"cli-{uuid.uuid4()}")
    entity: str | None = None
    system: str | None = None
    samples: int = 5
    repair: Repair | None = None


def reconcile(engine: sa.Engine, dossier_codes: Collection[str], job: Reconciliation) -> list[Compared]:
    """Compare the streams of these dossiers, keep the results, and repair when the job says so; return the results."""
    results: list[Compared] = []
    with reported(engine):
        with engine.connect() as connection:
            connections = connected(connection, dossier_codes)
        for one in connections:
            if job.system in (None, one.connection.system):
                results += _connection(engine, one, job)
        if job.entity is None and job.system is None:
            with engine.begin() as connection:
                for code in dossier_codes:
                    kept = [(each.connection_code, each.stream) for each in results if each.dossier_code == code]
                    store.forget_results(connection, code, kept)
    return results


def dossiers_to_compare(engine: sa.Engine) -> list[str]:
    """Return the active dossiers that have an active connection."""
    with reported(engine), engine.connect() as connection:
        have = {one.connection.dossier for one in connected(connection)}
        return sorted(have & set(known_codes(connection, active=True)))


def streams_of(one: Connected) -> list[ConnectorEntity]:
    """Return what is compared of a system: what is read with a mapping, and what is written to; parents first."""
    read = [stream for stream in one.streams if stream.map]
    written = [
        stream
        for stream in one.connector.entities
        if one.connection.outbound_enabled and stream.write and stream.map and stream not in read
    ]
    return [stream for _, stream in parents_first([(one, stream) for stream in (*read, *written)])]


def _connection(engine: sa.Engine, one: Connected, job: Reconciliation) -> list[Compared]:
    streams = [stream for stream in streams_of(one) if stream.map and job.entity in (None, stream.map.entity)]
    failure = _left_alone(engine, one, job.clock.now())
    results: list[Compared] = []
    with ExitStack() as stack:
        try:
            client = stack.enter_context(closing(one.open(job.environment)))
        except (SourceError, InputError) as refused:
            failure = failure or str(refused)
        for stream in streams:
            if failure:
                result = replace(_empty(one, stream, job.clock.now()), failure=failure)
            else:
                result, failure = _stream(engine, one, stream, client, job)
            with engine.begin() as connection:
                store.keep_result(connection, result)
            results.append(result)
    return results


def _left_alone(engine: sa.Engine, one: Connected, now: datetime) -> str | None:
    """Return why the system may not be asked now, or None."""
    code = one.connection.connection_code
    with engine.connect() as connection:
        stopped = connection_state.stopped_connections(connection)
        if code in stopped:
            return f"the connection is stopped: {stopped[code]}"
        if code in connection_state.resting_connections(connection, now):
            return "the system asked to be left alone for now"
    return None


def _empty(one: Connected, stream: ConnectorEntity, now: datetime) -> Compared:
    key = one.key(stream)
    return Compared(key.dossier_code, key.connection_code, key.stream, key.entity, now)


def _stream(
    engine: sa.Engine, one: Connected, stream: ConnectorEntity, client: ConnectorClient, job: Reconciliation
) -> tuple[Compared, str | None]:
    """Return the result of one stream, and why the system is not asked for the others."""
    result = _empty(one, stream, job.clock.now())
    with engine.connect() as session:
        store.clear(session)
        session.commit()
        try:
            result = StreamComparison(session, one, stream, job).run(client)
            if job.repair and result.counts.differences:
                repair = StreamRepair(session, one, stream, job.repair, job.clock, job.run_id)
                result = repair.run(client, result)
        except (SourceError, InputError) as failure:
            session.rollback()
            result = replace(result, failure=str(failure))
            if isinstance(failure, CredentialsRefused | TransientFailure):
                return result, str(failure)
        finally:
            session.rollback()
            store.clear(session)
            session.commit()
    return result, None


class StreamComparison:
    """One stream, compared. `session` is a connection of its own: its temporary tables hold ids and hashes."""

    def __init__(self, session: sa.Connection, one: Connected, stream: ConnectorEntity, job: Reconciliation) -> None:
        mapping = compiled(stream)
        if mapping is None:
            raise ValueError(f"{stream.name} is not mapped")
        self.session, self.one, self.stream, self.job, self.mapping = session, one, stream, job, mapping
        self.key = one.key(stream)
        self.started = job.clock.now()

    def run(self, client: ConnectorClient) -> Compared:
        """Return how both sides compare; raise what the system fails with before it was read to its end."""
        result = _empty(self.one, self.stream, self.started)
        if self.stream.read is not None and self.stream in self.one.streams:
            staged = 0
            for page in client.pages(self.stream, Span()):
                self._take(page, staged)
                staged += len(page.records)
            result = replace(result, counts=store.compare(self.session, self.key, self.started))
        not_told = sum(self._not_told(target) for target in targets_of([self.one], self.key.entity) if self._is_own(target))
        samples = [each for kind in Kind for each in store.samples(self.session, kind, self.job.samples)]
        self.session.commit()
        return replace(result, counts=replace(result.counts, not_told=not_told), samples=tuple(samples))

    def _is_own(self, target: Target) -> bool:
        return target.stream.name == self.stream.name

    # --- their side ---------------------------------------------------------------------------------------------------

    def _take(self, page: Page, staged: int) -> None:
        """Stage a page; a text that differs and means the same by the mapping counts as what we hold."""
        store.stage(self.session, staged, page.records)
        payloads = {one.source_id: one.payload for one in page.records if one.fault is None and not one.deleted}
        hashes = {source_id: content_hash(payload) for source_id, payload in payloads.items()}
        same: dict[str, tuple[str, str]] = {}
        for held in store.held_otherwise(self.session, self.key, hashes):
            ours = self._mapped(held.payload)
            if ours is not None and ours == self._mapped(payloads[held.source_id]):
                same[held.source_id] = (hashes[held.source_id], held.content_hash)
        store.count_as_held(self.session, same)
        self.session.commit()

    def _mapped(self, payload: str) -> MappedRecord | None:
        """Return what a record means, None when it cannot be mapped."""
        try:
            record = loads(payload)
            return self.mapping.apply(record) if isinstance(record, dict) else None
        except (Refused, InputError):
            return None

    # --- what we write there ------------------------------------------------------------------------------------------

    def _not_told(self, target: Target) -> int:
        """Keep the records of ours that the system was not told, or told otherwise; return how many."""
        entity, after, count = ENTITIES[self.key.entity], 0, 0
        while ids := record_ids(self.session, self.key.dossier_code, entity, after, BATCH):
            after = ids[-1]
            records = load_records(self.session, self.key.dossier_code, entity, ids)
            judge = _ToldJudge(self.session, self.key.dossier_code, self.key.system_code, target, self.mapping)
            found = list(judge.differing(records, store.standings(self.session, self.key, ids), self._mapped))
            store.keep_differences(self.session, found)
            self.session.commit()
            count += len(found)
        return count


class _ToldJudge:
    """Tells which records a system has to be told of."""

    def __init__(
        self, connection: sa.Connection, dossier_code: str, system_code: str, target: Target, mapping: CompiledMapping
    ) -> None:
        self.connection, self.dossier_code, self.system_code = connection, dossier_code, system_code
        self.writing, self.mapping = target.writing, mapping
        entity = mapping.entity
        references = {one.name for one in mapping.fields if one.kind is FieldKind.REFERENCE}
        children = {one.name for one in entity.children} & mapping.child_fields.keys()
        self.unjudged = frozenset(references | children)
        """Fields that the system tells us itself, in its own ids: its newest message says the same as ours."""

    def differing(
        self,
        records: Mapping[int, dict[str, Any]],
        standings: Sequence[Standing],
        read: Callable[[str], MappedRecord | None],
    ) -> Iterator[Difference]:
        """Yield what was never told, told otherwise, or is in doubt."""
        open_cases: list[tuple[Standing, dict[str, Any], MappedRecord | None]] = []
        for one in standings:
            content = told(self.writing, records.get(one.record_id, {}))
            if self._is_to_be_judged(one, content):
                open_cases.append((one, content, read(one.payload) if one.payload else None))
        words = self._words([mapped for _, _, mapped in open_cases if mapped])
        for one, content, mapped in open_cases:
            if one.in_doubt and one.work_state in OPEN_STATES:
                yield Difference(Kind.NOT_TOLD, _name(one), "in doubt", one.record_id)
            elif mapped is None or not self._is_held(one, content, self._theirs(mapped, words)):
                reason = "never told" if one.sent_hash is None else "told otherwise"
                yield Difference(Kind.NOT_TOLD, _name(one), reason, one.record_id)

    def _is_held(self, one: Standing, content: Mapping[str, object], theirs: Mapping[str, object]) -> bool:
        """True when the system holds what it would be told; of what it changed itself, as far as it tells it."""
        is_told = one.sent_hash == CHANGED_THERE and one.work_state != "DEAD"
        unread = content.keys() - theirs.keys() if is_told else frozenset[str]()
        return held_there(content, theirs, self.unjudged | unread)

    def _is_to_be_judged(self, one: Standing, content: Mapping[str, object]) -> bool:
        """False for what is told already, is on its way, cannot be told, or is a person's to decide."""
        call = self.writing.update if one.external_id is not None else self.writing.create
        if call is None or not content:
            return False
        if one.in_doubt and one.work_state in OPEN_STATES:
            return True
        digest = values_hash(content)
        settled = one.work_hash == digest and one.work_state in OPEN_STATES | {"CONFLICT"}
        return not (one.sent_hash == digest or settled or one.in_conflict)

    def _words(self, mapped: Sequence[MappedRecord]) -> dict[tuple[str, str], str]:
        wanted = {(value.kind, value.word) for one in mapped for value in one.header if isinstance(value, Lookup)}
        return cross_reference.words(self.connection, self.dossier_code, self.system_code, wanted) if wanted else {}

    def _theirs(self, mapped: MappedRecord, words: Mapping[tuple[str, str], str]) -> dict[str, object]:
        """Return what the system told us by field name, in the form of our records."""
        return {one.name: _common(value, words) for one, value in zip(self.mapping.fields, mapped.header, strict=True)}


def _name(one: Standing) -> str:
    return one.external_id if one.external_id is not None else f"record {one.record_id}"


def _common(value: object, words: Mapping[tuple[str, str], str]) -> object:
    match value:
        case Address():
            return dict(zip(ADDRESS_FIELDS, value.parts, strict=False))
        case Lookup():
            return words.get((value.kind, value.word))
        case _:
            return plain(value)
