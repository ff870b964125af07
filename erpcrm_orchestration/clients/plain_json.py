"""Typed values of databases and spreadsheets as the text of a JSON record: amounts keep their digits, instants are ISO."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from math import isfinite

import msgspec

_AS_IT_IS = frozenset({str, int, bool, type(None)})
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def record_text(record: Mapping[str, object]) -> bytes:
    """Return the record as JSON in UTF-8.

    What no JSON has (NUL, bytes that are no text) is written as its escape, and the strict reading names its place.
    """
    content = plain(record)
    try:
        return _ENCODER.encode(content)
    except UnicodeEncodeError:
        # A column with bytes that are not in the encoding of the database: only texts with escapes can hold them.
        return json.dumps(content, default=str).encode()


def plain(value: object) -> object:
    """Return the value in the types of JSON; a number without a value, as NaN, becomes a text."""
    if type(value) in _AS_IT_IS:
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, float | Decimal):
        return Decimal(str(value)) if isfinite(value) else str(value)
    return _scalar(value)


def _scalar(value: object) -> object:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return b64encode(bytes(value)).decode() if isinstance(value, bytes | memoryview) else str(value)
