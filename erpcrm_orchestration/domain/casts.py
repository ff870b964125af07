"""From what stands in a payload to the value of a field: strict, and never through a float.

Every cast takes the value and the path it stands at, and raises Refused with that path for what is not meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from erpcrm_orchestration.domain.entity import Kind
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.values import instant, shown

LONGEST_TEXT = 100_000
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,6})?", re.ASCII)
WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_IN_CIRCULATION = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLF CLP
    CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR
    ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT
    MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
    SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES
    VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES = frozenset(_IN_CIRCULATION.split())
"""ISO 4217 codes of money in circulation."""

Json = Any
"""What a parsed payload holds: text, int, Decimal, bool, None, list, dict."""

Cast = Callable[[Json, str], Any]


class Refused(Exception):
    """A record cannot be taken as it is: what stands at `path` is refused."""

    def __init__(self, path: str, found: str, code: str = "E-MAP-001") -> None:
        self.path, self.found, self.code = path, found, code
        super().__init__(f"{code} {path}: {found}")


def cast_for(kind: Kind, zone: str) -> Cast:
    """Return the cast of a kind; a naive instant is in `zone`."""
    if kind is Kind.INSTANT:
        return partial(_instant, zone)
    return CASTS[kind]


def words(value: Json, path: str) -> str:
    """Return a text or number as the word that stands in tables of words."""
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    raise Refused(path, f"{_kind(value)} where a word is expected")


def _text(value: Json, path: str) -> str | None:
    text = value if type(value) is str else words(value, path)
    if len(text) > LONGEST_TEXT:
        raise Refused(path, f"a text of {len(text)} characters, {LONGEST_TEXT} at most")
    return text or None


def _decimal(value: Json, path: str) -> Decimal | None:
    if value == "":
        return None
    text = value if type(value) is str else str(value) if type(value) in (int, Decimal) else None
    if text is None or not NUMBER.fullmatch(text):
        raise Refused(path, f"{_shown(value)} is not a number like 1234.50 with at most 6 digits after the point")
    return Decimal(text)


def _integer(value: Json, path: str) -> int | None:
    if value == "":
        return None
    text = value if type(value) is str else str(value) if type(value) is int else None
    if text is None or not WHOLE.fullmatch(text):
        raise Refused(path, f"{_shown(value)} is not a whole number")
    return int(text)


def _instant(zone: str, value: Json, path: str) -> datetime | None:
    if value == "":
        return None
    if type(value) not in (str, int, Decimal):
        raise Refused(path, f"{_shown(value)} is not an instant")
    try:
        return instant(value, zone=zone, where=path)
    except InputError as error:
        raise Refused(path, error.found) from error


def _date(value: Json, path: str) -> date | None:
    if value == "":
        return None
    try:
        if type(value) is str and len(value) >= 10 and (len(value) == 10 or value[10] in "T "):
            return date.fromisoformat(value[:10])
    except ValueError:
        pass
    raise Refused(path, f"{_shown(value)} is not a date like 2026-01-31")


def _boolean(value: Json, path: str) -> bool:
    if type(value) is bool:
        return value
    raise Refused(path, f"{_shown(value)} is not true or false")


def _currency(value: Json, path: str) -> str | None:
    if value == "":
        return None
    if type(value) is str and value in CURRENCIES:
        return value
    raise Refused(path, f"{_shown(value)} is not a currency of ISO 4217")


def _json(value: Json, path: str) -> str:
    return json.dumps(value, ensure_ascii=False, default=_exact)


def _exact(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(type(value).__name__)


def _reference(value: Json, path: str) -> str | None:
    if type(value) is str:
        if value != value.strip():
            raise Refused(path, f"{_shown(value)} is not an id: blanks around it")
        return value or None
    if type(value) is int:
        return str(value)
    raise Refused(path, f"{_shown(value)} is not an id")


CASTS: dict[Kind, Cast] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.DECIMAL: _decimal,
    Kind.DATE: _date,
    Kind.BOOLEAN: _boolean,
    Kind.CURRENCY: _currency,
    Kind.JSON: _json,
    Kind.REFERENCE: _reference,
}


def _shown(value: object) -> str:
    return shown(value) if isinstance(value, str) else str(value)[:60] if isinstance(value, int | Decimal) else _kind(value)


def _kind(value: object) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case bool():
            return "true or false"
        case None:
            return "null"
        case _:
            return f"the number {str(value)[:60]}"
