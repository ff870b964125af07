"""What a record of a system is to us: its id, its version, whether it is deleted, or why it is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from erpcrm_orchestration.clients.json_page import CutShort, NotThere, value_at
from erpcrm_orchestration.clients.rest_request import text
from erpcrm_orchestration.domain.connection import ChangeMode, Reading
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.json_path import ABSENT, at, here, part_of
from erpcrm_orchestration.domain.received import Received
from erpcrm_orchestration.domain.strict_json import loads
from erpcrm_orchestration.domain.values import instant, shown

LONGEST_ID = 200
REMEDY = "correct it at the source"
NO_DATE = ("0000-", "-0001-", "0001-01-01")
"""How systems write that there is no date."""


def received(raw: bytes, reading: Reading) -> Received:
    """Return the record; one that is no good keeps its text and says why in `fault`, with its id when that can be read."""
    try:
        record = loads(raw)
        if not isinstance(record, dict):
            raise InputError("E-SRC-014", "$", f"{type(record).__name__} instead of a record", REMEDY)
        source_id = identity(record, reading.record_id, reading.record_segment)
    except InputError as error:
        return Received(_salvaged(raw, reading), shown_bytes(raw), fault=str(error))
    payload = raw.decode()
    deleted = is_deleted(record, reading)
    try:
        return Received(source_id, payload, version(record, reading), deleted)
    except InputError as error:
        return Received(source_id, payload, deleted=deleted, fault=str(error))


def is_deleted(record: object, reading: Reading) -> bool:
    """True when a record says of itself that it is deleted, or lies in a trash."""
    if reading.deleted is not None and at(record, reading.deleted) not in (ABSENT, None, False):
        return True
    return any(word_at(record, path, words) is not None for path, words in reading.deleted_when.items())


def word_at(record: object, path: str, words: Collection[str]) -> str | None:
    """Return the one of these words that stands at a path, as text; None when something else does, or nothing."""
    value = here(record, path)
    return None if value is None or text(value) not in words else text(value)


def identity(record: object, path: str, segment: int | None = None) -> str:
    """Return the id at the path, or its n-th part: a whole number or a text; raise InputError E-SRC-016 for any other."""
    value = at(record, path)
    place = f"$.{path}"
    if value is ABSENT or value is None or value == "":
        raise InputError("E-SRC-016", place, "no id" if value != "" else "an empty id", REMEDY)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InputError("E-SRC-016", place, f"{shown(str(value))} is not an id", "an id is a whole number or a text")
    text = str(value) if segment is None else part_of(str(value), segment)
    if text is None:
        raise InputError("E-SRC-016", place, f"{shown(str(value))} has no part {segment}", REMEDY)
    if text != text.strip() or not text.isprintable() or len(text) > LONGEST_ID:
        raise InputError(
            "E-SRC-016", place, f"{shown(text)} is not an id", f"no blanks around it, at most {LONGEST_ID} characters"
        )
    return text


def version(record: object, reading: Reading) -> datetime | None:
    """Return the instant of the record's last change, None when the system knows none.

    A date far in the future is kept: it is the system's word. Raises InputError E-SRC-018 for what is no instant, and for
    a missing key where changes are read by it.
    """
    if reading.modified is None:
        return None
    place, value = f"$.{reading.modified}", at(record, reading.modified)
    if value is ABSENT and reading.mode is ChangeMode.CURSOR:
        raise InputError("E-SRC-018", place, "no date of change", REMEDY)
    if value is ABSENT or value in (None, "") or str(value).startswith(NO_DATE):
        return None
    if isinstance(value, bool | dict | list):
        raise InputError("E-SRC-018", place, f"{shown(str(value))} is not an instant", REMEDY)
    if reading.modified_format == "epoch_ms" and str(value).isdigit():
        value = Decimal(str(value)) / 1000
    try:
        return instant(value, zone=reading.modified_zone, where=place)
    except InputError as error:
        raise InputError("E-SRC-018", place, error.found, error.remedy) from None


def faulty(record: Received, code: str, place: str, found: str, remedy: str = REMEDY) -> Received:
    """Return the record as refused, with the reason in the form of every error."""
    fault = str(InputError(code, place, found, remedy))
    return Received(record.source_id, record.payload, record.version_at, record.deleted, fault)


def shown_bytes(raw: bytes) -> str:
    """Return a refused record as text that can be kept: what is not UTF-8, and NUL, is escaped."""
    return raw.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def _salvaged(raw: bytes, reading: Reading) -> str:
    """Return the id of a record that is refused for something else; without one, a name made from its content."""
    try:
        start, end = value_at(raw, reading.record_id)
        return identity({"id": loads(raw[start:end])}, "id", reading.record_segment)
    except (InputError, CutShort, NotThere):
        return "?" + hashlib.sha256(raw).hexdigest()[:32]


def place_of(record: object, path: str) -> str | None:
    """Return the text at a path of a record when there is one that is not empty."""
    value = here(record, path)
    return value if isinstance(value, str) and value else None
