"""The mail calendar: when a mail may leave, around nights, weekends, public holidays and clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from erpcrm_orchestration.domain.configuration import MailCalendar
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.mail_calendar import next_opening
from erpcrm_orchestration.services.mail import closed_days

PARIS = ZoneInfo("Europe/Paris")
OFFICE = MailCalendar(days=(1, 2, 3, 4, 5), opens=time(8), closes=time(18))
NEVER_CLOSED: frozenset[date] = frozenset()


def at(text: str, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS, fold=fold)


@pytest.mark.parametrize(
    ("now", "opening"),
    [
        ("2026-11-18T20:00", "2026-11-19T08:00"),
        ("2026-11-20T20:00", "2026-11-23T08:00"),
        ("2026-11-21T12:00", "2026-11-23T08:00"),
        ("2026-11-18T07:59:59", "2026-11-18T08:00"),
        ("2026-11-18T18:00", "2026-11-19T08:00"),
    ],
)
def test_A43_outside_the_calendar_a_mail_waits_for_the_next_working_day(now: str, opening: str) -> None:
    assert next_opening(OFFICE, at(now), NEVER_CLOSED) == at(opening)


@pytest.mark.parametrize("now", ["2026-11-18T08:00", "2026-11-18T12:34:56.789", "2026-11-18T17:59:59.999999"])
def test_A43_inside_the_calendar_it_may_leave_at_once(now: str) -> None:
    assert next_opening(OFFICE, at(now), NEVER_CLOSED) == at(now)


def test_a_calendar_that_closes_at_midnight_is_open_to_the_end_of_the_day() -> None:
    evening = MailCalendar(days=(3,), opens=time(20), closes=time(0))
    assert next_opening(evening, at("2026-11-18T23:59:59"), NEVER_CLOSED) == at("2026-11-18T23:59:59")
    assert next_opening(evening, at("2026-11-19T00:00"), NEVER_CLOSED) == at("2026-11-25T20:00")


def test_the_default_calendar_is_always_open() -> None:
    for hour in range(0, 24 * 400, 7):
        moment = at("2026-01-01T00:00") + timedelta(hours=hour)
        assert next_opening(MailCalendar(), moment, NEVER_CLOSED) == moment


def test_public_holidays_and_named_days_are_not_working_days() -> None:
    france = closed_days("FR")
    assert next_opening(OFFICE, at("2026-12-24T20:00"), france) == at("2026-12-28T08:00")
    assert next_opening(OFFICE, at("2026-07-13T20:00"), france) == at("2026-07-15T08:00")
    company = MailCalendar(days=(1, 2, 3, 4, 5), opens=time(8), closes=time(18), closed_on=(date(2026, 11, 19),))
    assert next_opening(company, at("2026-11-18T20:00"), NEVER_CLOSED) == at("2026-11-20T08:00")


def test_holidays_of_a_country_that_is_not_known_are_refused_with_its_name() -> None:
    with pytest.raises(InputError) as caught:
        closed_days("ZZ")
    assert str(caught.value) == (
        "E-MAIL-098 mail calendar: no public holidays are known for 'ZZ'; give an ISO 3166 country code"
    )


def test_the_hours_are_those_of_the_calendars_zone_through_both_clock_changes() -> None:
    every_day = MailCalendar(opens=time(8), closes=time(18))
    assert next_opening(every_day, at("2026-03-28T20:00"), NEVER_CLOSED) == datetime(2026, 3, 29, 6, tzinfo=UTC)
    assert next_opening(every_day, at("2026-10-24T20:00"), NEVER_CLOSED) == datetime(2026, 10, 25, 7, tzinfo=UTC)


def test_an_opening_in_the_hour_that_spring_leaves_out_is_as_late_after_the_change() -> None:
    night = MailCalendar(opens=time(2, 30), closes=time(18))
    assert next_opening(night, at("2026-03-29T01:00"), NEVER_CLOSED) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_the_hour_that_autumn_repeats_is_open_as_one() -> None:
    early = MailCalendar(opens=time(1), closes=time(2, 30))
    for moment in (at("2026-10-25T02:15"), at("2026-10-25T02:45"), at("2026-10-25T02:15", fold=1)):
        assert next_opening(early, moment, NEVER_CLOSED) == moment
    closed = at("2026-10-25T02:30", fold=1)
    assert next_opening(early, closed, NEVER_CLOSED) == at("2026-10-26T01:00")


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"])
def test_for_a_year_in_any_zone_the_answer_is_open_later_or_equal_and_monotonic(zone: str) -> None:
    calendar = MailCalendar(days=(1, 2, 4, 7), opens=time(0, 15), closes=time(2, 45), time_zone=zone)
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=47 * step) for step in range(11_200)]
    openings = [next_opening(calendar, moment, NEVER_CLOSED) for moment in moments]
    assert all(opening >= moment for moment, opening in zip(moments, openings, strict=True))
    assert all(next_opening(calendar, opening, NEVER_CLOSED) == opening for opening in set(openings))
    assert all(earlier <= later for earlier, later in pairwise(openings))
    assert {opening.astimezone(ZoneInfo(zone)).isoweekday() for opening in openings} == {1, 2, 4, 7}


@pytest.mark.parametrize(
    "calendar",
    [MailCalendar(days=()), MailCalendar(opens=time(18), closes=time(8)), MailCalendar(opens=time(8), closes=time(8))],
)
def test_a_calendar_that_never_opens_is_an_error_and_not_an_endless_search(calendar: MailCalendar) -> None:
    with pytest.raises(InputError) as caught:
        next_opening(calendar, at("2026-11-18T20:00"), NEVER_CLOSED)
    assert str(caught.value) == (
        "E-MAIL-096 mail calendar: closed for 400 days from 2026-11-18; give it days, and an opening before its closing"
    )


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="naive datetime"):
        next_opening(OFFICE, datetime(2026, 11, 18, 20), NEVER_CLOSED)  # noqa: DTZ001
