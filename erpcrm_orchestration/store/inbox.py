"""The inbox: records are received in bulk, claimed for integration, and closed with what became of them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.received import Received, Via
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.integration_schema import cross_reference, inbox, of_entity
from erpcrm_orchestration.store.staging import copy_rows

STAGED = ("position", "source_id", "version_at", "content_hash", "deleted", "payload", "fault")
OF_DELIVERY = "delivery "
"""Begins what a message waits for while a delivery of its entity is in doubt."""
TOMBSTONE = "deleted"
"""The content hash of a record that its system has deleted."""


@dataclass(frozen=True)
class StreamKey:
    """Where records come from: one kind of record of one system of one dossier. `entity` is our word, `stream` theirs."""

    dossier_code: str
    connection_code: str
    system_code: str
    stream: str
    entity: str


@dataclass(frozen=True)
class Receipt:
    """What became of received records. `refused` are bad ones and `rivals`: other content with the version we have.

    `late`: new ones that are older than the watermark, by at most `max_lateness_s` seconds. Of records that have a refused
    text, `confirmed` were shown as we hold them, and `disputed` otherwise.
    """

    new: int = 0
    same: int = 0
    old: int = 0
    refused: int = 0
    late: int = 0
    max_lateness_s: int = 0
    rivals: tuple[str, ...] = ()
    confirmed: frozenset[str] = frozenset()
    disputed: frozenset[str] = frozenset()

    def __add__(self, other: Receipt) -> Receipt:
        return Receipt(
            self.new + other.new,
            self.same + other.same,
            self.old + other.old,
            self.refused + other.refused,
            self.late + other.late,
            max(self.max_lateness_s, other.max_lateness_s),
            (*self.rivals, *other.rivals),
            self.confirmed | other.confirmed,
            self.disputed | other.disputed,
        )

    @property
    def received(self) -> int:
        return self.new + self.same + self.old + self.refused


@dataclass(frozen=True)
class Message:
    """A claimed message. `record_id` is our id of the record."""

    message_id: int
    stream: str
    source_id: str
    version_at: datetime | None
    deleted: bool
    payload: str
    record_id: int


def content_hash(payload: str) -> str:
    """Return the SHA-256 of a payload, as 64 hexadecimal digits."""
    return hashlib.sha256(payload.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Arrival:
    """How records came: `watermark` and `after` of the cursor tell which are late, `delivery_id` names a webhook's delivery.

    `complete`: the records are what the system holds now, so that one that was deleted is there again. `take_rivals`: other
    content with the version we have is taken, because the system cannot be asked for the record again.
    """

    via: Via
    now: datetime
    run_id: str | None = None
    watermark: datetime | None = None
    after: datetime | None = None
    delivery_id: str | None = None
    complete: bool = False
    take_rivals: bool = False


def receive(connection: sa.Connection, key: StreamKey, records: Iterable[Received], arrival: Arrival) -> Receipt:
    """Store what is new among the records; what is there already is counted only. Doing it again changes nothing."""
    rows = [
        (
            position,
            one.source_id,
            one.version_at,
            TOMBSTONE if one.deleted else content_hash(one.payload),
            one.deleted,
            one.payload,
            one.fault,
        )
        for position, one in enumerate(records)
    ]
    if not rows:
        return Receipt()
    take_turn(connection, key)
    copy_rows(connection, "staging_received", "received_staging", STAGED, rows)
    found = connection.execute(load_sql("receive"), vars(key) | vars(arrival) | {"via": arrival.via.value}).one()
    if found.renewed:
        parameters = {**vars(key), "source_ids": list(found.renewed), "now": arrival.now, "run_id": arrival.run_id}
        connection.execute(load_sql("coalesce_inbox"), parameters)
    connection.execute(sa.text("TRUNCATE pg_temp.received_staging"))
    receipt = Receipt(
        found.new, found.same, found.old, found.refused, found.late, found.max_lateness_s, tuple(found.rivals),
        frozenset(found.confirmed), frozenset(found.disputed),
    )  # fmt: skip
    if arrival.via is Via.ON_DEMAND:
        withdraw_refused(connection, key, receipt.confirmed, now=arrival.now, run_id=arrival.run_id)
    return receipt


def take_turn(connection: sa.Connection, key: StreamKey) -> None:
    """Let one transaction at a time receive records of an entity: a webhook and a poll may bring the same one at once."""
    name = sa.literal(f"inbox/{key.dossier_code}/{key.system_code}/{key.entity}")
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(name, 0))))


def has_delivery(connection: sa.Connection, connection_code: str, delivery_id: str) -> bool:
    """True when a delivery with this id has been stored."""
    columns = inbox.c
    found = sa.select(sa.literal(True)).where(columns.connection_code == connection_code, columns.delivery_id == delivery_id)
    return connection.scalar(found.limit(1)) is True


@dataclass(frozen=True)
class Head:
    """What stands for a record of a system: its message, none when nothing good was received, and that one's version."""

    message_id: int | None = None
    version_at: datetime | None = None
    is_deleted: bool = False


