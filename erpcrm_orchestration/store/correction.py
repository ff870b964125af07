"""Corrections of messages in the inbox, messages that enter again, and the chain of what people did to them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.correction import FIRST_HASH, Entry, Link, chained, changes_of
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.inbox import StreamKey, content_hash
from erpcrm_orchestration.store.integration_schema import correction, cross_reference, inbox, of_entity
from erpcrm_orchestration.store.schema import lease

CHAIN_LOCK = 0x636F7272
"""The advisory lock that puts the writers of the chain in a row."""
PAGE = 1000


@dataclass(frozen=True)
class Stored:
    """A message as it is stored. `newest_id`: the newest message of its key that counts; `head_id`: the newest received.

    They differ when a record came that was refused on arrival. `record_id` is our id of the record.
    """

    message_id: int
    key: StreamKey
    source_id: str
    version_at: datetime | None
    content_hash: str
    deleted: bool
    payload: str
    state: str
    waiting_for: str | None
    error: str | None
    warning: str | None
    newest_id: int
    head_id: int | None
    record_id: int
    attempts: int


@dataclass(frozen=True)
class Entered:
    """A message that entered again, with the state that it left."""

    message_id: int
    state: str


def lock_dossier(connection: sa.Connection, dossier_code: str, work: str) -> None:
    """Wait for the batch that a run is writing, and let the next one wait for the end of this transaction."""
    connection.execute(
        sa.select(lease.c.epoch).where(lease.c.dossier_code == dossier_code, lease.c.work == work).with_for_update()
    )


def find_message(connection: sa.Connection, dossier_code: str, message_id: int) -> Stored | None:
    """Return a message, None when the dossier has none of this number."""
    row = connection.execute(load_sql("stored_message"), {"dossier_code": dossier_code, "message_id": message_id}).one_or_none()
    if row is None:
        return None
    key = StreamKey(dossier_code, row.connection_code, row.system_code, row.stream, row.entity)
    return Stored(
        row.message_id, key, row.source_id, row.version_at, row.content_hash, row.deleted, row.payload, row.state,
        row.waiting_for, row.error, row.warning, row.newest_id, row.head_id, row.record_id,
        row.attempts,
    )  # fmt: skip


def replace_message(connection: sa.Connection, stored: Stored, payload: str, *, now: datetime, run_id: str) -> int:
    """Store a corrected payload as a message of its own, which takes the place of the stored one; return its number.

    The cross-reference keeps the hash of what the system sent: the same record read again is no news and undoes nothing.
    """
    _supersede(connection, stored, now)
    values = {
        **vars(stored.key), "source_id": stored.source_id, "version_at": stored.version_at,
        "content_hash": content_hash(payload), "received_at": now, "via": "correction", "corrects": stored.message_id,
        "payload": payload, "run_id": run_id, "attempts": stored.attempts + 1,
    }  # fmt: skip
    message_id: int = connection.execute(sa.insert(inbox).values(values).returning(inbox.c.message_id)).scalar_one()
    _point_to(connection, stored, message_id)
    return message_id


def _supersede(connection: sa.Connection, stored: Stored, now: datetime) -> None:
    """Close a message and what is open or refused before it; its payload and its error stay."""
    columns = inbox.c
    older = sa.and_(columns.message_id < stored.message_id, columns.state.in_(["NEW", "WAITING", "REJECTED", "DEAD"]))
    connection.execute(
        sa.update(inbox)
        .where(
            of_entity(inbox, stored.key),
            columns.source_id == stored.source_id,
            sa.or_(columns.message_id == stored.message_id, older),
        )
        .values(state="SUPERSEDED", waiting_for=None, closed_at=now)
    )


def _point_to(connection: sa.Connection, stored: Stored, message_id: int) -> None:
    head = cross_reference.c
    # What was refused on arrival is what the system holds now, and is known from here on.
    known = {} if stored.head_id == stored.message_id else {"content_hash": stored.content_hash}
    connection.execute(
        sa.update(cross_reference)
        .where(
            of_entity(cross_reference, stored.key),
            head.external_id == stored.source_id,
        )
        .values(message_id=message_id, version_at=sa.func.coalesce(stored.version_at, head.version_at), **known)
    )


def enter_again(
    connection: sa.Connection,
    dossier_code: str,
    *,
    states: Collection[str],
    message_ids: Collection[int] | None = None,
    entity: str | None = None,
) -> list[Entered]:
    """Put messages back to NEW, only the newest of each key; None for ids takes all, of an entity when one is named."""
    rows = connection.execute(
        load_sql("enter_again"),
        {
            "dossier_code": dossier_code,
            "states": list(states),
            "ids": None if message_ids is None else list(message_ids),
            "entity": entity,
        },
    )
    return [Entered(row.message_id, row.state) for row in rows]


# --- the chain --------------------------------------------------------------------------------------------------------


def append(connection: sa.Connection, entries: Sequence[Entry]) -> None:
    """Append entries to the chain; writers go one after the other until their commit."""
    if not entries:
        return
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CHAIN_LOCK)))
    last = connection.scalar(sa.select(correction.c.row_hash).order_by(correction.c.correction_id.desc()).limit(1))
    rows = [_row(link) for link in chained(entries, last or FIRST_HASH)]
    connection.execute(sa.insert(correction), rows)


def links(connection: sa.Connection) -> Iterator[tuple[int, Link]]:
    """Yield (number, link) of the whole chain in its order, page by page."""
    after = 0
    while True:
        statement = sa.select(correction).where(correction.c.correction_id > after).order_by(correction.c.correction_id)
        rows = connection.execute(statement.limit(PAGE)).all()
        if not rows:
            return
        for row in rows:
            yield row.correction_id, _link(row)
        after = rows[-1].correction_id


def _row(link: Link) -> dict[str, object]:
    values = {**vars(link.entry), "difference": [vars(one) for one in link.entry.difference]}
    return {**values, "previous_hash": link.previous_hash, "row_hash": link.row_hash}


def _link(row: sa.Row[tuple[object, ...]]) -> Link:
    entry = Entry(
        row.at, row.actor, row.action, row.reason, row.dossier_code, row.message_id, row.corrected_message_id,
        changes_of(row.difference), row.dataset_number,
    )  # fmt: skip
    return Link(entry, row.previous_hash, row.row_hash)
