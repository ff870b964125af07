"""The next order of an automatic agenda: at the agenda's local times, later than the instant that is given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from erpcrm_orchestration.domain.routine_settings import Agenda
from erpcrm_orchestration.domain.schedule import local_instant

LONGEST_PAUSE_DAYS = 8
"""An agenda names at least one weekday, so that one of the next eight days is one of its own."""


def next_order_at(agenda: Agenda, time_zone: str, after: datetime) -> datetime:
    """Return the first instant (UTC) of the agenda that is later than `after`."""
    today = after.astimezone(ZoneInfo(time_zone)).date()
    days = (today + timedelta(days=more) for more in range(LONGEST_PAUSE_DAYS))
    return min(
        at
        for day in days
        if day.isoweekday() in agenda.days
        for at in (local_instant(datetime.combine(day, time), time_zone) for time in agenda.times)
        if at > after.astimezone(UTC)
    )