def head_of(connection: sa.Connection, key: StreamKey, source_id: str) -> Head:
    """Return what stands for a record; an empty one for a record that is unknown."""
    columns = cross_reference.c
    found = connection.execute(
        sa.select(columns.message_id, columns.version_at, columns.content_hash).where(
            of_entity(cross_reference, key), columns.external_id == source_id
        )
    ).one_or_none()
    return Head(found.message_id, found.version_at, found.content_hash == TOMBSTONE) if found else Head()


def claim(connection: sa.Connection, dossier_code: str, system_code: str, entity: str, limit: int) -> list[Message]:
    """Lock the oldest messages that are NEW, at most so many; they stay NEW until they are closed in this transaction."""
    rows = connection.execute(
        load_sql("claim_inbox"),
        {"dossier_code": dossier_code, "system_code": system_code, "entity": entity, "limit": limit},
    )
    return [Message(*row) for row in rows]


def integrated(connection: sa.Connection, key: StreamKey, after: int, limit: int) -> list[Message]:
    """Return the messages that the rows of an entity were made from, in their order after a message id."""
    rows = connection.execute(load_sql("replay_inbox"), {**vars(key), "after": after, "limit": limit})
    return [Message(*row) for row in rows]


def close(
    connection: sa.Connection,
    dossier_code: str,
    message_ids: Sequence[int],
    state: str,
    *,
    now: datetime,
    run_id: str | None,
) -> None:
    """Write what became of messages that need no word of explanation: TRANSFORMED, SUPERSEDED, IGNORED."""
    if message_ids:
        connection.execute(
            load_sql("close_inbox"),
            {"dossier_code": dossier_code, "ids": list(message_ids), "state": state, "now": now, "run_id": run_id},
        )


def explain(
    connection: sa.Connection, dossier_code: str, rows: Sequence[Mapping[str, Any]], *, now: datetime, run_id: str | None
) -> None:
    """Write the outcome of messages one by one: state, error, warning, waiting_for."""
    if not rows:
        return
    columns = inbox.c
    connection.execute(
        sa.update(inbox)
        .where(columns.dossier_code == dossier_code, columns.message_id == sa.bindparam("id"))
        .values(
            state=sa.bindparam("to_state"),
            error=sa.bindparam("to_error"),
            warning=sa.bindparam("to_warning"),
            waiting_for=sa.bindparam("to_waiting_for"),
            waiting_since=sa.func.coalesce(columns.waiting_since, sa.bindparam("since", type_=columns.waiting_since.type)),
            closed_at=sa.bindparam("to_closed_at"),
            run_id=run_id,
        ),
        [
            {
                "id": row["message_id"],
                "to_state": row["state"],
                "to_error": row.get("error"),
                "to_warning": row.get("warning"),
                "to_waiting_for": row.get("waiting_for"),
                "since": now if row["state"] == "WAITING" else None,
                "to_closed_at": None if row["state"] == "WAITING" else now,
            }
            for row in rows
        ],
    )


def wake(connection: sa.Connection, dossier_code: str, system_code: str | None, causes: Sequence[str]) -> int:
    """Let the messages go on that wait for one of these causes; return how many."""
    if not causes:
        return 0
    columns = inbox.c
    conditions = [
        columns.dossier_code == dossier_code,
        columns.state == "WAITING",
        columns.waiting_for == sa.any_(sa.literal(list(causes), sa.ARRAY(sa.Text))),
    ]
    if system_code is not None:
        conditions.append(columns.system_code == system_code)
    return connection.execute(sa.update(inbox).where(*conditions).values(state="NEW", waiting_for=None)).rowcount


