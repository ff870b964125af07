"""Corrections of received records: values put into a payload, the difference to the original, and a chain that proves them.

Numbers keep every digit: what is not corrected is written as it was read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import zip_longest

from erpcrm_orchestration.domain.errors import InputError, did_you_mean
from erpcrm_orchestration.domain.json_path import ABSENT, at
from erpcrm_orchestration.domain.strict_json import loads

FIRST_HASH = "0" * 64
"""What stands before the first row of the chain."""
SET = "erpcrm inbox fix --set"


@dataclass(frozen=True)
class Assignment:
    """A value as a person typed it for a place of a payload. `is_json`: it was typed with `:=`."""

    path: str
    text: str
    is_json: bool = False


@dataclass(frozen=True)
class Change:
    """What differs at a place, as JSON texts; None stands for nothing at all."""

    path: str
    before: str | None
    after: str | None


def assignment(typed: str) -> Assignment:
    """Return `path=value` or `path:=json` in its parts; raise InputError E-COR-008 when it is neither."""
    path, equals, text = typed.partition("=")
    is_json = path.endswith(":")
    path = path.removesuffix(":").strip().removeprefix("$.")
    if not equals or not path:
        raise InputError("E-COR-008", SET, f"{typed!r} is not PATH=VALUE", "write --set billing.email=ana@example.com")
    return Assignment(path, text, is_json)


def corrected(record: object, assignments: Sequence[Assignment], removed: Sequence[str] = ()) -> object:
    """Return a copy of a record with the values put in; raise InputError E-COR-007 or 008 for a place that is not there.

    A text takes the place of a text as it was typed. Elsewhere a value is read as JSON, and what is no JSON is a text.
    """
    made = deepcopy(record)
    paths = [*(one.path for one in assignments), *(path.removeprefix("$.") for path in removed)]
    for path in paths:
        if paths.count(path) > 1:
            raise InputError("E-COR-008", SET, f"{path} is given twice", "give it once")
    for one in assignments:
        _put(made, one.path, _value(at(made, one.path), one))
    for path in paths[len(assignments) :]:
        _take_away(made, path)
    return made


def _value(present: object, one: Assignment) -> object:
    if isinstance(present, str) and not one.is_json:
        return one.text
    try:
        return loads(one.text)
    except InputError as error:
        # A text that is no JSON: NaN and the like are meant as numbers and refused.
        if one.is_json or error.code != "E-SRC-054":
            raise InputError("E-COR-008", f"{SET} {one.path}", error.found, "give a JSON value") from None
        return one.text


def _place(record: object, path: str) -> tuple[dict[str, object] | list[object], str | int]:
    """Return the container of a place, and its key or index there; the key itself may be new."""
    if isinstance(record, dict) and path in record:
        return record, path
    above, _, last = path.rpartition(".")
    holder = at(record, above)
    if isinstance(holder, dict):
        return holder, last
    if isinstance(holder, list) and last.isascii() and last.isdigit() and int(last) <= len(holder):
        return holder, int(last)
    known = [change.path.removeprefix("$.") for change in difference(None, record)]
    raise InputError("E-COR-007", f"{SET} {path}", "the record has no such place", did_you_mean(path, known))


def _put(record: object, path: str, value: object) -> None:
    holder, key = _place(record, path)
    if isinstance(holder, list) and key == len(holder):
        holder.append(value)
    else:
        holder[key] = value  # type: ignore[index]  # _place gives a key to an object and an index to a list


def _take_away(record: object, path: str) -> None:
    holder, key = _place(record, path)
    if at(record, path) is ABSENT:
        raise InputError("E-COR-007", f"erpcrm inbox fix --remove {path}", "nothing stands there", "leave it out")
    del holder[key]  # type: ignore[arg-type]  # _place gives a key to an object and an index to a list


def written(value: object) -> str:
    """Return a value as JSON text on one line; a Decimal with all of its digits."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(str(key))}: {written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(written(one) for one in value) + "]"
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def difference(before: object, after: object, path: str = "$") -> list[Change]:
    """Return every place that differs, in the order of the record; a list is compared by position."""
    return list(_different(before, after, path))


def _different(before: object, after: object, path: str) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _different(before.get(key, ABSENT), after.get(key, ABSENT), f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list):
        for position, (old, new) in enumerate(zip_longest(before, after, fillvalue=ABSENT)):
            yield from _different(old, new, f"{path}.{position}")
    elif before is None and isinstance(after, dict) and path == "$":
        yield from _different({}, after, path)
    else:
        old_text, new_text = _text(before), _text(after)
        if old_text != new_text:
            yield Change(path, old_text, new_text)


def _text(value: object) -> str | None:
    return None if value is ABSENT else written(value)


# --- the chain --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A row of the audit of corrections. `at` is an aware instant.

    `action` is `fix`, `relaunch` or what else a person did to a record; a dataset of the data hub has its number, and no
    message: 0.
    """

    at: datetime
    actor: str
    action: str
    reason: str
    dossier_code: str
    message_id: int
    corrected_message_id: int | None
    difference: tuple[Change, ...]
    dataset_number: int | None = None

    def row_hash(self, previous_hash: str) -> str:
        """Return SHA-256 of the row's canonical JSON and the hash before it, as 64 hexadecimal digits."""
        content = {
            **vars(self),
            "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "difference": [vars(one) for one in self.difference],
            "previous_hash": previous_hash,
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Link:
    """An entry as it is stored in the chain."""

    entry: Entry
    previous_hash: str
    row_hash: str


def chained(entries: Iterable[Entry], previous_hash: str) -> Iterator[Link]:
    """Yield the entries as links that follow the given hash."""
    for entry in entries:
        row_hash = entry.row_hash(previous_hash)
        yield Link(entry, previous_hash, row_hash)
        previous_hash = row_hash


def broken(link: Link, previous_hash: str) -> str | None:
    """Return why a link does not follow the hash before it, None when it does."""
    if link.previous_hash != previous_hash:
        return "the row before it was removed or replaced"
    if link.row_hash != link.entry.row_hash(link.previous_hash):
        return "it was changed after it was written"
    return None


def changes_of(rows: Iterable[Mapping[str, str | None]]) -> tuple[Change, ...]:
    """Return a stored difference as changes."""
    return tuple(Change(str(row["path"]), row["before"], row["after"]) for row in rows)
