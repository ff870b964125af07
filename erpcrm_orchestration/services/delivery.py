"""Changes to other systems: claimed, written, and closed with what the system answered; each once, however often tried.

After a lost answer the next attempt looks before it creates. What a system forbids is a conflict for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.entity import ENTITIES, Child, Entity, Field, Kind
from erpcrm_orchestration.domain.errors import (
    CredentialsRefused,
    ErpcrmError,
    InputError,
    PermanentFailure,
    SourceError,
    TransientFailure,
)
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.order_rules import unit_price
from erpcrm_orchestration.domain.outbound import held_by_updates, told, values_hash
from erpcrm_orchestration.domain.received import Change, ConnectorClient, UnknownOutcome, Written
from erpcrm_orchestration.domain.work import LEASE_MARGIN_S, Outcome, WorkState, outcome_of_failure
from erpcrm_orchestration.services.connectors import Connected
from erpcrm_orchestration.services.outbound import Target, change_key, plan
from erpcrm_orchestration.services.shared_fields import told_values
from erpcrm_orchestration.services.work import Work
from erpcrm_orchestration.store import connection_state, inbox
from erpcrm_orchestration.store.cross_reference import external_ids
from erpcrm_orchestration.store.inbox import StreamKey
from erpcrm_orchestration.store.logbook import LogbookLine, write_lines
from erpcrm_orchestration.store.outbound import Sent, is_deleted, mark_in_doubt, record_sent, sent_to
from erpcrm_orchestration.store.records import load_records
from erpcrm_orchestration.store.shared_fields import Place, keep_told
from erpcrm_orchestration.store.units import load_ratios, product_units
from erpcrm_orchestration.store.work import Item, Turn, claim_work, close_work, renew_work

AT_ONCE = 20
BASE_QUANTITY = "row.base_quantity"
"""The name under which a line's quantity in the unit of its product stands in a request."""
ACTION = "DELIVERY"
REQUIRED = "work:"
"""Begins the cause of a change that another one, whose id follows, cannot do without."""
PARENT_WAIT = timedelta(seconds=30)
"""A change whose parent was queued only now is tried again after this, and within the same pass when the parent is through."""

Reference = tuple[str, int]
"""Entity and our id."""


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
        while batch := [item for item in _claim(work, one) if item.work_id not in result.waiting]:
            for item in sorted(batch, key=lambda each: (list(ENTITIES).index(each.entity), each.work_id)):
                failpoint("delivery.claimed")
                if not DeliveryAttempt(work, one, client, item, result).run():
                    return result
    return result


def _claim(work: Work, one: Connected) -> Sequence[Item]:
    now, of = work.clock.now(), one.connection
    until = now + timedelta(seconds=one.connector.timeout_s + LEASE_MARGIN_S)
    with work.engine.begin() as connection:
        work.fence(connection, of.dossier)
        turn = Turn("outbound", [of.connection_code], now, until, AT_ONCE)
        return claim_work(connection, of.dossier, turn)


