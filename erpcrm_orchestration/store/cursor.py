"""How far every stream of every dossier was read; the guard against two passes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from erpcrm_orchestration.domain.intake import Cursor, Window, tuned_overlap
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


def open_cursor(connection: sa.Connection, key: tuple[str, str, str], floor_s: int) -> Cursor:
    """Return the cursor of (dossier, source, stream), made at the first pass."""
    statement = sa.select(source_cursor).where(_is(key))
    row = connection.execute(statement).one_or_none()
    if row is None:
        values = dict(zip(KEY, key, strict=True))
        connection.execute(insert(source_cursor).values(**values, overlap_s=floor_s).on_conflict_do_nothing())
        row = connection.execute(statement).one()
    return Cursor(
        row.dossier_code, row.source_code, row.stream, row.watermark_at, max(row.overlap_s, floor_s), row.max_lateness_s,
        row.last_success_at, row.epoch,
    )  # fmt: skip


def advance_cursor(
    connection: sa.Connection, seen: Cursor, span: Window, progress: Progress, floor_s: int, now: datetime
) -> bool:
    """Move the cursor to the bound of the pass; False when another pass moved it since, and nothing may be committed."""
    lateness = max(seen.max_lateness_s, progress.max_lateness_s)
    moved = connection.execute(
        sa.update(source_cursor)
        .where(
            _is((seen.dossier_code, seen.source_code, seen.stream)),
            source_cursor.c.epoch == seen.epoch,
        )
        .values(
            watermark_at=span.bound,
            overlap_s=tuned_overlap(floor_s, lateness),
            max_lateness_s=lateness,
            late_arrivals=source_cursor.c.late_arrivals + progress.late,
            rows_taken=source_cursor.c.rows_taken + progress.merged,
            rows_rejected=source_cursor.c.rows_rejected + progress.rejected,
            last_success_at=now,
            last_failure_at=None,
            last_failure=None,
            epoch=source_cursor.c.epoch + 1,
        )
    )
    return moved.rowcount == 1


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


def _is(key: tuple[str, str, str]) -> sa.ColumnElement[bool]:
    return sa.and_(*(source_cursor.c[name] == value for name, value in zip(KEY, key, strict=True)))
