"""Incremental reading of a source that loses nothing: where a pass starts, where it ends, how far it looks back.

A strict "later than the last one" cursor loses rows that are committed late with an older instant. So a pass starts
`overlap` before the watermark and the merge is idempotent. The overlap follows the lateness that was seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import ceil, floor
from typing import Literal
from zoneinfo import ZoneInfo

from erpcrm_orchestration.domain.configuration import DatasetMapping, Source, TimeExportFilter
from erpcrm_orchestration.domain.errors import ErpcrmError
from erpcrm_orchestration.domain.values import FIRST_INSTANT

LONGEST_OVERLAP_S = 86_400
LOOK_BACKS_S = ((86_400, 31 * 86_400), (3600, 86_400))
"""Once in so many seconds a pass looks back so far, so that lateness beyond the overlap is seen and the overlap grows."""
FUTURE_ALLOWANCE = timedelta(days=1)
"""Rows of a program whose clock is ahead are taken; the watermark never follows them."""
LONGEST_REPEATED_HOUR = timedelta(hours=1)

Clocking = Literal["aware", "naive", "epoch", "mixed"]
"""What the ordering column of a stream holds: instants, local times, seconds since 1970, or text of any of these."""


@dataclass(frozen=True)
class IntakeResult:
    """What one pass over the streams of a dossier did. `failure` is the first stream's error; what was stored stays."""

    dossier_code: str
    logbook_rows: int = 0
    dataset_rows: int = 0
    task_rows: int = 0
    rejected: int = 0
    failure: ErpcrmError | None = None


@dataclass(frozen=True)
class Cursor:
    """How far a stream of a dossier was read. `epoch` grows with every pass and guards the next one."""

    dossier_code: str
    source_code: str
    stream: str
    watermark_at: datetime | None
    overlap_s: int
    max_lateness_s: int
    last_success_at: datetime | None
    epoch: int


@dataclass(frozen=True)
class Window:
    """`after` and `until` are the ends of what is read, `bound` is the next watermark: the source's clock at the start."""

    after: datetime
    until: datetime
    bound: datetime


@dataclass(frozen=True)
class Stream:
    """One table of a source as it is read: our names to their columns, and the column that orders it."""

    name: str
    kind: Literal["logbook", "datasets", "tasks"]
    table: str
    schema: str | None
    columns: Mapping[str, str]
    where: Mapping[str, str]
    order: str
    instants: tuple[str, ...]
    payload: tuple[str, ...] = ()
    time_export: TimeExportFilter | None = None
    mapping: DatasetMapping | None = None

    @property
    def dossier_column(self) -> str | None:
        """The column that tells the dossier, when exactly one does: then one statement can read for many dossiers."""
        found = [column for column, value in self.where.items() if "{dossier}" in value]
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True)
class RawRow:
    """A row as the source gave it: its place in the order, what it says of its dossier, and values by our names."""

    place: str | None
    dossier: object
    values: Mapping[str, object]
    payload: Mapping[str, object] = field(default_factory=dict)


def streams_of(source: Source) -> tuple[Stream, ...]:
    """Return the streams of a source, the logbook first."""
    streams = []
    if source.logbook:
        book = source.logbook
        streams.append(Stream("logbook", "logbook", book.table, book.schema, book.columns, book.where, "at", ("at",)))
    for one in source.datasets:
        streams.append(
            Stream(
                one.stream, "datasets", one.table, one.schema, one.columns, one.where, "updated_at",
                ("created_at", "updated_at"), time_export=one.time_export, mapping=one,
            )
        )  # fmt: skip
    if source.tasks:
        tasks = source.tasks
        streams.append(
            Stream("tasks", "tasks", tasks.table, tasks.schema, tasks.columns, tasks.where, "at", ("at",), tasks.payload)
        )
    return tuple(streams)