def wake_after(connection: sa.Connection, dossier_code: str, system_code: str, entity: str, source_ids: Sequence[str]) -> int:
    """Let the messages go on that records of a system held up, which are integrated now; return how many."""
    if not source_ids:
        return 0
    parameters = {
        "dossier_code": dossier_code,
        "system_code": system_code,
        "entity": entity,
        "source_ids": list(source_ids),
        "causes": [f"{entity} {source_id}" for source_id in source_ids],
    }
    return int(connection.scalar(load_sql("wake_after"), parameters) or 0)


@dataclass(frozen=True)
class GivenUp:
    """A message that waited too long; its error names what was missing."""

    message_id: int
    connection_code: str
    error: str


def expire(
    connection: sa.Connection, dossier_code: str, *, now: datetime, longest: timedelta, delivering: Collection[str]
) -> list[GivenUp]:
    """Give up messages that waited for longer; return them. Those that waited for a delivery are let go when it is decided.

    `delivering` are the connections to which changes are delivered.
    """
    parameters = {"dossier_code": dossier_code, "now": now, "before": now - longest, "delivering": list(delivering)}
    gone = connection.execute(load_sql("expire_inbox"), parameters)
    return [GivenUp(*row) for row in gone]


def waiting_causes(connection: sa.Connection, dossier_code: str, system_code: str, entity: str) -> dict[str, str]:
    """Return source id -> what it waits for, of the messages of an entity that wait."""
    columns = inbox.c
    rows = connection.execute(
        sa.select(columns.source_id, columns.waiting_for).where(
            columns.dossier_code == dossier_code,
            columns.system_code == system_code,
            columns.entity == entity,
            columns.state == "WAITING",
        )
    )
    return {row.source_id: row.waiting_for for row in rows}


def open_streams(connection: sa.Connection, dossier_code: str) -> set[tuple[str, str, str]]:
    """Return (system, entity, connection) of everything that has NEW messages."""
    columns = inbox.c
    rows = connection.execute(
        sa.select(columns.system_code, columns.entity, columns.connection_code)
        .where(columns.dossier_code == dossier_code, columns.state == "NEW")
        .distinct()
    )
    return {(row.system_code, row.entity, row.connection_code) for row in rows}


def known_ids(connection: sa.Connection, key: StreamKey) -> list[str]:
    """Return the ids that the system has told us and not deleted, for the comparison of a complete pass."""
    columns = cross_reference.c
    return list(
        connection.scalars(
            sa.select(columns.external_id).where(
                of_entity(cross_reference, key), columns.content_hash.is_not(None), columns.content_hash != TOMBSTONE
            )
        )
    )


def refused_ids(connection: sa.Connection, key: StreamKey) -> set[str]:
    """Return the ids of which texts were refused when they came, and nothing that is not deleted stands."""
    columns = cross_reference.c
    stands = sa.and_(columns.content_hash.is_not(None), columns.content_hash != TOMBSTONE)
    return set(
        connection.scalars(
            sa.select(columns.external_id).where(of_entity(cross_reference, key), ~stands, columns.refused_hash.is_not(None))
        )
    )


def withdraw_refused(
    connection: sa.Connection, key: StreamKey, source_ids: Collection[str], *, now: datetime, run_id: str | None
) -> None:
    """Close what was refused of these ids when it came: their source does not hold it any more."""
    if source_ids:
        parameters = {**vars(key), "source_ids": sorted(source_ids), "now": now, "run_id": run_id}
        connection.execute(load_sql("withdraw_refused"), parameters)


def refuse_waiting(
    connection: sa.Connection,
    dossier_code: str,
    system_code: str,
    entity: str,
    source_ids: Sequence[str],
    error: str,
    now: datetime,
) -> None:
    """Refuse the waiting messages of these ids."""
    if source_ids:
        columns = inbox.c
        connection.execute(
            sa.update(inbox)
            .where(
                columns.dossier_code == dossier_code,
                columns.system_code == system_code,
                columns.entity == entity,
                columns.state == "WAITING",
                columns.source_id.in_(source_ids),
            )
            .values(state="REJECTED", error=error, waiting_for=None, closed_at=now)
        )
