"""The comparison of a system's side with ours: staged in temporary tables of one session, judged by set-based statements.

The session's tables live until `clear`; nothing of the entities or the inbox is written here, but by `undo_deletes`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.received import Received
from erpcrm_orchestration.domain.reconciliation import Compared, Counts, Difference, Kind
from erpcrm_orchestration.store.engine import load_sql, run_script
from erpcrm_orchestration.store.inbox import StreamKey, content_hash
from erpcrm_orchestration.store.integration_schema import cross_reference, entity_table, reconciliation, work_item
from erpcrm_orchestration.store.staging import copy_into
from erpcrm_orchestration.store.work import of_known_record

STAGED = ("position", "source_id", "version_at", "content_hash", "fault")
DIFFERENCE = ("kind", "source_id", "reason", "record_id")

ANSWERED_WITHIN = timedelta(minutes=15)
"""What was written to a system is read back by its next polls; before that nothing is missing."""

LIVE = sa.table("reconciled_live", sa.column("record_id"), schema="pg_temp")
STAGING = sa.table("reconciled_staging", sa.column("source_id"), sa.column("content_hash"), schema="pg_temp")
FOUND = sa.table(
    "reconciled_difference", *(sa.column(name) for name in (*DIFFERENCE, "message_id")), schema="pg_temp"
)  # fmt: skip


@dataclass(frozen=True)
class HeldOtherwise:
    """What we hold of a record whose text in the system is another one now."""

    source_id: str
    content_hash: str
    payload: str


@dataclass(frozen=True)
class Standing:
    """How a system stands to a record of ours; `payload` is what it last told us of it, None when it never did."""

    record_id: int
    external_id: str | None
    sent_hash: str | None
    payload: str | None
    work_state: str | None
    work_hash: str | None
    in_doubt: bool
    in_conflict: bool


@dataclass(frozen=True)
class Undone:
    """A deletion that was undone: the message that counts again, and the state that it left."""

    system_code: str
    source_id: str
    tombstone_id: int
    message_id: int
    state: str


def clear(connection: sa.Connection) -> None:
    """Make the session's tables, empty."""
    run_script(connection, "staging_reconciled")


def stage(connection: sa.Connection, position: int, records: Sequence[Received]) -> None:
    """Note ids and hashes of what the system showed; deleted records are not there."""
    rows = [
        (position + at, one.source_id, one.version_at, content_hash(one.payload), one.fault)
        for at, one in enumerate(records)
        if not one.deleted
    ]
    copy_into(connection, "reconciled_staging", STAGED, rows)


def held_otherwise(connection: sa.Connection, key: StreamKey, hashes: Mapping[str, str]) -> list[HeldOtherwise]:
    """Return what we hold of the records among these (id -> hash) whose text differs there."""
    parameters = {**vars(key), "source_ids": list(hashes), "hashes": list(hashes.values())}
    rows = connection.execute(load_sql("held_otherwise"), parameters)
    return [HeldOtherwise(row.source_id, row.content_hash, row.payload) for row in rows]


def count_as_held(connection: sa.Connection, same: Mapping[str, tuple[str, str]]) -> None:
    """Let staged texts (id -> their hash, ours) count as what we hold: their mapped values are the same."""
    if same:
        connection.execute(
            sa.update(STAGING)
            .where(STAGING.c.source_id == sa.bindparam("id"), STAGING.c.content_hash == sa.bindparam("theirs"))
            .values(content_hash=sa.bindparam("ours")),
            [{"id": source_id, "theirs": theirs, "ours": ours} for source_id, (theirs, ours) in same.items()],
        )


def compare(connection: sa.Connection, key: StreamKey, started: datetime) -> Counts:
    """Judge what was staged; the differences are kept in the session."""
    table = entity_table[key.entity]
    identity = table.c[ENTITIES[key.entity].identity]
    live = (
        sa.select(identity)
        .join(cross_reference, sa.and_(
            cross_reference.c.dossier_code == table.c.dossier_code,
            cross_reference.c.entity == key.entity,
            cross_reference.c.record_id == identity,
            cross_reference.c.system_code == key.system_code,
        ))
        .where(table.c.dossier_code == key.dossier_code, table.c.deleted_at.is_(None))
    )  # fmt: skip
    connection.execute(sa.insert(LIVE).from_select(["record_id"], live))
    connection.execute(sa.text("ANALYZE pg_temp.reconciled_staging, pg_temp.reconciled_live"))
    parameters = {**vars(key), "started": started, "sent_before": started - ANSWERED_WITHIN}
    row = connection.execute(load_sql("compare_sides"), parameters).one()
    return Counts(**row._mapping)


def standings(connection: sa.Connection, key: StreamKey, record_ids: Collection[int]) -> list[Standing]:
    """Return how a system stands to these records."""
    rows = connection.execute(load_sql("standing_of_records"), {**vars(key), "record_ids": list(record_ids)})
    return [Standing(**row._mapping) for row in rows]


