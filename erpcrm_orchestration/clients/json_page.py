"""Cuts an answer into its records, byte for byte, so that a record that is no good never takes its neighbours with it.

msgspec cuts a well-formed page without building values. When it refuses the page, a slower cutter that looks at
brackets and quotes alone still finds where each record begins and ends.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache

import msgspec

from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.strict_json import loads

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
# The last alternative is a text that never ends: what follows its quote belongs to it, brackets included.
_MARK = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]|"', re.DOTALL)
_MARKS_OF = {b"[": b"list", b"{": b"object"}


class CutShort(Exception):
    """The text ends before its last bracket: the rest of the answer was lost."""


class NotThere(Exception):
    """The answer has no list, or nothing, at the path; the text says what stands there."""


@dataclass(frozen=True)
class Slices:
    """The records as they came, and the parsed rest of the answer, in which their list is empty."""

    records: list[bytes]
    envelope: object


@dataclass(frozen=True)
class Part:
    """A member of a list or an object: where its value begins and ends. `key` is its name or index."""

    key: str
    start: int
    end: int


def records_of(body: bytes, path: str) -> Slices:
    """Return the records at the path ("" is the whole answer).

    Raises CutShort, NotThere when no list stands there, InputError E-SRC-0nn when the rest of the answer is refused.
    """
    start, end = value_at(body, path)
    text = body[start:end]
    if not text.startswith(b"["):
        raise NotThere(_kind(text))
    envelope = loads(body[:start] + b"[]" + body[end:])
    try:
        return Slices([bytes(one) for one in _LIST.decode(text)], envelope)
    except (msgspec.DecodeError, RecursionError):
        return Slices([text[part.start : part.end] for part in parts_of(text)], envelope)


def value_at(body: bytes, path: str) -> tuple[int, int]:
    """Return where the value at the path begins and ends in the text; raise CutShort, NotThere or InputError."""
    if body.startswith(b"\xef\xbb\xbf") or b"\x00" in body[:4] or body[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        loads(body)
    start, end = _trimmed(body, 0, len(body))
    for step in [step for step in path.split(".") if step]:
        found = _member(body[start:end], step)
        start, end = start + found.start, start + found.end
    return start, end


def spliced(record: bytes, into: str, part: bytes) -> bytes:
    """Return the record with `part` at the dotted path `into`; every other value stays as it came, byte for byte.

    Raises NotThere when the path leads through something else than objects.
    """
    step, _, rest = into.partition(".")
    members = _members(record)
    members[step] = spliced(members.get(step, b"{}"), rest, part) if rest else part
    return b"{" + b",".join(_key(key) + b":" + value for key, value in members.items()) + b"}"


def parts_of(text: bytes) -> list[Part]:
    """Return the members of a list or object by its brackets and quotes alone; raise CutShort when it does not end."""
    parts: list[Part] = []
    depth, start, key = 0, 1, ""
    for mark in _MARK.finditer(text, 1):
        sign = mark[0]
        if sign == b'"':
            break
        if sign in b"[{":
            depth += 1
        elif sign in b"]}" and depth:
            depth -= 1
        elif depth or sign.startswith(b'"'):
            continue
        elif sign == b":":
            key, start = _name(text[start : mark.start()]), mark.end()
        else:
            _add(parts, text, key, (start, mark.start()))
            key, start = "", mark.end()
            if sign != b",":
                return _whole(parts, text[start:])
    raise CutShort


def is_cut(text: bytes) -> bool:
    """True when a list or object does not end."""
    stripped = text.strip()
    if stripped[:1] not in {b"{", b"["}:
        return False
    try:
        parts_of(stripped)
    except CutShort:
        return True
    except InputError:
        return False
    return False


def _members(record: bytes) -> dict[str, bytes]:
    if not record.startswith(b"{"):
        raise NotThere(_kind(record))
    try:
        return {key: bytes(value) for key, value in _OBJECT.decode(record).items()}
    except (msgspec.DecodeError, RecursionError):
        # A part that was put in before may hold what no JSON has; the strict reading of the whole names its place.
        return {part.key: record[part.start : part.end] for part in parts_of(record)}


def _add(parts: list[Part], text: bytes, key: str, span: tuple[int, int]) -> None:
    start, end = _trimmed(text, *span)
    if start < end:
        parts.append(Part(key or str(len(parts)), start, end))


def _whole(parts: list[Part], rest: bytes) -> list[Part]:
    if rest.strip():
        raise InputError("E-SRC-054", "$", "not JSON: more text after the end", "correct it at the source")
    return parts


def _member(text: bytes, step: str) -> Part:
    if text[:1] not in {b"{", b"["}:
        raise NotThere(_kind(text))
    quick = _quick_member(text, step) if text.startswith(b"{") else None
    if quick is not None:
        return quick
    found = [part for part in parts_of(text) if part.key == step]
    if len(found) > 1:
        raise InputError("E-SRC-005", f"$.{step}", "the key stands twice", "correct it at the source")
    if not found:
        raise NotThere("nothing")
    return found[0]


def _quick_member(text: bytes, step: str) -> Part | None:
    """Return the member when its text stands only once in the object, so that its place is sure."""
    try:
        raw = _OBJECT.decode(text).get(step)
    except (msgspec.DecodeError, RecursionError):
        return None
    if raw is None:
        return None
    value = bytes(raw)
    start = text.find(value)
    # What is as long as half of the object cannot stand in it twice.
    return Part(step, start, start + len(value)) if len(value) * 2 > len(text) else None


def _trimmed(text: bytes, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start] in b" \t\r\n":
        start += 1
    while end > start and text[end - 1] in b" \t\r\n":
        end -= 1
    return start, end


def _name(text: bytes) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return ""


@cache
def _key(name: str) -> bytes:
    return json.dumps(name, ensure_ascii=False).encode()


def _kind(text: bytes) -> str:
    first = text.lstrip()[:1]
    if first in _MARKS_OF:
        return f"an {_MARKS_OF[first].decode()}" if first == b"{" else "a list"
    if first == b'"':
        return "a text"
    return "a null" if text.strip() == b"null" else "nothing" if not text.strip() else "a number or word"
