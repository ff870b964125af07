"""What has to be told to other systems after records changed: planned in the transaction that changed them.

A system is not told what it said itself, nor what it was told before (the echo ledger). A newer change of a record takes the
place of those that were not sent yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.connection import ConnectorEntity, Writing
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.outbound import idempotency_key, told, values_hash
from erpcrm_orchestration.services.connectors import Connected
from erpcrm_orchestration.store.inbox import StreamKey
from erpcrm_orchestration.store.outbound import Delivery, Sent, queue_deliveries, sent_to
from erpcrm_orchestration.store.records import load_records


@dataclass(frozen=True)
class Target:
    """A system that takes an entity of ours."""

    one: Connected
    stream: ConnectorEntity
    writing: Writing

    @property
    def key(self) -> StreamKey:
        """Where records of this kind are kept."""
        return self.one.key(self.stream)


def targets_of(connections: Sequence[Connected], entity: str, *, but: str | None = None) -> list[Target]:
    """Return the systems of a dossier that take an entity; `but` is the system that told us of the change."""
    return [
        Target(one, stream, stream.write)
        for one in connections
        if one.connection.outbound_enabled and one.connection.system != but
        for stream in one.connector.entities
        if stream.write and stream.map and stream.map.entity == entity
    ]


def plan(
    connection: sa.Connection,
    targets: Sequence[Target],
    entity: str,
    record_ids: Collection[int],
    *,
    cause: str,
    now: datetime,
    required: bool = False,
) -> int:
    """Queue what the targets have to be told of these records; return how many changes are new.

    `required` queues the creation also of records that nobody changed: something else refers to them.
    """
    if not targets or not record_ids:
        return 0
    dossier_code = targets[0].one.connection.dossier
    records = load_records(connection, dossier_code, ENTITIES[entity], record_ids)
    deliveries = [
        delivery
        for target in targets
        for delivery in _of_target(
            target, records, sent_to(connection, target.key, list(records)), entity, cause, required=required
        )
    ]
    return queue_deliveries(connection, deliveries, now)


def _of_target(
    target: Target, records: Mapping[int, dict[str, Any]], sent: Mapping[int, Sent], entity: str, cause: str, *, required: bool
) -> Iterator[Delivery]:
    key = target.key
    for record_id, values in records.items():
        known = sent.get(record_id)
        if (target.writing.update if known else target.writing.create) is None:
            continue
        content = told(target.writing, values)
        if not content and not required:
            continue
        digest = values_hash(content)
        if known and known.sent_hash == digest and not known.is_open:
            continue
        yield Delivery(key, record_id, values, digest, change_key(key, record_id, digest, cause, is_known=bool(known)), cause)


def change_key(key: StreamKey, record_id: int, digest: str, cause: str, *, is_known: bool) -> str:
    """Return the idempotency key of a change; `is_known`: the system has the record, and it is an update."""
    operation = "update" if is_known else "create"
    return idempotency_key(key.dossier_code, key.connection_code, operation, key.entity, record_id, digest, cause)
