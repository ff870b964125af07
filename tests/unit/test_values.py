"""Values of sources are read strictly; each doubtful one is refused with its own reason (catalogue 92, 93, 94)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.values import count, instant, readings, required_text, text, word

PARIS = "Europe/Paris"
RANGE = "give a year from 1970 to 2100"


@pytest.mark.parametrize(
    ("value", "zone", "expected"),
    [
        ("2026-11-18 12:00:00+00:00", None, "2026-11-18T12:00:00+00:00"),
        ("2026-11-18T12:00:00Z", None, "2026-11-18T12:00:00+00:00"),
        ("2026-11-18 13:00:00.123456+01", None, "2026-11-18T12:00:00.123456+00:00"),
        ("2026-11-18 13:00:00.1234567 +01:00", None, "2026-11-18T12:00:00.123456+00:00"),
        ("2026-11-18 13:00", PARIS, "2026-11-18T12:00:00+00:00"),
        ("2026-07-01", PARIS, "2026-06-30T22:00:00+00:00"),
        (date(2026, 7, 1), PARIS, "2026-06-30T22:00:00+00:00"),
        (datetime(2026, 11, 18, 13, tzinfo=timezone(timedelta(hours=1))), None, "2026-11-18T12:00:00+00:00"),
        (1763467200, None, "2025-11-18T12:00:00+00:00"),
        ("1763467200.5", None, "2025-11-18T12:00:00.500000+00:00"),
        (Decimal("1763467200.25"), None, "2025-11-18T12:00:00.250000+00:00"),
        (0, None, "1970-01-01T00:00:00+00:00"),
    ],
)
def test_an_instant_is_read_in_utc(value: object, zone: str | None, expected: str) -> None:
    assert instant(value, zone=zone, where="at").isoformat() == expected


@pytest.mark.parametrize(
    ("value", "zone", "message"),
    [
        (None, PARIS, "E-VAL-001 at: no value; an instant is required"),
        ("", PARIS, "E-VAL-001 at: no value; an instant is required"),
        (
            "2026-11-18 12:00:00",
            None,
            "E-VAL-092 at: 2026-11-18 12:00:00 has no zone; give an offset, or the time_zone of the source",
        ),
        (
            "2026-03-29 02:30:00",
            PARIS,
            "E-VAL-093 at: 2026-03-29 02:30:00 does not exist in Europe/Paris, where clocks go forward; "
            "correct it at the source",
        ),
        ("2026-11-18 24:00:00", PARIS, "E-VAL-093 at: '2026-11-18 24:00:00' does not exist; correct it at the source"),
        ("2026-11-18 12:00+25:00", None, "E-VAL-093 at: '2026-11-18 12:00+25:00' does not exist; correct it at the source"),
        ("2026-02-30", PARIS, "E-VAL-093 at: '2026-02-30' does not exist; correct it at the source"),
        ("2026-11-18 12:00:60", PARIS, "E-VAL-093 at: '2026-11-18 12:00:60' does not exist; correct it at the source"),
        ("18/11/2026", PARIS, "E-VAL-093 at: '18/11/2026' is not an instant; write YYYY-MM-DD HH:MM:SS+00:00"),
        ("\u0662026-11-18", PARIS, "E-VAL-093 at: '\u0662026-11-18' is not an instant; write YYYY-MM-DD HH:MM:SS+00:00"),
        (True, PARIS, "E-VAL-093 at: 'True' is not an instant; write YYYY-MM-DD HH:MM:SS+00:00"),
        (1763467200000, None, "E-VAL-094 at: 1763467200000 counts milliseconds; give seconds since 1970"),
        ("1763467200000", None, "E-VAL-094 at: 1763467200000 counts milliseconds; give seconds since 1970"),
        (-1, None, f"E-VAL-094 at: -1 is not an instant; {RANGE}"),
        (10**18, None, f"E-VAL-094 at: {10**18} is not an instant; {RANGE}"),
        (float("nan"), None, f"E-VAL-094 at: nan is not an instant; {RANGE}"),
        ("infinity", None, f"E-VAL-094 at: infinity is not an instant; {RANGE}"),
        ("-infinity", None, f"E-VAL-094 at: -infinity is not an instant; {RANGE}"),
        ("0000-00-00", PARIS, f"E-VAL-094 at: year of '0000-00-00' is out of range; {RANGE}"),
        ("1969-12-31 23:59:59Z", None, f"E-VAL-094 at: year of '1969-12-31 23:59:59Z' is out of range; {RANGE}"),
        ("2101-01-01", PARIS, f"E-VAL-094 at: year of '2101-01-01' is out of range; {RANGE}"),
        ("10000-01-01 00:00:00+00", None, f"E-VAL-094 at: year of '10000-01-01 00:00:00+00' is out of range; {RANGE}"),
        ("2026-01-01 00:00:00 BC", None, f"E-VAL-094 at: year of '2026-01-01 00:00:00 BC' is out of range; {RANGE}"),
        ("1970-01-01 00:30:00", PARIS, f"E-VAL-094 at: year of 1969-12-31 23:30:00 is out of range; {RANGE}"),
    ],
)
def test_a_doubtful_instant_is_refused_with_its_reason(value: object, zone: str | None, message: str) -> None:
    with pytest.raises(InputError) as refused:
        instant(value, zone=zone, where="at")
    assert str(refused.value) == message


def test_an_hour_that_comes_twice_in_autumn_has_two_readings() -> None:
    found = readings("2026-10-25 02:30:00", zone=PARIS, where="at")
    assert [at.isoformat() for at in found] == ["2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00"]
    assert instant("2026-10-25 02:30:00", zone=PARIS, where="at") == found[0]
    assert len(readings("2026-10-25 03:30:00", zone=PARIS, where="at")) == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\x00b", r"E-VAL-003 name: a NUL character in 'a\x00b'; remove it at the source"),
        ("caf\udce9", r"E-VAL-003 name: not UTF-8: 'caf\udce9'; correct the encoding at the source"),
        (b"raw", "E-VAL-002 name: bytes instead of text; map a text column"),
    ],
)
def test_a_text_that_cannot_be_kept_is_refused(value: object, message: str) -> None:
    with pytest.raises(InputError) as refused:
        text(value, where="name")
    assert str(refused.value) == message


def test_a_required_text_must_not_be_blank() -> None:
    with pytest.raises(InputError, match=r"^E-VAL-001 key: no value; a value is required$"):
        required_text("  ", where="key")


@pytest.mark.parametrize("value", [0, "7", 7.0, Decimal("12.00"), "+3"])
def test_a_whole_number_is_read(value: object) -> None:
    assert count(value, where="n") == int(float(str(value)))


@pytest.mark.parametrize("value", ["", "1,5", "1.5", "-1", "1e3", "٣", True, "nan", 2**31, "9" * 50, None])
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"^E-VAL-004 n: "):
        count(value, where="n")


def test_an_unknown_word_is_named_with_the_nearest_known_one() -> None:
    assert word("R", {"R": "REJECT"}, ("OK", "REJECT"), where="outcome") == "REJECT"
    with pytest.raises(InputError) as refused:
        word("REJECTED", {"R": "REJECT"}, ("OK", "REJECT"), where="outcome")
    assert str(refused.value) == "E-VAL-005 outcome: 'REJECTED' is unknown; did you mean REJECT?"


@given(
    st.one_of(st.text(max_size=40), st.integers(), st.floats(), st.decimals(), st.none(), st.booleans(), st.binary(max_size=9))
)
def test_any_value_is_read_or_refused_and_never_breaks(value: object) -> None:
    try:
        at = instant(value, zone=PARIS, where="at")
    except InputError:
        return
    assert at.tzinfo is UTC
    assert 1970 <= at.year <= 2100


@given(
    seconds=st.integers(-86_400, 4_134_000_000),
    offset=st.sampled_from(["", "Z", "+02:00", "-03:30", "+15:59", "+16:00", "-00:00"]),
    zone=st.sampled_from([None, "UTC", "Europe/Paris"]),
)
def test_the_form_that_most_systems_write_means_what_the_careful_reading_says(
    seconds: int, offset: str, zone: str | None
) -> None:
    text = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{offset}"

    def told(read: Callable[[], datetime]) -> datetime | str:
        try:
            return read()
        except InputError as refused:
            return str(refused)

    quick = told(lambda: instant(text, zone=zone, where="$.at"))
    assert quick == told(lambda: readings(text, zone=zone, where="$.at")[0])
    assert not isinstance(quick, datetime) or quick.tzinfo is UTC
