"""Tryton's JSON, which marks dates, decimals and bytes with {"__class__": ...}.

It becomes plain JSON for what is received; what is sent is made from the types of the model's fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

import msgspec

from erpcrm_orchestration.domain.errors import PermanentFailure
from erpcrm_orchestration.domain.values import shown

_ENCODER = msgspec.json.Encoder(decimal_format="number", order="sorted")


def payload(record: object) -> str:
    """Return a plain record as text; its keys are sorted, so that equal records have equal texts."""
    return _ENCODER.encode(record).decode()


def plain(value: object) -> object:
    """Return a value of Tryton without classes: dates in ISO form, decimals and bytes as texts, durations in seconds.

    What was asked for with a dotted name stands below `party.` beside the id `party`; it takes the id's place.
    """
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "__class__" in value:
        return _without_class(value)
    members = {key: plain(one) for key, one in value.items() if not key.endswith(".")}
    return {**members, **{key[:-1]: plain(one) for key, one in value.items() if key.endswith(".")}}


def _without_class(value: Mapping[str, object]) -> object:
    reader = _READERS.get(str(value["__class__"]))
    return reader(value) if reader else {name: plain(one) for name, one in value.items() if name != "__class__"}


def _datetime(value: Mapping[str, object]) -> str:
    return f"{_date(value)}T{_time(value)}"


def _date(value: Mapping[str, object]) -> str:
    year, month, day = (int(str(value.get(name) or 0)) for name in _CALENDAR)
    return date(year, month, day).isoformat()


def _time(value: Mapping[str, object]) -> str:
    hour, minute, second, micro = (int(str(value.get(name) or 0)) for name in _CLOCK)
    return time(hour, minute, second, micro).isoformat()


_CALENDAR = ("year", "month", "day")
_CLOCK = ("hour", "minute", "second", "microsecond")
_READERS: Mapping[str, Callable[[Mapping[str, object]], object]] = {
    "datetime": _datetime,
    "date": _date,
    "time": _time,
    "Decimal": lambda value: str(value.get("decimal")),
    "timedelta": lambda value: value.get("seconds"),
    "bytes": lambda value: value.get("base64"),
}


def typed(value: object) -> object:
    """Return a Python value as Tryton reads it; an aware instant becomes one without zone, in UTC."""
    if isinstance(value, Mapping):
        return {str(name): typed(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [typed(one) for one in value]
    if isinstance(value, Decimal):
        return {"__class__": "Decimal", "decimal": format(value, "f")}
    if isinstance(value, date):
        return _typed_date(value)
    return value


def _typed_date(value: date) -> object:
    if not isinstance(value, datetime):
        return {"__class__": "date", **{name: getattr(value, name) for name in _CALENDAR}}
    at = value if value.tzinfo is None else value.astimezone(UTC)
    return {"__class__": "datetime", **{name: getattr(at, name) for name in (*_CALENDAR, *_CLOCK)}}


def instant_in(at: datetime, zone: str) -> object:
    """Return an instant as the server writes its own: without zone, in the zone of the server."""
    return typed(at.astimezone(ZoneInfo(zone)).replace(tzinfo=None))


def as_field(value: object, kind: str, where: str) -> object:
    """Return a value for a field of this type; ids and numbers come as texts too.

    Raises PermanentFailure E-SRC-059 when the value cannot be one of that type.
    """
    if value is None or isinstance(value, bool | list | Mapping):
        return typed(value)
    try:
        return _as_field(value, kind)
    except (ValueError, InvalidOperation) as error:
        found = f"{shown(str(value))} is no value of type {kind}"
        raise PermanentFailure("E-SRC-059", where, found, "correct the body of the call in the connector") from error


def _as_field(value: object, kind: str) -> object:
    maker = _MAKERS.get(kind)
    return typed(maker(value) if maker else value)


def _instant(value: object) -> object:
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))


def _day(value: object) -> object:
    return date.fromisoformat(value.isoformat()[:10] if isinstance(value, date) else str(value)[:10])


def _text(value: object) -> object:
    return format(value, "f") if isinstance(value, Decimal) else str(value)


_MAKERS: Mapping[str, Callable[[object], object]] = {
    **dict.fromkeys(("integer", "bigint", "many2one", "one2one"), lambda value: int(str(value))),
    **dict.fromkeys(("char", "text", "selection"), _text),
    **dict.fromkeys(("datetime", "timestamp"), _instant),
    "date": _day,
    "numeric": lambda value: Decimal(str(value)),
    "float": lambda value: float(str(value)),
    "boolean": lambda value: str(value).casefold() in {"true", "1"},
}
