"""The kinds of value that the YAML knows: each parses strictly, says its rule in words, and shows itself in the JSON Schema."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, time
from enum import Enum
from functools import cache
from typing import Annotated
from zoneinfo import available_timezones

from email_validator import EmailNotValidError, validate_email
from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from erpcrm_orchestration.domain.errors import one_line
from erpcrm_orchestration.domain.secret import REFERENCE

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Words of the ISO weekdays 1 to 7."""
CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
DOSSIER_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,15}")
IDENTIFIER_LENGTH = 128
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def refused(rule: str) -> PydanticCustomError:
    """Return the error of a value that is not `rule`."""
    return PydanticCustomError("refused", "{rule}", {"rule": rule})


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise refused("a text")
    if one_line(value) != value:
        raise refused("a text of one line")
    return value


def _name(value: object) -> str:
    return "" if value == "" else _text(value)


def _block(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise refused("a text")
    return value


def _identifier(value: object) -> str:
    text = _text(value)
    if len(text) > IDENTIFIER_LENGTH:
        raise refused(f"a name of at most {IDENTIFIER_LENGTH} characters")
    return text


def _time_of_day(value: object) -> time:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise refused('a time "HH:MM" from "00:00" to "23:59"')
    return time(int(found[1]), int(found[2]))


def _date(value: object) -> date:
    try:
        return date.fromisoformat(value if isinstance(value, str) and len(value) == 10 else "")
    except ValueError:
        raise refused("a date YYYY-MM-DD") from None


def _days(value: object) -> tuple[int, ...]:
    rule = f"a list of days out of {', '.join(DAYS)}"
    if not isinstance(value, list) or not value or not all(isinstance(day, str) and day in DAYS for day in value):
        raise refused(rule)
    if len(set(value)) < len(value):
        raise refused(f"{rule}, each once")
    return tuple(sorted(DAYS.index(day) + 1 for day in value))


@cache
def time_zones() -> frozenset[str]:
    """Return the names of the zones that this machine knows; `localtime` is none, as it differs between machines."""
    return frozenset(available_timezones() - {"localtime"})


def _time_zone(value: object) -> str:
    if not isinstance(value, str) or value not in time_zones():
        raise PydanticCustomError("time_zone", "a time zone of the IANA database")
    return value


def _address(value: object) -> str:
    try:
        validate_email(value if isinstance(value, str) else "", check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise refused("one mail address, as name@example.com") from None
    return str(value)


def _port(value: object) -> str:
    if isinstance(value, str) and REFERENCE.fullmatch(value):
        return value
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 65535:
        raise refused("a port from 1 to 65535 or ${env:NAME}")
    return text


def _country(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z]{2}", value):
        raise refused('an ISO 3166 country of two letters, as "FR"')
    return value


Text = Annotated[str, BeforeValidator(_text), Field(min_length=1)]
Name = Annotated[str, BeforeValidator(_name)]
Block = Annotated[str, BeforeValidator(_block), Field(min_length=1)]
Identifier = Annotated[str, BeforeValidator(_identifier), Field(min_length=1, max_length=IDENTIFIER_LENGTH)]
TimeOfDay = Annotated[
    time, BeforeValidator(_time_of_day), WithJsonSchema({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"})
]
Day = Annotated[date, BeforeValidator(_date), WithJsonSchema({"type": "string", "format": "date"})]
Days = Annotated[
    tuple[int, ...],
    BeforeValidator(_days),
    WithJsonSchema(
        {"type": "array", "items": {"type": "string", "enum": list(DAYS)}, "minItems": 1, "maxItems": 7, "uniqueItems": True}
    ),
]
TimeZone = Annotated[str, BeforeValidator(_time_zone)]
Address = Annotated[str, BeforeValidator(_address), WithJsonSchema({"type": "string", "format": "email"})]
Port = Annotated[
    str,
    BeforeValidator(_port),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string"}]}),
]
Country = Annotated[str, BeforeValidator(_country), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{2}$"})]
AlertMinutes = Annotated[int, Field(ge=0, le=10080)]


@dataclass(frozen=True)
class Word:
    """Makes an enumeration take exactly its words, as they are written."""

    def __get_pydantic_core_schema__(self, source: type[Enum], handler: GetCoreSchemaHandler) -> CoreSchema:
        words = {member.value: member for member in source}

        def parse(text: object) -> Enum:
            if not isinstance(text, str) or text not in words:
                raise refused(f"one of {', '.join(words)}")
            return words[text]

        return core_schema.no_info_plain_validator_function(
            parse,
            metadata={"words": list(words)},
            serialization=core_schema.plain_serializer_function_ser_schema(lambda member: member.value),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "enum": schema.get("metadata", {}).get("words", [])}


WORD = Word()
