"""When mails may leave: days, hours and public holidays in the calendar's own time zone."""

from __future__ import annotations

from collections.abc import Container
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from erpcrm_orchestration.domain.clock import require_aware
from erpcrm_orchestration.domain.configuration import MailCalendar
from erpcrm_orchestration.domain.errors import InputError

LONGEST_CLOSURE_DAYS = 400
MIDNIGHT = time(0, 0)


def next_opening(calendar: MailCalendar, at: datetime, holidays: Container[date]) -> datetime:
    """Return `at` itself when mails may leave then, else the instant (UTC) at which they next may.

    A day is open in [opens, closes), where 00:00 closes at the end of the day. An hour that the clocks repeat is open as
    one, from its first beginning to its second end; a time that they leave out counts as the same time after the change.
    Raises InputError E-MAIL-096 when the calendar stays closed for 400 days.
    """
    today = require_aware(at).astimezone(ZoneInfo(calendar.time_zone)).date()
    for offset in range(LONGEST_CLOSURE_DAYS):
        day = today + timedelta(days=offset)
        if day.isoweekday() not in calendar.days or day in calendar.closed_on or day in holidays:
            continue
        opening, closing = _window(calendar, day)
        if at < closing and opening < closing:
            return at if at >= opening else opening
    raise InputError(
        "E-MAIL-096",
        "mail calendar",
        f"closed for {LONGEST_CLOSURE_DAYS} days from {today.isoformat()}",
        "give it days, and an opening before its closing",
    )


def _window(calendar: MailCalendar, day: date) -> tuple[datetime, datetime]:
    zone = ZoneInfo(calendar.time_zone)
    opening = datetime.combine(day, calendar.opens, zone).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1) if calendar.closes == MIDNIGHT else day, calendar.closes)
    repeated = end.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if repeated.astimezone(zone).replace(tzinfo=None) == end:
        return opening, repeated
    return opening, end.replace(tzinfo=zone, fold=0).astimezone(UTC)
