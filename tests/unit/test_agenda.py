"""The next order of an agenda, in the time zone of its dossier."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpcrm_orchestration.domain.agenda import next_order_at
from erpcrm_orchestration.domain.routine_settings import Agenda

PARIS = "Europe/Paris"
MORNING_AND_EVENING = Agenda("account_status", (time(18), time(6)))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("after", "found"),
    [
        ("2026-05-10T10:00+02:00", "2026-05-10T18:00+02:00"),
        ("2026-05-10T18:00+02:00", "2026-05-11T06:00+02:00"),
        ("2026-05-10T05:59+02:00", "2026-05-10T06:00+02:00"),
        # The offset changes between both.
        ("2026-03-28T18:00+01:00", "2026-03-29T06:00+02:00"),
        ("2026-10-24T18:00+02:00", "2026-10-25T06:00+01:00"),
    ],
)
def test_E7_the_next_order_is_the_first_time_of_the_agenda_that_is_later(after: str, found: str) -> None:
    assert next_order_at(MORNING_AND_EVENING, PARIS, at(after)) == at(found)


def test_an_agenda_of_one_day_is_followed_a_week_later() -> None:
    mondays = Agenda("account_status", (time(6),), (1,))
    assert next_order_at(mondays, PARIS, at("2026-05-11T06:00+02:00")) == at("2026-05-18T06:00+02:00")


def test_a_time_in_the_hour_that_the_clocks_leave_out_is_due_when_it_is_over() -> None:
    night = Agenda("account_status", (time(2, 30),))
    assert next_order_at(night, PARIS, at("2026-03-28T12:00+01:00")) == at("2026-03-29T03:00+02:00")


@given(
    after=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the strategy adds it
    times=st.sets(st.times().map(lambda one: one.replace(second=0, microsecond=0)), min_size=1, max_size=4),
    days=st.sets(st.integers(1, 7), min_size=1),
    zone=st.sampled_from([PARIS, "America/Sao_Paulo", "Asia/Kolkata", "UTC", "Pacific/Auckland"]),
)
def test_it_is_always_later_within_eight_days_on_a_day_of_the_agenda(
    after: datetime, times: set[time], days: set[int], zone: str
) -> None:
    found = next_order_at(Agenda("x", tuple(times), tuple(days)), zone, after)
    assert 0 < (found - after).total_seconds() <= 8 * 86400 + 3600
    assert found.astimezone(ZoneInfo(zone)).isoweekday() in days
