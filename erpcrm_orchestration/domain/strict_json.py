"""Reads JSON that a system sent: what other readers guess or round is refused, and the place of it is named.

Refused: NaN and Infinity, numbers out of range or too long, duplicate keys, nesting deeper than 64, lone surrogates,
NUL characters, texts of more than a million characters, a byte order mark, and anything that is not UTF-8.
Numbers with a point are Decimal. The place is looked for only after a refusal, so that good text costs nothing more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from erpcrm_orchestration.domain.errors import InputError

DEEPEST = 64
LONGEST_NUMBER = 100
LONGEST_TEXT = 1_000_000
LARGEST_EXPONENT = 308
REMEDY = "correct it at the source"

_SUSPECT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_SURROGATE = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}:,]|[^\s\[\]{}:,"]+', re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class _Refused(Exception):
    """A hook refuses a value; it does not know where it stands."""


@dataclass(frozen=True)
class _Fault:
    code: str
    found: str


@dataclass
class _Level:
    """A list or object that is open: `step` is the index or key that the reader stands at."""

    is_object: bool
    step: int | str = 0
    expects_key: bool = False
    keys: set[str] = field(default_factory=set)

    def after_comma(self) -> None:
        if self.is_object:
            self.expects_key = True
        elif isinstance(self.step, int):
            self.step += 1


def loads(text: str | bytes, *, where: str = "") -> object:
    """Return the value of a JSON text; raise InputError E-SRC-001 to 011, 031 or 054 with the place ($.lines.0.total)."""
    content = _decoded(text, where) if isinstance(text, bytes) else text
    if content.startswith("\ufeff"):
        _refuse("E-SRC-009", where, "$", "begins with a byte order mark")
    try:
        value: object = _DECODER.decode(content)
    except (_Refused, RecursionError):
        _locate(content, where)
    except json.JSONDecodeError as error:
        _locate(content, where, error)
    if _needs_look(content, value):
        _locate(content, where, look=True)
    return value


def number(text: str) -> Decimal:
    """Return a JSON number as Decimal; raise ValueError when it is too long or its exponent is out of range."""
    if len(text) > LONGEST_NUMBER:
        raise ValueError("too long")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError("out of range") from None
    if abs(value.adjusted()) > LARGEST_EXPONENT:
        raise ValueError("out of range")
    return value


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Refused
    return made


def _decimal(text: str) -> Decimal:
    try:
        return number(text)
    except ValueError:
        raise _Refused from None


def _integer(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise _Refused
    return int(text)


def _constant(_: str) -> NoReturn:
    raise _Refused


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_decimal, parse_int=_integer, parse_constant=_constant)


def _needs_look(content: str, value: object) -> bool:
    """True when a text may hold what the decoder lets through; mostly a search for a few characters."""
    if _SUSPECT.search(content) or len(content) > LONGEST_TEXT:
        return True
    if not content.isascii() and _SURROGATE.search(content):
        return True
    return content.count("[") + content.count("{") > DEEPEST and _is_deep(value)


def _is_deep(value: object) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEEPEST):
        parts = (part for one in level for part in (one.values() if isinstance(one, dict) else one))
        level = [part for part in parts if isinstance(part, dict | list)]
        if not level:
            return False
    return True


def _decoded(data: bytes, where: str) -> str:
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"} or b"\x00" in data[:4]:
        _refuse("E-SRC-010", where, "$", "is UTF-16 or UTF-32")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = place_at(data[: error.start].decode("utf-8"), error.start)
        _refuse("E-SRC-011", where, place, f"byte 0x{data[error.start]:02x} is not UTF-8")


def place_at(text: str, position: int) -> str:
    """Return the path of what stands at the position of the text, as $.lines.0.total."""
    path = "$"
    for start, _, levels, _ in _tokens(text):
        if start > position:
            break
        path = _path(levels)
    return path


def _locate(text: str, where: str, error: json.JSONDecodeError | None = None, *, look: bool = False) -> None:
    """Raise InputError for the first fault of the text. Returns only when the second `look` at good text finds nothing."""
    place = "$"
    for start, word, levels, is_key in _tokens(text):
        if error is not None and start > error.pos:
            break
        place = _path(levels) if len(levels) <= DEEPEST else place
        fault = _fault(word, levels, is_key)
        if fault is not None:
            _refuse(fault.code, where, place, fault.found)
    if error is not None:
        _refuse("E-SRC-054", where, place, f"not JSON: {error.msg}")
    if not look:
        _refuse("E-SRC-054", where, "$", "not JSON")


def _tokens(text: str) -> Iterator[tuple[int, str, list[_Level], bool]]:
    """Yield (position, word, open levels, whether it is a key) of every value, key and opening bracket."""
    levels: list[_Level] = []
    for found in _TOKEN.finditer(text):
        word = found[0]
        if word in "]}":
            levels[-1:] = []
        elif word == "," and levels:
            levels[-1].after_comma()
        elif word == ":" and levels:
            levels[-1].expects_key = False
        elif word not in ":,":
            is_key = bool(levels) and levels[-1].expects_key
            if is_key:
                levels[-1].step = word.strip('"')
            yield found.start(), word, levels, is_key
            if word in "[{":
                levels.append(_Level(word == "{", "" if word == "{" else 0, word == "{"))


def _fault(word: str, levels: list[_Level], is_key: bool) -> _Fault | None:
    if word in "[{":
        return _Fault("E-SRC-006", f"nested deeper than {DEEPEST}") if len(levels) >= DEEPEST else None
    if word.startswith('"'):
        return _text_fault(word, levels[-1] if is_key else None)
    if word in {"NaN", "Infinity", "-Infinity"}:
        return _Fault("E-SRC-001", f"{word} is not a JSON number")
    return _number_fault(word) if _NUMBER.fullmatch(word) else None


def _text_fault(word: str, level: _Level | None) -> _Fault | None:
    try:
        value = str(json.loads(word))
    except ValueError:
        return None
    if "\x00" in value:
        return _Fault("E-SRC-008", "a NUL character")
    if _SURROGATE.search(value):
        return _Fault("E-SRC-007", "half of a surrogate pair")
    if len(value) > LONGEST_TEXT:
        return _Fault("E-SRC-031", f"a text of {len(value)} characters, more than {LONGEST_TEXT}")
    if level is not None and value in level.keys:
        return _Fault("E-SRC-005", "the key stands twice")
    if level is not None:
        level.keys.add(value)
    return None


def _number_fault(word: str) -> _Fault | None:
    if len(word) > LONGEST_NUMBER:
        return _Fault("E-SRC-003", f"a number of {len(word)} characters, more than {LONGEST_NUMBER}")
    if set(word) & set(".eE"):
        try:
            number(word)
        except ValueError:
            return _Fault("E-SRC-002", f"{word[:30]} is out of range")
    return None


def _path(levels: list[_Level]) -> str:
    return ".".join(["$", *(str(level.step) for level in levels if level.step != "")])


def _refuse(code: str, where: str, place: str, found: str) -> NoReturn:
    raise InputError(code, f"{where} {place}".strip(), found, REMEDY)