def window(cursor: Cursor, bound: datetime, now: datetime) -> Window:
    """Return what a pass reads when the source's clock shows `bound` and ours `now`.

    The earlier of both clocks is the next watermark: a clock that is ahead would make rows of the meantime late.
    """
    bound = min(bound, now)
    if cursor.watermark_at is None:
        return Window(FIRST_INSTANT, bound + FUTURE_ALLOWANCE, bound)
    start = min(cursor.watermark_at, bound)
    if bound < cursor.watermark_at and cursor.last_success_at is not None:
        # The source's clock went back: what was written since our last pass may carry any time from there on.
        start = min(start, bound - max(now - cursor.last_success_at, timedelta()))
    look_back = max(cursor.overlap_s, deep_look_s(cursor, now))
    return Window(max(start - timedelta(seconds=look_back), FIRST_INSTANT), bound + FUTURE_ALLOWANCE, bound)


def look_alike(cursors: Sequence[Cursor], now: datetime, most: int) -> list[list[Cursor]]:
    """Return the cursors in groups of at most so many that look back about as far, so that one statement reads for all."""
    groups: dict[int, list[Cursor]] = {}
    for cursor in cursors:
        seconds = (now - window(cursor, now, now).after).total_seconds()
        groups.setdefault(max(0, int(seconds)).bit_length(), []).append(cursor)
    return [group[at : at + most] for _, group in sorted(groups.items()) for at in range(0, len(group), most)]


def joint_window(cursors: Sequence[Cursor], bound: datetime, now: datetime) -> Window:
    """Return the window that holds the windows of all these cursors."""
    spans = [window(cursor, bound, now) for cursor in cursors]
    return replace(spans[0], after=min(span.after for span in spans))


def deep_look_s(cursor: Cursor, now: datetime) -> int:
    """Return how far back a pass looks besides its overlap: a day once an hour, a month once a day, else 0 seconds.

    Every dossier does so at another minute, so that a source has an even load.
    """
    if cursor.last_success_at is None:
        return LOOK_BACKS_S[0][1]
    shift = int(hashlib.sha256(f"{cursor.dossier_code}/{cursor.stream}".encode()).hexdigest()[:8], 16)
    for every_s, back_s in LOOK_BACKS_S:
        if _period(now, shift, every_s) != _period(cursor.last_success_at, shift, every_s):
            return back_s
    return 0


def tuned_overlap(floor_s: int, max_lateness_s: int) -> int:
    """Return the overlap in seconds: twice the greatest lateness seen, at least the source's floor, at most a day."""
    return max(floor_s, min(2 * max_lateness_s, LONGEST_OVERLAP_S))


def limits(span: Window, clocking: Clocking, zone: str) -> tuple[str, str]:
    """Return both ends of a window as the source writes them; local times are widened where an hour comes twice."""
    if clocking == "epoch":
        return str(floor(span.after.timestamp())), str(ceil(span.until.timestamp()))
    if clocking == "aware":
        return _written(span.after), _written(span.until)
    low, high = _local(span.after, span, zone, -1), _local(span.until, span, zone, 1)
    if clocking == "naive":
        return f"{low:%Y-%m-%d %H:%M:%S.%f}", f"{high:%Y-%m-%d %H:%M:%S.%f}"
    low, high = min(low, span.after.replace(tzinfo=None)), max(high, span.until.replace(tzinfo=None))
    return f"{low:%Y-%m-%d %H:%M:%S}.000", f"{high:%Y-%m-%d %H:%M:%S}.999"


def _written(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00:00"


def _local(at: datetime, span: Window, zone: str, direction: int) -> datetime:
    """Return the local time, moved outwards by an hour when clocks went back near the window.

    Around that instant local order is not the order of time: 02:10 of the second round comes after 02:50 of the first.
    """
    local = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    near = _offsets(span, zone)
    return local + direction * LONGEST_REPEATED_HOUR if near else local


def _offsets(span: Window, zone: str) -> bool:
    """True when the offset of the zone changes within the window or a day around it."""
    tz = ZoneInfo(zone)
    margin = timedelta(days=1)
    first, last = span.after - margin, span.until + margin
    if last - first > timedelta(days=60):
        return True
    days = int((last - first) / margin) + 1
    return len({(first + margin * day).astimezone(tz).utcoffset() for day in range(days + 1)}) > 1


def _period(at: datetime, shift: int, every_s: int) -> int:
    return (int(at.timestamp()) + shift) // every_s
