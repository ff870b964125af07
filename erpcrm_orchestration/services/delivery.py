"""Changes to other systems: claimed, written, and closed with what the system answered; each once, however often tried.

A change is in doubt from the moment before it is sent until its answer is known: only then the next attempt looks before it
creates, and later changes of the record wait. What a system forbids is a conflict for people.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.errors import (
    CredentialsRefused,
    ErpcrmError,
    InputError,
    PermanentFailure,
    SourceError,
    TransientFailure,
)
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.outbound import held_by_updates, told, values_hash
from erpcrm_orchestration.domain.received import Change, ConnectorClient, UnknownOutcome, Written
from erpcrm_orchestration.domain.work import LEASE_MARGIN_S, Outcome, WorkState, outcome_of_failure
from erpcrm_orchestration.services.connectors import Connected
from erpcrm_orchestration.services.delivery_content import Reference, references, with_their_ids
from erpcrm_orchestration.services.outbound import Target, change_key, plan
from erpcrm_orchestration.services.shared_fields import told_values
from erpcrm_orchestration.services.work import Work
from erpcrm_orchestration.store import connection_state, inbox
from erpcrm_orchestration.store.cross_reference import external_ids
from erpcrm_orchestration.store.inbox import StreamKey
from erpcrm_orchestration.store.logbook import LogbookLine, write_lines
from erpcrm_orchestration.store.outbound import Sent, is_deleted, record_sent, sent_to
from erpcrm_orchestration.store.records import load_records
from erpcrm_orchestration.store.shared_fields import Place, forget_sent, keep_told
from erpcrm_orchestration.store.units import load_ratios, product_units
from erpcrm_orchestration.store.work import Item, Turn, claim_work, close_work, give_back, note_sending

AT_ONCE = 20
BASE_QUANTITY = "row.base_quantity"
"""The name under which a line's quantity in the unit of its product stands in a request."""
ACTION = "DELIVERY"
REQUIRED = "work:"
"""Begins the cause of a change that another one, whose id follows, cannot do without."""
PARENT_WAIT = timedelta(seconds=30)
"""A change whose parent was queued only now is tried again after this, and within the same pass when the parent is through."""


@dataclass
class Deliveries:
    """What one pass did for a system."""

    done: int = 0
    retried: int = 0
    dead: int = 0
    conflicts: int = 0
    waiting: set[int] = field(default_factory=set)


def deliver_due(work: Work, one: Connected) -> Deliveries:
    """Write the changes that are due for one system, parents before what refers to them."""
    result = Deliveries()
    with closing(one.open(work.environment)) as client:
        while batch := _claim(work, one, result.waiting):
            if not _deliver(work, one, client, batch, result):
                break
    return result


def _deliver(work: Work, one: Connected, client: ConnectorClient, batch: Sequence[Item], result: Deliveries) -> bool:
    """Write a batch, and give back what is left of it when it ends early; False when the system has to be left alone."""
    items = sorted(batch, key=lambda each: (list(ENTITIES).index(each.entity), each.work_id))
    for number, item in enumerate(items, start=1):
        failpoint("delivery.claimed")
        if not DeliveryAttempt(work, one, client, item, result).run():
            with work.engine.begin() as connection:
                give_back(connection, one.connection.dossier, items[number:])
            return False
    return True


def _claim(work: Work, one: Connected, but: Collection[int]) -> Sequence[Item]:
    now, of = work.clock.now(), one.connection
    until = now + timedelta(seconds=one.connector.timeout_s + LEASE_MARGIN_S)
    with work.engine.begin() as connection:
        work.fence(connection, of.dossier)
        turn = Turn("outbound", [of.connection_code], now, until, AT_ONCE, but=but)
        return claim_work(connection, of.dossier, turn)