class DeliveryAttempt:
    """One attempt to write one change."""

    def __init__(self, work: Work, one: Connected, client: ConnectorClient, item: Item, result: Deliveries) -> None:
        self.work, self.one, self.client, self.item, self.result = work, one, client, item, result
        self.stream = one.connector.entity(item.stream)

    def run(self) -> bool:
        """Return False when the system has to be left alone."""
        try:
            target = self._target()
            prepared = self._prepared(target)
            if prepared is None:
                return True
            external_id, values, missing = prepared
            if missing:
                self._wait_for(missing)
                return True
            change = Change(target.stream, external_id, values, self.item.dedup_key, doubtful=self.item.in_doubt)
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
            return self._failed(PermanentFailure("E-OUT-009", self._where(), found, "report it"), in_doubt=True)
        failpoint("delivery.written")
        self._settle(target, written, external_id)
        failpoint("delivery.settled")
        return True

    def _target(self) -> Target:
        if self.stream is None or self.stream.write is None:
            where = f"{self.item.connection_code} {self.item.stream}"
            raise PermanentFailure("E-OUT-001", where, "is not written any more", "drop the change or describe `write` again")
        return Target(self.one, self.stream, self.stream.write)

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
        self.work.fence(connection, key.dossier_code)
        change = change_key(key, record_id, digest, self.item.cause, is_known=known is not None)
        self.item = replace(self.item, values=values, values_hash=digest, dedup_key=change)
        renew_work(connection, key.dossier_code, self.item)
        return None

    @property
    def _is_required(self) -> bool:
        """True for a record that another change refers to: that one cannot be told without it."""
        return self.item.cause.startswith(REQUIRED)

    def _leave(self, connection: sa.Connection, why: str) -> None:
        of = self.one.connection
        self._close(connection, Outcome(WorkState.SUPERSEDED, self.work.clock.now(), why, counts=False))
        inbox.wake(connection, of.dossier, of.system, [f"{inbox.OF_DELIVERY}{self.item.entity}"])

    def _prepared(self, target: Target) -> tuple[str | None, dict[str, Any], list[Reference]] | None:
        """Return the system's id of the record, the values with its ids of what they refer to, and what it does not have.

        None when nothing is left to tell; the change is then closed.
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
            wanted = set(_references(entity, self.item.values))
            ids = external_ids(connection, key.dossier_code, key.system_code, wanted)
        needed = wanted - ids.keys()
        values = _with_their_ids(entity, self.item.values, ids)
        if BASE_QUANTITY in str(target.writing):
            self._count_in_base_units(values)
        return known.external_id if known else None, values, self._creatable(needed) if known is None else []

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
            self._close(connection, Outcome(WorkState.QUEUED, wait, error, counts=False))

    def _settle(self, target: Target, written: Written, external_id: str | None) -> None:
        now, key = self.work.clock.now(), target.key
        outcome = Outcome(WorkState.DONE, now)
        with self.work.engine.begin() as connection:
            self.work.fence(connection, key.dossier_code)
            found = written.external_id or external_id
            if written.conflict:
                outcome = Outcome(WorkState.CONFLICT, now, f"E-OUT-002 {self._where()}: {written.conflict}; decide by hand")
            elif found and not self._remember(connection, target, found):
                told = f"its id {found} is another record of ours; link it by hand"
                outcome = Outcome(WorkState.CONFLICT, now, f"E-OUT-003 {self._where()}: {told}")
            if self._close(connection, outcome):
                self._log(connection, key, outcome, found)
            if self.item.in_doubt and outcome.state is WorkState.DONE:
                ids = [self.item.record_id or 0]
                plan(connection, [target], key.entity, ids, cause=f"after:{self.item.work_id}", now=now)
            inbox.wake(connection, key.dossier_code, key.system_code, [f"{inbox.OF_DELIVERY}{key.entity}"])
            failpoint("delivery.before_commit")
        self._count(outcome)

    def _remember(self, connection: sa.Connection, target: Target, external_id: str) -> bool:
        item, key, now = self.item, target.key, self.work.clock.now()
        if not record_sent(connection, key, item.record_id or 0, external_id, item.values_hash, now):
            return False
        held = told_values(ENTITIES[key.entity], held_by_updates(target.writing), item.values)
        keep_told(connection, Place(key.dossier_code, key.system_code, key.entity, now), external_id, held)
        return True

    def _failed(self, failure: SourceError, *, in_doubt: bool = False) -> bool:
        now = self.work.clock.now()
        if in_doubt:
            # Whatever the answer would have said: only looking tells, so it is worth another attempt.
            failure = TransientFailure(failure.code, failure.where, failure.found, failure.remedy)
        outcome = outcome_of_failure(self.item.work_id, self.item.attempts, failure, now)
        with self.work.engine.begin() as connection:
            if in_doubt:
                mark_in_doubt(connection, self.one.connection.dossier, self.item.work_id)
            if self._close(connection, outcome) and self.stream and outcome.state is WorkState.DEAD:
                self._log(connection, self.one.key(self.stream), outcome, None)
                inbox.wake(
                    connection,
                    self.one.connection.dossier,
                    self.one.connection.system,
                    [f"{inbox.OF_DELIVERY}{self.item.entity}"],
                )
            if isinstance(failure, CredentialsRefused):
                connection_state.stop_connection(connection, self.one.connection, str(failure), now)
        self._count(outcome)
        return not isinstance(failure, CredentialsRefused)

    def _close(self, connection: sa.Connection, outcome: Outcome) -> bool:
        of = self.one.connection
        return close_work(connection, of.dossier, self.item, outcome, now=self.work.clock.now(), run_id=self.work.run_id)

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


def _references(entity: Entity, values: Mapping[str, Any]) -> list[Reference]:
    """Return what a record and its children refer to."""
    found = _referred(entity.fields, values)
    for child in entity.children:
        for row in values.get(child.name) or ():
            found += _referred(child.fields, row)
    return found


def _referred(fields: Sequence[Field], values: Mapping[str, Any]) -> list[Reference]:
    ids = values.get("ref") or {}
    return [
        (one.refers_to or "", ids[one.name]) for one in fields if one.kind is Kind.REFERENCE and ids.get(one.name) is not None
    ]


def _with_their_ids(entity: Entity, values: Mapping[str, Any], ids: Mapping[Reference, str]) -> dict[str, Any]:
    """Return the values with the system's ids below `ref`; a reference that it does not know is left out."""
    whole = _typed(entity.fields, values) | {"ref": _their_ids(entity.fields, values, ids)}
    for child in entity.children:
        whole[child.name] = [_row(child, row, ids) for row in values.get(child.name) or ()]
    return whole


def _row(child: Child, values: Mapping[str, Any], ids: Mapping[Reference, str]) -> dict[str, Any]:
    """Return a row as it is told; a line has a price of one unit also when we were told its total only."""
    row = _typed(child.fields, values) | {"ref": _their_ids(child.fields, values, ids)}
    return row | {"unit_price": unit_price(row)} if any(one.name == "unit_price" for one in child.fields) else row


def _typed(fields: Sequence[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with decimals as such: they are texts while they wait in the database."""
    numbers = {one.name for one in fields if one.kind is Kind.DECIMAL}
    return {name: Decimal(value) if name in numbers and isinstance(value, str) else value for name, value in values.items()}


def _their_ids(fields: Sequence[Field], values: Mapping[str, Any], ids: Mapping[Reference, str]) -> dict[str, str]:
    ours = values.get("ref") or {}
    found = {one.name: ids.get((one.refers_to or "", ours[one.name])) for one in fields if ours.get(one.name) is not None}
    return {name: external for name, external in found.items() if external is not None}
