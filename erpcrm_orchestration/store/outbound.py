"""The outbox of changes for other systems, and the echo ledger of what they were told."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.inbox import StreamKey
from erpcrm_orchestration.store.integration_schema import cross_reference, entity_table, inbox, of_entity, work_item
from erpcrm_orchestration.store.work import of_known_record


@dataclass(frozen=True)
class Sent:
    """How a system knows a record; `sent_hash` is what it was last told. `is_open`: it may be told, or was, something else."""

    external_id: str
    sent_hash: str | None
    is_open: bool = False


@dataclass(frozen=True)
class Delivery:
    """A change to be queued: `values` is the whole record, `values_hash` covers what is told of it."""

    key: StreamKey
    record_id: int
    values: dict[str, Any]
    values_hash: str
    dedup_key: str
    cause: str


def sent_to(connection: sa.Connection, key: StreamKey, record_ids: Collection[int]) -> dict[int, Sent]:
    """Return our id -> how the system knows the record, of those that it knows."""
    columns, work = cross_reference.c, work_item.c
    is_open = sa.exists().where(
        of_known_record(), work.event == "outbound", work.state.in_(["QUEUED", "LEASED", "RETRY", "DEAD"])
    )
    rows = connection.execute(
        sa.select(columns.record_id, columns.external_id, columns.sent_hash, is_open.label("is_open")).where(
            of_entity(cross_reference, key),
            columns.record_id == sa.any_(sa.literal(sorted(record_ids), sa.ARRAY(sa.BigInteger))),
        )
    )
    return {row.record_id: Sent(row.external_id, row.sent_hash, row.is_open) for row in rows}


def queue_deliveries(connection: sa.Connection, deliveries: Sequence[Delivery], now: datetime) -> int:
    """Queue changes; one that is queued already stays, older ones of its record that were not sent are superseded.

    What the system was told last is queued only when an older change may reach it, or has: then it is told again.
    """
    if not deliveries:
        return 0
    rows = [
        {
            **vars(one.key),
            "record_id": one.record_id,
            "values": one.values,
            "values_hash": one.values_hash,
            "dedup_key": one.dedup_key,
            "cause": one.cause,
        }
        for one in deliveries
    ]
    content = json.dumps(rows, ensure_ascii=False)
    return int(connection.scalar(load_sql("queue_deliveries"), {"rows": content, "now": now}) or 0)


def is_deleted(connection: sa.Connection, key: StreamKey, record_id: int) -> bool:
    """True for a record that its system has deleted."""
    table = entity_table[key.entity]
    here = sa.and_(table.c.dossier_code == key.dossier_code, table.c[ENTITIES[key.entity].identity] == record_id)
    return connection.scalar(sa.select(table.c.deleted_at.is_not(None)).where(here)) is True


def record_sent(
    connection: sa.Connection, key: StreamKey, record_id: int, external_id: str, values_hash: str | None, now: datetime
) -> bool:
    """Keep what a system was told, and its id of the record; False when that id means another record of ours.

    An id that was received before we knew of it, and of which nothing was made, becomes the record's; its message goes on.
    """
    columns = cross_reference.c
    place = {
        "dossier_code": key.dossier_code,
        "system_code": key.system_code,
        "entity": key.entity,
        "external_id": external_id,
    }
    here = sa.and_(*(columns[name] == value for name, value in place.items()))
    of = connection.scalar(sa.select(columns.record_id).where(here).with_for_update())
    if of is not None and of != record_id and _exists(connection, key, of):
        return False
    values = {"record_id": record_id, "sent_hash": values_hash, "sent_at": now}
    statement = insert(cross_reference).values(**place, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=list(place), set_=values))
    connection.execute(
        sa.update(inbox)
        .where(
            of_entity(inbox, key),
            inbox.c.source_id == external_id,
            inbox.c.state == "IGNORED",
            inbox.c.message_id == _newest(key, external_id),
        )
        .values(state="NEW", closed_at=None)
    )
    return True


def _exists(connection: sa.Connection, key: StreamKey, record_id: int) -> bool:
    table = entity_table[key.entity]
    identity = table.c[ENTITIES[key.entity].identity]
    found = sa.select(sa.exists().where(table.c.dossier_code == key.dossier_code, identity == record_id))
    return bool(connection.scalar(found))


def _newest(key: StreamKey, external_id: str) -> sa.ScalarSelect[int | None]:
    columns = cross_reference.c
    return (
        sa.select(columns.message_id)
        .where(
            of_entity(cross_reference, key),
            columns.external_id == external_id,
        )
        .scalar_subquery()
    )


def undecided(connection: sa.Connection, key: StreamKey) -> bool:
    """True while a record may just have been created in this system without our knowing its id; an update creates none."""
    columns = work_item.c
    return bool(
        connection.scalar(
            sa.select(
                sa.exists().where(
                    of_entity(work_item, key),
                    columns.event == "outbound",
                    ~sa.exists().where(of_known_record()),
                    columns.in_doubt,
                    columns.state.in_(["LEASED", "RETRY", "QUEUED"]),
                )
            )
        )
    )
