"""Due instants: windows, weekdays, zones and clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpcrm_orchestration.domain.schedule import Window, next_tick, ticks_between

PARIS = ZoneInfo("Europe/Paris")


def window(
    start: str = "08:20", *, duration: int = 600, frequency: int = 15, zone: str = "Europe/Paris", days: str = "12345"
) -> Window:
    return Window(tuple(int(day) for day in days), time.fromisoformat(start), duration, frequency, zone)


def paris(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS)


def test_A38_monday_to_friday_from_0820_for_ten_hours_every_quarter_has_41_ticks_a_day_and_none_at_the_weekend() -> None:
    week = ticks_between(window(), paris("2026-11-15T23:59"), paris("2026-11-22T23:59"))
    by_day: dict[int, list[datetime]] = {}
    for tick in week:
        by_day.setdefault(tick.astimezone(PARIS).isoweekday(), []).append(tick.astimezone(PARIS))
    assert sorted(by_day) == [1, 2, 3, 4, 5]
    for ticks in by_day.values():
        assert len(ticks) == 41
        assert (ticks[0].time(), ticks[-1].time()) == (time(8, 20), time(18, 20))


def test_after_is_exclusive_and_until_is_inclusive() -> None:
    assert ticks_between(window(), paris("2026-11-18T08:20"), paris("2026-11-18T08:35")) == [paris("2026-11-18T08:35")]


def test_F34_a_start_in_the_spring_gap_opens_once_when_the_gap_ends() -> None:
    daily = window("02:30", duration=0, frequency=60, days="1234567")
    ticks = ticks_between(daily, paris("2026-03-28T12:00"), paris("2026-03-30T12:00"))
    assert [tick.astimezone(PARIS).isoformat() for tick in ticks] == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]


def test_F34_a_start_in_the_autumn_hour_opens_once_at_its_second_occurrence() -> None:
    daily = window("02:30", duration=0, frequency=60, days="1234567")
    ticks = ticks_between(daily, paris("2026-10-24T12:00"), paris("2026-10-25T12:00"))
    assert [tick.astimezone(PARIS).isoformat() for tick in ticks] == ["2026-10-25T02:30:00+01:00"]


@pytest.mark.parametrize(("day", "count"), [("2026-03-29", 46), ("2026-10-25", 50), ("2026-11-18", 48)])
def test_F34_every_half_hour_stays_every_real_half_hour_on_days_of_23_24_and_25_hours(day: str, count: int) -> None:
    whole_day = window("00:00", duration=1439, frequency=30, days="1234567")
    begin = paris(f"{day}T00:00") - timedelta(minutes=1)
    ticks = ticks_between(whole_day, begin, paris(f"{day}T23:59"))
    assert len(ticks) == count
    assert {later - earlier for earlier, later in pairwise(ticks)} == {timedelta(minutes=30)}


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opens() -> None:
    night = window("22:00", duration=480, frequency=240, days="5")
    ticks = ticks_between(night, paris("2026-11-20T00:00"), paris("2026-11-22T00:00"))
    assert [tick.astimezone(PARIS).isoformat()[:16] for tick in ticks] == [
        "2026-11-20T22:00",
        "2026-11-21T02:00",
        "2026-11-21T06:00",
    ]
    assert night.is_open(paris("2026-11-21T05:59"))
    assert not night.is_open(paris("2026-11-21T06:01"))


ZONES = ["Europe/Paris", "Europe/Lisbon", "America/Sao_Paulo", "Asia/Yekaterinburg", "Australia/Lord_Howe", "America/New_York"]


@given(
    zone=st.sampled_from(ZONES),
    start=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    duration=st.integers(0, 1439),
    frequency=st.integers(1, 1440),
    days=st.sets(st.integers(1, 7), min_size=1).map(lambda found: "".join(map(str, sorted(found)))),
    begin=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 1)).map(lambda at: at.replace(tzinfo=UTC)),  # noqa: DTZ001
)
def test_stepping_from_tick_to_tick_finds_the_same_as_asking_for_a_range(
    zone: str, start: time, duration: int, frequency: int, days: str, begin: datetime
) -> None:
    due = Window(tuple(int(day) for day in days), start, duration, frequency, zone)
    expected = ticks_between(due, begin, begin + timedelta(days=9))[:40]
    stepped: list[datetime] = []
    at = begin
    while len(stepped) < len(expected):
        at = next_tick(due, at)
        stepped.append(at)
    assert stepped == expected
    assert expected == sorted(set(expected))