def keep_differences(connection: sa.Connection, found: Sequence[Difference]) -> None:
    """Add differences to those of the session."""
    copy_into(
        connection,
        "reconciled_difference",
        DIFFERENCE,
        [(one.kind.value, one.source_id, one.reason, one.record_id) for one in found],
    )


def samples(connection: sa.Connection, kind: Kind, limit: int, after: str = "") -> list[Difference]:
    """Return differences of a kind by their ids, those after an id."""
    rows = connection.execute(
        sa.select(FOUND.c.source_id, FOUND.c.reason, FOUND.c.record_id)
        .where(FOUND.c.kind == kind.value, FOUND.c.source_id > after)
        .order_by(FOUND.c.source_id)
        .limit(limit)
    )
    return [Difference(kind, row.source_id, row.reason, row.record_id) for row in rows]


def among(connection: sa.Connection, source_ids: Collection[str], kinds: Collection[Kind]) -> set[str]:
    """Return those of these ids that differ in one of these ways."""
    found = sa.select(FOUND.c.source_id).where(
        FOUND.c.kind.in_([kind.value for kind in kinds]),
        FOUND.c.source_id == sa.any_(sa.literal(list(source_ids), sa.ARRAY(sa.Text))),
    )
    return set(connection.scalars(found))


def missing_rows(connection: sa.Connection) -> list[int]:
    """Return the integrated messages whose rows are not here."""
    of = sa.and_(FOUND.c.kind == Kind.ONLY_THERE.value, FOUND.c.reason == "its row is missing here")
    return list(connection.scalars(sa.select(FOUND.c.message_id).where(of).order_by(FOUND.c.message_id)))


def not_told_ids(connection: sa.Connection, after: int, limit: int) -> list[int]:
    """Return our ids of records that were not told, in their order after an id."""
    found = sa.select(FOUND.c.record_id).where(FOUND.c.kind == Kind.NOT_TOLD.value, FOUND.c.record_id > after)
    return list(connection.scalars(found.order_by(FOUND.c.record_id).limit(limit)))


def look_first(connection: sa.Connection, key: StreamKey, cause: str) -> None:
    """Let the system be searched before a record is created for this cause: it may have it, and we lost its id."""
    work, is_known = work_item.c, sa.exists().where(of_known_record())
    connection.execute(
        sa.update(work_item)
        .where(
            work.dossier_code == key.dossier_code,
            work.connection_code == key.connection_code,
            work.entity == key.entity,
            work.event == "outbound",
            work.state == "QUEUED",
            work.cause == cause,
            ~is_known,
        )
        .values(in_doubt=True)
    )


def undo_deletes(
    connection: sa.Connection,
    dossier_code: str,
    entity: str,
    *,
    source_ids: Collection[str] | None,
    system_code: str | None,
    now: datetime,
) -> list[Undone]:
    """Let the newest messages before the tombstones of these records enter again; None takes all that are deleted."""
    rows = connection.execute(
        load_sql("undo_deletes"),
        {
            "dossier_code": dossier_code,
            "entity": entity,
            "source_ids": None if source_ids is None else list(source_ids),
            "system_code": system_code,
            "now": now,
        },
    )
    return [Undone(row.system_code, row.external_id, row.tombstone_id, row.message_id, row.state) for row in rows]


def keep_result(connection: sa.Connection, one: Compared) -> None:
    """Keep the result of a comparison in place of the one before."""
    key = {"dossier_code": one.dossier_code, "connection_code": one.connection_code, "stream": one.stream}
    values: dict[str, Any] = {
        **vars(one.counts),
        "entity": one.entity,
        "compared_at": one.compared_at,
        "failure": one.failure,
        "samples": [{**vars(each), "kind": each.kind.value} for each in one.samples],
    }
    statement = insert(reconciliation).values(**key, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))


def load_results(connection: sa.Connection, dossier_codes: Collection[str]) -> list[Compared]:
    """Return the last results of these dossiers by their keys."""
    columns = reconciliation.c
    rows = connection.execute(
        sa.select(reconciliation).where(columns.dossier_code.in_(dossier_codes)).order_by(*reconciliation.primary_key)
    )
    return [_result(dict(row)) for row in rows.mappings()]


def forget_results(connection: sa.Connection, dossier_code: str, kept: Collection[tuple[str, str]]) -> None:
    """Drop the results of a dossier's streams that are no longer compared; `kept` are (connection code, stream)."""
    columns = reconciliation.c
    connection.execute(
        sa.delete(reconciliation).where(
            columns.dossier_code == dossier_code,
            sa.tuple_(columns.connection_code, columns.stream).not_in(list(kept)),
        )
    )


def _result(row: Mapping[str, Any]) -> Compared:
    return Compared(
        row["dossier_code"],
        row["connection_code"],
        row["stream"],
        row["entity"],
        row["compared_at"],
        Counts(**{name: row[name] for name in Counts.__dataclass_fields__}),
        tuple(Difference(**{**each, "kind": Kind(each["kind"])}) for each in row["samples"]),
        row["failure"],
    )
