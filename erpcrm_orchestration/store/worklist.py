"""What waits for people: work that was given up, connections that stand still, new fields, words without a mapping."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from erpcrm_orchestration.store.connection_state import cursor_source
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.integration_schema import (
    connection_state,
    stream_drift,
    unit_ratio,
    value_mapping,
    work_item,
)
from erpcrm_orchestration.store.schema import source_cursor
from erpcrm_orchestration.store.work import PRIORITY_EVENT

OPEN_WORK = ("QUEUED", "LEASED", "RETRY")
NOT_DONE = (*OPEN_WORK, "DEAD", "CONFLICT")

Rows = list[dict[str, Any]]


def _all(connection: sa.Connection, statement: sa.Executable) -> Rows:
    return [dict(row) for row in connection.execute(statement).mappings()]


# --- work items -------------------------------------------------------------------------------------------------------


def list_work(
    connection: sa.Connection, *, dossier_code: str | None, states: Sequence[str] = (), event: str | None = None, limit: int
) -> Rows:
    """Return work items, the newest first: in these states, else those that are not done."""
    columns = work_item.c
    shown = [one for one in columns if one.name not in {"values", "values_hash"}]
    statement = sa.select(*shown).where(columns.state.in_(states or NOT_DONE))
    if dossier_code is not None:
        statement = statement.where(columns.dossier_code == dossier_code)
    if event is not None:
        statement = statement.where(columns.event == event)
    return _all(connection, statement.order_by(columns.work_id.desc()).limit(limit))


def find_work(connection: sa.Connection, dossier_code: str, work_ids: Collection[int]) -> Rows:
    """Return these work items, locked, by their numbers; `taken`: another open fetch of the same record is there."""
    columns, other = work_item.c, work_item.alias("other")
    taken = sa.exists().where(
        other.c.dossier_code == columns.dossier_code,
        other.c.dedup_key == columns.dedup_key,
        other.c.work_id != columns.work_id,
        other.c.event == "on_demand",
        other.c.state.in_(OPEN_WORK),
    )
    statement = (
        sa.select(columns.work_id, columns.event, columns.state, columns.last_error, columns.attempts, taken.label("taken"))
        .where(columns.dossier_code == dossier_code, columns.work_id.in_(work_ids))
        .order_by(columns.work_id)
    )
    return _all(connection, statement.with_for_update(of=work_item))


def open_fetch(connection: sa.Connection, dossier_code: str, dedup_key: str) -> dict[str, Any] | None:
    """Return the newest fetch of a record with its state, None when it was never asked for."""
    columns = work_item.c
    found = _all(
        connection,
        sa.select(columns.work_id, columns.state, columns.urgent, columns.not_before, columns.last_error)
        .where(columns.dossier_code == dossier_code, columns.dedup_key == dedup_key, columns.event == "on_demand")
        .order_by(columns.work_id.desc())
        .limit(1),
    )
    return found[0] if found else None


def hurry(connection: sa.Connection, dossier_code: str, dedup_key: str) -> bool:
    """Make an open fetch urgent; False when there is none that is not."""
    columns = work_item.c
    changed = connection.execute(
        sa.update(work_item)
        .where(
            columns.dossier_code == dossier_code,
            columns.dedup_key == dedup_key,
            columns.event == "on_demand",
            columns.state.in_(OPEN_WORK),
            ~columns.urgent,
        )
        .values(urgent=True, priority=PRIORITY_EVENT)
    )
    return changed.rowcount > 0


# --- connections ------------------------------------------------------------------------------------------------------


def connection_states(connection: sa.Connection) -> dict[str, dict[str, Any]]:
    """Return connection code -> how it stands, of those that were ever asked."""
    return {row["connection_code"]: row for row in _all(connection, sa.select(connection_state))}


def stream_states(connection: sa.Connection, connection_code: str | None = None) -> Rows:
    """Return how far the streams of a connection were read, of all when none is named, with its code."""
    columns = source_cursor.c
    where = (
        columns.source_code.startswith(cursor_source(""), autoescape=True)
        if connection_code is None
        else columns.source_code == cursor_source(connection_code)
    )
    rows = _all(connection, sa.select(source_cursor).where(where).order_by(columns.source_code, columns.stream))
    return [{**row, "connection_code": row["source_code"].removeprefix(cursor_source(""))} for row in rows]


def list_drift(connection: sa.Connection, *, dossier_code: str | None, connection_code: str | None, accepted: bool) -> Rows:
    """Return the fields that no mapping names; those that people accepted only when asked for."""
    columns = stream_drift.c
    statement = sa.select(stream_drift).order_by(columns.connection_code, columns.stream, columns.path)
    if dossier_code is not None:
        statement = statement.where(columns.dossier_code == dossier_code)
    if connection_code is not None:
        statement = statement.where(columns.connection_code == connection_code)
    if not accepted:
        statement = statement.where(columns.accepted_at.is_(None))
    return _all(connection, statement)


def accept_drift(
    connection: sa.Connection, connection_code: str, paths: Collection[str], *, stream: str | None, now: datetime
) -> Rows:
    """Accept new fields of a connection, of one stream when it is named; return those that were accepted."""
    columns = stream_drift.c
    statement = sa.update(stream_drift).where(
        columns.connection_code == connection_code, columns.path.in_(paths), columns.accepted_at.is_(None)
    )
    if stream is not None:
        statement = statement.where(columns.stream == stream)
    returned = (columns.dossier_code, columns.connection_code, columns.stream, columns.path)
    return _all(connection, statement.values(accepted_at=now).returning(*returned))


# --- mappings ---------------------------------------------------------------------------------------------------------


def blocking_causes(connection: sa.Connection, dossier_code: str | None) -> Rows:
    """Return what records wait for, what blocks most first; `message_id` is the refused message of a missing parent."""
    rows = connection.execute(load_sql("blocking_causes"), {"dossier_code": dossier_code})
    return [dict(row) for row in rows.mappings()]


def list_words(
    connection: sa.Connection, *, dossier_code: str | None, system_code: str | None = None, kind: str | None = None
) -> Rows:
    """Return the words that are mapped."""
    columns = value_mapping.c
    statement = sa.select(value_mapping).order_by(*value_mapping.primary_key.columns)
    for column, value in ((columns.dossier_code, dossier_code), (columns.system_code, system_code), (columns.kind, kind)):
        if value is not None:
            statement = statement.where(column == value)
    return _all(connection, statement)


def word_of(connection: sa.Connection, key: dict[str, str]) -> str | None:
    """Return what a word means: `key` has dossier_code, system_code, kind and external_value."""
    where = [value_mapping.c[name] == value for name, value in key.items()]
    found: str | None = connection.scalar(sa.select(value_mapping.c.our_value).where(*where))
    return found


def set_word(connection: sa.Connection, key: dict[str, str], ours: str, now: datetime) -> None:
    """Map a word, or map it anew."""
    values = {"our_value": ours, "updated_at": now}
    statement = insert(value_mapping).values(**key, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))


def remove_word(connection: sa.Connection, key: dict[str, str]) -> None:
    """Forget what a word means."""
    where = [value_mapping.c[name] == value for name, value in key.items()]
    connection.execute(sa.delete(value_mapping).where(*where))


def list_ratios(connection: sa.Connection, *, dossier_code: str | None) -> Rows:
    """Return the ratios of units."""
    statement = sa.select(unit_ratio).order_by(*unit_ratio.primary_key.columns)
    if dossier_code is not None:
        statement = statement.where(unit_ratio.c.dossier_code == dossier_code)
    return _all(connection, statement)


def ratio_of(connection: sa.Connection, key: dict[str, str | date]) -> tuple[int, int] | None:
    """Return numerator and denominator: `key` has dossier_code, sku, unit, base_unit and valid_from."""
    where = [unit_ratio.c[name] == value for name, value in key.items()]
    row = connection.execute(sa.select(unit_ratio.c.numerator, unit_ratio.c.denominator).where(*where)).one_or_none()
    return None if row is None else (row.numerator, row.denominator)


def set_ratio(connection: sa.Connection, key: dict[str, str | date], ratio: tuple[int, int] | None) -> None:
    """Keep an exact ratio from its day on; None takes it away."""
    if ratio is None:
        connection.execute(sa.delete(unit_ratio).where(*(unit_ratio.c[name] == value for name, value in key.items())))
        return
    values = {"numerator": ratio[0], "denominator": ratio[1]}
    statement = insert(unit_ratio).values(**key, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))