class DeliveryAttempt:
    """One attempt to write one change."""

    def __init__(self, work: Work, one: Connected, client: ConnectorClient, item: Item, result: Deliveries) -> None:
        self.work, self.one, self.client, self.item, self.result = work, one, client, item, result
        self.stream = one.connector.entity(item.stream)
        self.was_in_doubt, self.is_sent = item.in_doubt, False

    def run(self) -> bool:
        """Return False when the system has to be left alone."""
        try:
            target = self._target()
            if self.item.in_doubt and self._is_certain(target):
                self.item = replace(self.item, in_doubt=False)
            prepared = self._prepared(target)
            if prepared is None:
                return True
            change, missing = prepared
            if missing:
                self._wait_for(missing)
                return True
            self.is_sent = True
            written = self.client.write(change)
        except UnknownOutcome as lost:
            return self._failed(lost.failure, in_doubt=True)
        except SourceError as failure:
            return self._failed(failure)
        except (ErpcrmError, sa.exc.SQLAlchemyError):
            raise
        except Exception as unforeseen:
            # The boundary of one record: what nobody foresaw parks it with its reason, and the others go on.
            found = f"{type(unforeseen).__name__} while it was written"
            return self._failed(PermanentFailure("E-OUT-009", self._where(), found, "report it"), in_doubt=self.is_sent)
        failpoint("delivery.written")
        self._settle(target, written, change.external_id)
        failpoint("delivery.settled")
        return True

    def _target(self) -> Target:
        if self.stream is None or self.stream.write is None:
            where = f"{self.item.connection_code} {self.item.stream}"
            raise PermanentFailure(
                "E-OUT-001", where, "is not written any more", "drop it (erpcrm work drop) or describe `write` again"
            )
        return Target(self.one, self.stream, self.stream.write)

    def _is_certain(self, target: Target) -> bool:
        """True for a creation in doubt of which is known now what became of it: the record came in, or it is not there.

        What cannot be looked for is repeated as it was, when its key tells the system that it is the same.
        """
        key, record_id = target.key, self.item.record_id or 0
        with self.work.engine.connect() as connection:
            known = sent_to(connection, key, [record_id]).get(record_id)
            ids = external_ids(connection, key.dossier_code, key.system_code, self._references)
        if known:
            return self.item.dedup_key == self._key(target, is_known=False)
        if target.writing.find is None:
            return False
        values = with_their_ids(ENTITIES[key.entity], self.item.values, ids)
        try:
            return self.client.look(Change(target.stream, None, values, self.item.dedup_key, doubtful=True)) is None
        except PermanentFailure:
            if target.writing.idempotency_header is None:
                raise
            return False

    def _key(self, target: Target, *, is_known: bool) -> str:
        """Return the idempotency key of the change: an update never has that of the creation before it."""
        item = self.item
        return change_key(target.key, item.record_id or 0, item.values_hash or "", item.cause, is_known=is_known)

    @property
    def _references(self) -> set[Reference]:
        return set(references(ENTITIES[self.item.entity], self.item.values))

    def _renew(self, connection: sa.Connection, target: Target, known: Sent | None) -> str | None:
        """Take what the record is now in place of what it was when the change was queued; return why nothing is left to tell.

        The system itself, or a person, may have changed it since. What was tried and may have been carried out goes on as it
        is, under its key: `_settle` queues what differs.
        """
        key, record_id = target.key, self.item.record_id or 0
        values = load_records(connection, key.dossier_code, ENTITIES[key.entity], [record_id]).get(record_id)
        if values is None:
            return None
        if known is None and not self._is_required and is_deleted(connection, key, record_id):
            return "the record is deleted"
        digest = values_hash(told(target.writing, values))
        if digest == self.item.values_hash:
            return None
        if known and known.sent_hash == digest:
            return "the system was told since"
        self.item = replace(self.item, values=values, values_hash=digest)
        return None

    @property
    def _is_required(self) -> bool:
        """True for a record that another change refers to: that one cannot be told without it."""
        return self.item.cause.startswith(REQUIRED)

    def _leave(self, connection: sa.Connection, why: str) -> None:
        self._close(connection, Outcome(WorkState.SUPERSEDED, self.work.clock.now(), why, counts=False))
        self._wake_held(connection)

    def _wake_held(self, connection: sa.Connection) -> None:
        """Let the records go on that waited until it was known whether this change created one of them."""
        of = self.one.connection
        inbox.wake(connection, of.dossier, of.system, [f"{inbox.OF_DELIVERY}{self.item.entity}"])

    def _prepared(self, target: Target) -> tuple[Change, list[Reference]] | None:
        """Return what is to be sent, and what the system does not have of what it refers to: then it is not sent.

        None when nothing is left to tell, and the change is closed, or when another process has it.
        """
        key, record_id = target.key, self.item.record_id or 0
        entity = ENTITIES[key.entity]
        with self.work.engine.begin() as connection:
            known = sent_to(connection, key, [record_id]).get(record_id)
            if known and target.writing.update is None:
                # Its creation waited, or was in doubt, and it came in from there meanwhile: nothing is left to tell.
                self._leave(connection, "the system has the record")
                return None
            if not self.item.in_doubt and (why := self._renew(connection, target, known)):
                self._leave(connection, why)
                return None
            if known or not self.was_in_doubt:
                # A creation that was in doubt keeps its key: an earlier request of it may still be under way.
                self.item = replace(self.item, dedup_key=self._key(target, is_known=known is not None))
            wanted = self._references
            ids = external_ids(connection, key.dossier_code, key.system_code, wanted)
            values = with_their_ids(entity, self.item.values, ids)
            if BASE_QUANTITY in str(target.writing):
                self._count_in_base_units(values)
            tells_references = known is None or "ref." in str(target.writing.update)
            missing = self._creatable(wanted - ids.keys()) if tells_references else []
            if not missing:
                self.work.fence(connection, key.dossier_code)
                if not note_sending(connection, key.dossier_code, self.item):
                    return None
        external_id = known.external_id if known else None
        doubtful = self.item.in_doubt or (self.was_in_doubt and known is None)
        return Change(target.stream, external_id, values, self.item.dedup_key, doubtful=doubtful), missing

    def _count_in_base_units(self, values: dict[str, Any]) -> None:
        """Give every line its quantity in the unit of its product; raise PermanentFailure for a ratio that nobody gave."""
        dossier_code, day = self.one.connection.dossier, self.work.clock.now().date()
        ours = [row.get("ref", {}).get("product") for row in self.item.values.get("lines") or ()]
        with self.work.engine.connect() as connection:
            products = product_units(connection, dossier_code, [one for one in ours if one is not None])
            ratios = load_ratios(connection, dossier_code)
        for row, product_id in zip(values.get("lines") or (), ours, strict=True):
            product = products.get(product_id) if product_id is not None else None
            unit, wanted = row.get("unit"), product.unit if product else None
            if not (unit and wanted and product):
                row["base_quantity"] = row["quantity"]
                continue
            try:
                row["base_quantity"] = ratios.convert(row["quantity"], unit, wanted, sku=product.sku, day=day)
            except InputError as missing:
                raise PermanentFailure(missing.code, missing.where, missing.found, missing.remedy) from missing

    def _creatable(self, needed: set[Reference]) -> list[Reference]:
        """Return what is needed and can be created there; what cannot is left out of what is written."""
        return [
            (entity, ours)
            for entity, ours in sorted(needed)
            if any(
                stream.write and stream.write.create and stream.map and stream.map.entity == entity
                for stream in self.one.connector.entities
            )
        ]

    def _wait_for(self, missing: Sequence[Reference]) -> None:
        """Queue the creation of what the change refers to, and put the change back behind it."""
        now = self.work.clock.now()
        self.result.waiting.add(self.item.work_id)
        with self.work.engine.begin() as connection:
            self.work.fence(connection, self.one.connection.dossier)
            queued = 0
            for entity in dict.fromkeys(name for name, _ in missing):
                targets = [
                    Target(self.one, stream, stream.write)
                    for stream in self.one.connector.entities
                    if stream.write and stream.map and stream.map.entity == entity
                ]
                ids = [ours for name, ours in missing if name == entity]
                queued += plan(connection, targets, entity, ids, cause=f"{REQUIRED}{self.item.work_id}", now=now, required=True)
            if queued:
                self.result.waiting.discard(self.item.work_id)
            wait = now if queued else now + PARENT_WAIT
            error = f"waits for {', '.join(f'{name} {ours}' for name, ours in missing[:5])}"
            self._close(connection, Outcome(WorkState.QUEUED, wait, error, counts=False), in_doubt=self.was_in_doubt)

    def _settle(self, target: Target, written: Written, external_id: str | None) -> None:
        now, key = self.work.clock.now(), target.key
        outcome, is_blocked = Outcome(WorkState.DONE, now), False
        with self.work.engine.begin() as connection:
            self.work.fence(connection, key.dossier_code)
            found = written.external_id or external_id
            if written.conflict:
                outcome = Outcome(
                    WorkState.CONFLICT, now, f"E-OUT-002 {self._where()}: {written.conflict}; correct one of both, or drop it"
                )
            elif found and not self._remember(connection, target, found, is_told=not written.found):
                told = f"its id {found} is another record of ours; make both one where they come from, then requeue or drop it"
                outcome = Outcome(WorkState.CONFLICT, now, f"E-OUT-003 {self._where()}: {told}")
                is_blocked = True
            if written.conflict and self.was_in_doubt:
                self._forget_sent(connection, key)
            in_doubt = is_blocked or (self.item.in_doubt and outcome.state is WorkState.DONE)
            if self._close(connection, outcome, in_doubt=in_doubt):
                self._log(connection, key, outcome, found)
            if (self.item.in_doubt or written.found) and outcome.state is WorkState.DONE:
                ids = [self.item.record_id or 0]
                plan(connection, [target], key.entity, ids, cause=f"after:{self.item.work_id}", now=now)
            self._wake_held(connection)
            failpoint("delivery.before_commit")
        self._count(outcome)

    def _remember(self, connection: sa.Connection, target: Target, external_id: str, *, is_told: bool) -> bool:
        """Keep the system's id and what it was told; what it had already, it is told once more if it takes updates."""
        item, key, now = self.item, target.key, self.work.clock.now()
        is_told = is_told or target.writing.update is None
        if not record_sent(connection, key, item.record_id or 0, external_id, item.values_hash if is_told else None, now):
            return False
        if not is_told:
            return True
        held = told_values(ENTITIES[key.entity], held_by_updates(target.writing), item.values)
        keep_told(connection, Place(key.dossier_code, key.system_code, key.entity, now), external_id, held)
        return True

    def _failed(self, failure: SourceError, *, in_doubt: bool = False) -> bool:
        now = self.work.clock.now()
        of, is_refused = self.one.connection, failure.is_refusal
        if in_doubt:
            # Whatever the answer would have said: only looking tells, so it is worth another attempt.
            wish = failure.retry_after_s if isinstance(failure, TransientFailure) else None
            failure = TransientFailure(failure.code, failure.where, failure.found, failure.remedy, retry_after_s=wish)
        outcome = outcome_of_failure(self.item.work_id, self.item.attempts, failure, now)
        in_doubt = in_doubt or (self.was_in_doubt and not is_refused)
        with self.work.engine.begin() as connection:
            if is_refused and self.was_in_doubt and self.stream:
                self._forget_sent(connection, self.one.key(self.stream))
            if self._close(connection, outcome, in_doubt=in_doubt) and self.stream and outcome.state is WorkState.DEAD:
                self._log(connection, self.one.key(self.stream), outcome, None)
            if not in_doubt or outcome.state is WorkState.DEAD:
                self._wake_held(connection)
            if isinstance(failure, CredentialsRefused):
                connection_state.stop_connection(connection, of, str(failure), now)
            wishes_rest = connection_state.rest(connection, of, failure, now)
        self._count(outcome)
        return not (wishes_rest or isinstance(failure, CredentialsRefused))

    def _forget_sent(self, connection: sa.Connection, key: StreamKey) -> None:
        """An earlier attempt may have been carried out although this one was refused: nobody knows what the system holds."""
        place = Place(key.dossier_code, key.system_code, key.entity, self.work.clock.now())
        forget_sent(connection, place, [self.item.record_id or 0])

    def _close(self, connection: sa.Connection, outcome: Outcome, *, in_doubt: bool = False) -> bool:
        of, now = self.one.connection, self.work.clock.now()
        return close_work(connection, of.dossier, self.item, outcome, now=now, run_id=self.work.run_id, in_doubt=in_doubt)

    def _log(self, connection: sa.Connection, key: StreamKey, outcome: Outcome, external_id: str | None) -> None:
        ok = outcome.state is WorkState.DONE
        text = f"{key.entity} {self.item.record_id} written as {external_id}" if ok else outcome.error or ""
        line = LogbookLine(
            key.dossier_code, self.work.clock.now(), f"connection:{key.connection_code}",
            f"work-{self.item.work_id}-{self.item.attempts}", ACTION, "OK" if ok else "ERROR", text, self.work.run_id,
            sync_id=self.work.run_id,
        )  # fmt: skip
        write_lines(connection, [line])

    def _count(self, outcome: Outcome) -> None:
        match outcome.state:
            case WorkState.DONE:
                self.result.done += 1
            case WorkState.DEAD:
                self.result.dead += 1
            case WorkState.CONFLICT:
                self.result.conflicts += 1
            case _:
                self.result.retried += 1

    def _where(self) -> str:
        return f"{self.item.connection_code} {self.item.stream} record {self.item.record_id}"
