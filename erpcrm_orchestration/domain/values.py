"""Strict reading of values that a source delivers: what is doubtful is refused with its reason, never guessed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

from erpcrm_orchestration.domain.errors import InputError, did_you_mean

FIRST_YEAR = 1970
LAST_YEAR = 2100
FIRST_INSTANT = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
AFTER_LAST_INSTANT = datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC)
LARGEST_INTEGER = 2**31 - 1

TIMESTAMP = re.compile(
    r"(?P<date>[0-9]{4,6}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r" ?(?P<offset>Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?(?P<bc> BC)?"
)
_COMMON = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:Z|[+-](?:0[0-9]|1[0-5]):[0-5][0-9])?", re.ASCII)
EPOCH = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")


def typed_day(text: str, *, where: str) -> date:
    """Return a day that a person typed; raise InputError E-CLI-055 for anything but YYYY-MM-DD."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise InputError("E-CLI-055", where, f"{text!a} is no day", "write 2026-01-31") from None


def instant(value: object, *, zone: str | None, where: str) -> datetime:
    """Return the instant in UTC; of the two readings in an autumn hour that comes twice, the earlier one."""
    if type(value) is str and _COMMON.fullmatch(value) and (found := _common(value, zone)) is not None:
        return found
    return readings(value, zone=zone, where=where)[0]


def readings(value: object, *, zone: str | None, where: str) -> tuple[datetime, ...]:
    """Return what the value may mean, in UTC and earlier first: two instants in an autumn hour that comes twice, else one.

    A number counts seconds since 1970. Raises InputError E-VAL-001, 092 (no zone), 093 (no such time), 094 (out of range).
    """
    if value is None or value == "":
        raise InputError("E-VAL-001", where, "no value", "an instant is required")
    if isinstance(value, datetime):
        return _placed(value, zone, where)
    if isinstance(value, date):
        return _placed(datetime.combine(value, time()), zone, where)
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return (_from_epoch(value, where),)
    text = str(value).strip()
    if text.casefold().lstrip("+-") in {"infinity", "inf", "nan"}:
        raise InputError("E-VAL-094", where, f"{text} is not an instant", _range())
    if EPOCH.fullmatch(text):
        return (_from_epoch(Decimal(text), where),)
    return _placed(_parsed(text, where), zone, where)


def text(value: object, *, where: str) -> str:
    """Return a value as text; raise InputError E-VAL-003 for characters that PostgreSQL cannot keep."""
    if isinstance(value, bytes):
        raise InputError("E-VAL-002", where, "bytes instead of text", "map a text column")
    found = str(value)
    if "\x00" in found:
        raise InputError("E-VAL-003", where, f"a NUL character in {shown(found)}", "remove it at the source")
    if any("\ud800" <= char <= "\udfff" for char in found):
        raise InputError("E-VAL-003", where, f"not UTF-8: {shown(found)}", "correct the encoding at the source")
    return found


def optional_text(value: object, *, where: str) -> str | None:
    """Return a value as text, None for no value."""
    return None if value is None else text(value, where=where)


def required_text(value: object, *, where: str) -> str:
    """Return a value as text; raise InputError E-VAL-001 when it is missing or empty."""
    if value is None or str(value).strip() == "":
        raise InputError("E-VAL-001", where, "no value", "a value is required")
    return text(value, where=where)


def count(value: object, *, where: str) -> int:
    """Return a whole number from 0 to 2147483647; raise InputError E-VAL-004 for anything else."""
    found = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[+-]?[0-9]{1,40}(\.0*)?", found):
        raise InputError("E-VAL-004", where, f"{shown(found)} is not a whole number", "give 0, 1, 2...")
    number = int(Decimal(found))
    if not 0 <= number <= LARGEST_INTEGER:
        raise InputError("E-VAL-004", where, f"{shown(found)} is out of range", f"give 0 to {LARGEST_INTEGER}")
    return number


def word(value: object, words: Mapping[str, str], known: Collection[str], *, where: str) -> str:
    """Return our word for theirs: mapped, or already ours; raise InputError E-VAL-005 that names an unknown one."""
    found = required_text(value, where=where).strip()
    meaning = words.get(found, found)
    if meaning not in known:
        raise InputError("E-VAL-005", where, f"{shown(found)} is unknown", did_you_mean(found, {*words, *known}))
    return meaning


def shown(value: str, longest: int = 60) -> str:
    """Return a value as a message may show it: escaped, shortened, in quotes."""
    return repr(value if len(value) <= longest else value[: longest - 3] + "...")


def _common(text: str, zone: str | None) -> datetime | None:
    """Return the instant of a text in the form that most systems write, None when it has to be read with more care."""
    if not FIRST_YEAR < int(text[:4]) < LAST_YEAR:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        return at.replace(tzinfo=UTC) if zone == "UTC" else None
    return at if at.tzinfo is UTC else at.astimezone(UTC)


def _parsed(text: str, where: str) -> datetime:
    found = TIMESTAMP.fullmatch(text)
    if not found:
        raise InputError("E-VAL-093", where, f"{shown(text)} is not an instant", "write YYYY-MM-DD HH:MM:SS+00:00")
    if found["bc"] or not FIRST_YEAR <= int(found["date"].split("-")[0]) <= LAST_YEAR:
        raise InputError("E-VAL-094", where, f"year of {shown(text)} is out of range", _range())
    fraction = (found["fraction"] or "")[:6].ljust(6, "0")
    try:
        day = date.fromisoformat(found["date"])
        clock = time(int(found["hour"] or 0), int(found["minute"] or 0), int(found["second"] or 0), int(fraction))
        zone = _offset(found["offset"])
    except ValueError as error:
        raise InputError("E-VAL-093", where, f"{shown(text)} does not exist", "correct it at the source") from error
    return datetime.combine(day, clock, zone)


def _offset(text: str | None) -> timezone | None:
    if not text:
        return None
    if text == "Z":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 15 or minutes > 59:
        raise ValueError(text)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _placed(at: datetime, zone: str | None, where: str) -> tuple[datetime, ...]:
    if at.utcoffset() is not None:
        return (_in_range(at.astimezone(UTC), where),)
    if zone is None:
        raise InputError("E-VAL-092", where, f"{at} has no zone", "give an offset, or the time_zone of the source")
    both = {at.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)}
    real = sorted(one for one in both if one.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == at)
    if not real:
        raise InputError(
            "E-VAL-093", where, f"{at} does not exist in {zone}, where clocks go forward", "correct it at the source"
        )
    return tuple(_in_range(one, where) for one in real)


def _in_range(at: datetime, where: str) -> datetime:
    if not FIRST_INSTANT <= at < AFTER_LAST_INSTANT:
        raise InputError("E-VAL-094", where, f"year of {at:%Y-%m-%d %H:%M:%S} is out of range", _range())
    return at


def _from_epoch(value: int | float | Decimal, where: str) -> datetime:
    seconds = Decimal(str(value))
    last = Decimal(int(AFTER_LAST_INSTANT.timestamp()))
    if seconds.is_finite() and 0 <= seconds < last:
        return FIRST_INSTANT + timedelta(microseconds=int(seconds * 1_000_000))
    if seconds.is_finite() and last <= seconds < last * 1000:
        raise InputError("E-VAL-094", where, f"{value} counts milliseconds", "give seconds since 1970")
    raise InputError("E-VAL-094", where, f"{value} is not an instant", _range())


def _range() -> str:
    return f"give a year from {FIRST_YEAR} to {LAST_YEAR}"
