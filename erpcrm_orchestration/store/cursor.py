"""How far every stream of every dossier was read; the guard against two passes at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from erpcrm_orchestration.domain.intake import Cursor, Window, tuned_overlap
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.schema import dossier, source_cursor

KEY = ("dossier_code", "source_code", "stream")


@dataclass(frozen=True)
class Progress:
    """What a pass found: rows merged, rows rejected for the first time, rows that came late and by how many seconds."""

    merged: int = 0
    rejected: int = 0
    late: int = 0
    max_lateness_s: int = 0


def dossiers_with_source(connection: sa.Connection, dossier_codes: Sequence[str]) -> list[tuple[str, str]]:
    """Return (dossier, source) of the active ones among the dossiers that read from a source."""
    rows = connection.execute(
        sa.select(dossier.c.dossier_code, dossier.c.source_code)
        .where(dossier.c.dossier_code.in_(dossier_codes), dossier.c.active, dossier.c.source_code.is_not(None))
        .order_by(dossier.c.dossier_code)
    )
    return [(row.dossier_code, row.source_code) for row in rows]


def open_cursors(
    connection: sa.Connection, source_code: str, stream: str, dossier_codes: Sequence[str], floor_s: int
) -> list[Cursor]:
    """Return the cursors of a stream for these dossiers, made where this is the first pass; sorted by dossier."""
    columns = source_cursor.c
    statement = (
        sa.select(source_cursor)
        .where(columns.source_code == source_code, columns.stream == stream, columns.dossier_code.in_(dossier_codes))
        .order_by(columns.dossier_code)
    )
    rows = connection.execute(statement).all()
    missing = sorted(set(dossier_codes) - {row.dossier_code for row in rows})
    if missing:
        common = {"source_code": source_code, "stream": stream, "overlap_s": floor_s}
        connection.execute(
            insert(source_cursor).on_conflict_do_nothing(), [{"dossier_code": code, **common} for code in missing]
        )
        rows = connection.execute(statement).all()
    return [
        Cursor(
            row.dossier_code, row.source_code, row.stream, row.watermark_at, max(row.overlap_s, floor_s), row.max_lateness_s,
            row.last_success_at, row.epoch,
        )
        for row in rows
    ]  # fmt: skip


def advance_cursors(
    connection: sa.Connection,
    seen: Sequence[Cursor],
    span: Window,
    progress: Mapping[str, Progress],
    floor_s: int,
    now: datetime,
) -> bool:
    """Move the cursors to the bound of the pass; False when another pass moved one since, and nothing may be committed."""
    moves = []
    for cursor in seen:
        found = progress.get(cursor.dossier_code, Progress())
        lateness = max(cursor.max_lateness_s, found.max_lateness_s)
        moves.append(
            vars(found)
            | {
                "dossier_code": cursor.dossier_code,
                "epoch": cursor.epoch,
                "max_lateness_s": lateness,
                "overlap_s": tuned_overlap(floor_s, lateness),
            }
        )
    place = {"source_code": seen[0].source_code, "stream": seen[0].stream}
    parameters = {**place, "moves": json.dumps(moves), "bound": span.bound, "now": now}
    return connection.execute(load_sql("advance_cursor"), parameters).rowcount == len(seen)


def last_key(connection: sa.Connection, cursor: Cursor) -> str | None:
    """Return the greatest key of an append-only stream."""
    return connection.scalar(sa.select(source_cursor.c.last_key).where(_is(cursor)))


def keep_last_key(connection: sa.Connection, cursor: Cursor, key: str | None) -> None:
    """Keep the greatest key of an append-only stream."""
    connection.execute(sa.update(source_cursor).where(_is(cursor)).values(last_key=key))


def _is(cursor: Cursor) -> sa.ColumnElement[bool]:
    columns = source_cursor.c
    return sa.and_(
        columns.dossier_code == cursor.dossier_code,
        columns.source_code == cursor.source_code,
        columns.stream == cursor.stream,
    )


def record_failures(
    connection: sa.Connection, keys: Sequence[tuple[str, str, str]], floor_s: int, message: str, now: datetime
) -> None:
    """Keep why these streams could not be read, without touching how far they were read."""
    if not keys:
        return
    values = [
        dict(zip(KEY, key, strict=True)) | {"overlap_s": floor_s, "last_failure_at": now, "last_failure": message}
        for key in sorted(keys)
    ]
    statement = insert(source_cursor)
    kept = {"last_failure_at": statement.excluded.last_failure_at, "last_failure": statement.excluded.last_failure}
    connection.execute(statement.on_conflict_do_update(index_elements=list(KEY), set_=kept), values)
