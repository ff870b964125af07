"""When a process is due: days, start, duration and frequency in the dossier's own time zone.

The window opens at the local start and closes at the local start plus duration, both inclusive; inside, ticks follow each other
in real minutes. Around a clock change this means what Dagster does: a start in the spring gap opens when the gap ends, a start
in the autumn hour opens at its second occurrence, and every frequency keeps its real distance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from erpcrm_orchestration.domain.clock import require_aware

LONGEST_PAUSE_DAYS = 8
"""A window opens at least once in any eight days, because at least one weekday is named."""


@dataclass(frozen=True)
class Window:
    """`days` are ISO weekdays of the opening; `duration_min` and `frequency_min` are minutes."""

    days: tuple[int, ...]
    start: time
    duration_min: int
    frequency_min: int
    time_zone: str

    def opening(self, day: date) -> datetime:
        """Return the instant (UTC) at which the window of this local day opens."""
        return local_instant(datetime.combine(day, self.start), self.time_zone)

    def closing(self, day: date) -> datetime:
        """Return the last instant (UTC) of the window that opens on this local day."""
        return local_instant(datetime.combine(day, self.start) + timedelta(minutes=self.duration_min), self.time_zone)

    def is_open(self, at: datetime) -> bool:
        """True when `at` lies inside a window."""
        today = at.astimezone(ZoneInfo(self.time_zone)).date()
        return any(
            day.isoweekday() in self.days and self.opening(day) <= at <= self.closing(day)
            for day in (today, today - timedelta(days=1))
        )


def ticks_between(window: Window, after: datetime, until: datetime) -> list[datetime]:
    """Return the due instants (UTC, ascending) in (after, until]."""
    found: list[datetime] = []
    day = _local_day(window, after) - timedelta(days=1)
    last = _local_day(window, until)
    while day <= last:
        found.extend(tick for tick in _ticks_of(window, day) if after < tick <= until)
        day += timedelta(days=1)
    return found


def next_tick(window: Window, after: datetime) -> datetime:
    """Return the first due instant (UTC) later than `after`."""
    day = _local_day(window, after) - timedelta(days=1)
    for offset in range(LONGEST_PAUSE_DAYS + 2):
        for tick in _ticks_of(window, day + timedelta(days=offset)):
            if tick > after:
                return tick
    raise ValueError(f"a window without days is never due: {window}")


def _ticks_of(window: Window, day: date) -> Iterator[datetime]:
    if day.isoweekday() not in window.days:
        return
    tick, closing = window.opening(day), window.closing(day)
    step = timedelta(minutes=window.frequency_min)
    while tick <= closing:
        yield tick
        tick += step


def _local_day(window: Window, at: datetime) -> date:
    return require_aware(at).astimezone(ZoneInfo(window.time_zone)).date()


def local_instant(local: datetime, time_zone: str) -> datetime:
    """Return the UTC instant of a local time; in a gap the end of the gap, in a fold the second occurrence."""
    zone = ZoneInfo(time_zone)
    later = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if later.astimezone(zone).replace(tzinfo=None) == local:
        return later
    return _end_of_gap(local, zone)


def _end_of_gap(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant at which the clocks jumped over `local`; found by halving, to the second."""
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    after = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)
