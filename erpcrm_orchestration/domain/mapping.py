"""From a record of a system to rows of ours: a mapping is compiled once and then applied to every record.

References stay the other system's ids here; the store gives them ours, for a whole batch at once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

from erpcrm_orchestration.domain.casts import Cast, Json, Refused, cast_for, words
from erpcrm_orchestration.domain.connection import ChildMap, EntityMapping, FieldMap
from erpcrm_orchestration.domain.entity import ADDRESS_FIELDS, Child, Entity, Field, Kind
from erpcrm_orchestration.domain.json_path import part_of

MOST_ROWS = 10_000
"""The most rows of one child; a record with more is refused, it would not fit a batch."""

Row = tuple[Any, ...]
Get = Callable[[Json], Any]


class _Missing:
    """Stands for a path that the record does not have."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


@dataclass(frozen=True)
class Address:
    """The parts in the order of ADDRESS_FIELDS, and the hash that is their key."""

    address_hash: str
    parts: Row


@dataclass(frozen=True)
class Lookup:
    """A word that a value mapping of this kind must know."""

    kind: str
    word: str


@dataclass
class MappedRecord:
    """`header`: the values of the mapped fields in their order. `children`: child -> (key, position, values of its fields).

    A reference is the other system's id, an address an Address, a word of a value mapping a Lookup.
    """

    header: Row
    children: dict[str, list[tuple[str, int, Row]]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class CompiledMapping:
    """`fields` and `child_fields` are the target fields that the mapping fills, in the order of its rows."""

    def __init__(self, entity: Entity, mapping: EntityMapping, known: Iterable[str] = ()) -> None:
        """`known` are further paths that are read, so that their keys are no drift."""
        self.entity, self.mapping = entity, mapping
        self.fields = [one for one in entity.fields if one.name in mapping.fields]
        self._header = [_reader(one, mapping.fields[one.name]) for one in self.fields]
        self._children = [_ChildReader(child, one) for one in mapping.children if (child := entity.child(one.child))]
        self.child_fields = {reader.child.name: reader.fields for reader in self._children}
        self._required = [(path, _getter(path)) for path in mapping.required]
        self._known = _known_keys(mapping, known)
        self._unknown_word = [
            (position, one.name, _getter(mapping.fields[one.name].path or ""))
            for position, one in enumerate(self.fields)
            if mapping.fields[one.name].otherwise == UNKNOWN
        ]

    def apply(self, record: Mapping[str, Any]) -> MappedRecord:
        """Return the rows of a record; raise Refused with the path of what is missing or not meant."""
        for path, get in self._required:
            if get(record) is MISSING:
                raise Refused(f"$.{path}", "missing", "E-MAP-002")
        mapped = MappedRecord(tuple([read(record) for read in self._header]))
        for reader in self._children:
            mapped.children[reader.child.name] = reader.rows(record)
        for position, name, get in self._unknown_word:
            if mapped.header[position] == UNKNOWN:
                mapped.warnings.append(f"unknown {name} {str(get(record))[:60]!r}")
        return mapped

    def sources(self) -> Iterator[FieldMap]:
        """Yield where every field comes from, those of the children included."""
        yield from self.mapping.fields.values()
        for one in self.mapping.children:
            yield from one.fields.values()

    def unknown_keys(self, record: Mapping[str, Any]) -> set[str]:
        """Return the top-level keys that the mapping does not know: drift of the source."""
        return set() if self._known is None else record.keys() - self._known


BOOLEANS: Mapping[str, bool] = {"true": True, "false": False}
UNKNOWN = "UNKNOWN"
"""What a status becomes that the mapping has no word for: kept, and a warning."""


class _ChildReader:
    def __init__(self, child: Child, mapping: ChildMap) -> None:
        self.child = child
        self.fields = [one for one in child.fields if one.name in mapping.fields]
        self._path = f"$.{mapping.records}" if mapping.records else "$"
        self._list = _getter(mapping.records)
        self._key = _getter(mapping.key) if mapping.key else None
        self._key_path = mapping.key
        self._reads = [_reader(one, mapping.fields[one.name]) for one in self.fields]

    def rows(self, record: Mapping[str, Any]) -> list[tuple[str, int, Row]]:
        found = self._list(record)
        if found is MISSING or found is None:
            return []
        if type(found) is dict:
            found = list(found.values())
        if type(found) is not list:
            raise Refused(self._path, "not a list")
        if len(found) > MOST_ROWS:
            raise Refused(self._path, f"{len(found)} rows, {MOST_ROWS} at most")
        rows = [self._row(one, position) for position, one in enumerate(found)]
        keys = self._keys(found, rows)
        return [(key, position, row) for position, (key, row) in enumerate(zip(keys, rows, strict=True))]

    def _row(self, one: Json, position: int) -> Row:
        try:
            return tuple([read(one) for read in self._reads])
        except Refused as error:
            raise Refused(f"{self._path}.{position}{error.path.removeprefix('$')}", error.found, error.code) from None

    def _keys(self, found: Sequence[Any], rows: Sequence[Row]) -> list[str]:
        if self._key is None:
            return _content_keys(rows)
        keys = [self._own_key(one, position) for position, one in enumerate(found)]
        if len(set(keys)) < len(keys):
            twice = Counter(keys).most_common(1)[0][0]
            raise Refused(self._path, f"two rows with {self._key_path} {twice}")
        return keys

    def _own_key(self, one: Json, position: int) -> str:
        value = self._key(one) if self._key else None
        if type(value) not in (str, int) or value == "":
            raise Refused(f"{self._path}.{position}.{self._key_path}", "not an id")
        return str(value)


def _content_keys(rows: Sequence[Row]) -> list[str]:
    """Return a key for each row that has no id of its own: its content, and which of the equal ones it is."""
    seen: Counter[Row] = Counter()
    keys = []
    for row in rows:
        seen[row] += 1
        keys.append(f"{hashlib.sha256(repr(row).encode()).hexdigest()[:24]}-{seen[row]}")
    return keys


def _reader(target: Field, source: FieldMap) -> Get:
    """Return what reads a field's value from a record."""
    if target.kind is Kind.ADDRESS:
        return _address_reader(target, source)
    if not target.required and _is_plain(source):
        return _plain_reader(source.path or "", cast_for(target.kind, source.zone))
    path = source.path or ""
    get, cast, shown_path = _getter(path), cast_for(target.kind, source.zone), f"$.{path}" if path else "$"
    constant = None if source.constant is None else cast(_own_word(target, source.constant), target.name)
    change = _change(source, shown_path)

    def read(record: Json) -> Json:
        value = get(record)
        if value is MISSING:
            if target.required:
                raise Refused(shown_path, "missing", "E-MAP-002")
            return None
        if change is not None and value is not None:
            value = _own_word(target, change(value))
        found = None if value is None else cast(value, shown_path)
        if found is None and target.required:
            raise Refused(shown_path, "no value", "E-MAP-002")
        return found

    if source.constant is not None:
        return lambda record: constant
    if source.lookup is not None:
        return _looked_up(read, source.lookup)
    return read


def _is_plain(source: FieldMap) -> bool:
    """True when a field is what stands under one key of the record, cast to its kind and no more."""
    as_it_is = source.constant is None and source.lookup is None and _change(source, "") is None
    return as_it_is and bool(source.path) and "." not in (source.path or "")


def _plain_reader(key: str, cast: Cast) -> Get:
    """Return what reads the value of a key: most fields are no more than that."""
    path = f"$.{key}"

    def read(record: Json) -> Json:
        value = record.get(key) if type(record) is dict else None
        return None if value is None else cast(value, path)

    return read


def _own_word(target: Field, value: Json) -> Json:
    """Return what a word that the mapping itself gave means: of a BOOLEAN, true and false are no texts."""
    return BOOLEANS.get(value, value) if target.kind is Kind.BOOLEAN and type(value) is str else value


def _looked_up(read: Get, kind: str) -> Get:
    def read_word(record: Json) -> Lookup | None:
        word = read(record)
        return None if word is None else Lookup(kind, word)

    return read_word


def _change(source: FieldMap, path: str) -> Get | None:
    """Return what is done to a value before its cast, or None when nothing is."""
    if not (source.segment is not None or source.none or source.values or source.otherwise or source.factor):
        return None
    nothing, meanings, factor = frozenset(source.none), source.values, source.factor and Decimal(source.factor)

    def change(value: Json) -> Json:
        if source.segment is not None:
            value = _segment(value, source.segment, path)
        if nothing and words(value, path) in nothing:
            return None
        if meanings or source.otherwise is not None:
            value = _meaning(words(value, path), meanings, source.otherwise, path)
        if factor is not None:
            value = cast_for(Kind.DECIMAL, "UTC")(value, path) * factor
        return value

    return change


def _segment(value: Json, number: int, path: str) -> str:
    part = part_of(words(value, path), number)
    if part is None:
        raise Refused(path, f"{str(value)[:60]!r} has no part {number}")
    return part


def _meaning(word: str, meanings: Mapping[str, str], otherwise: str | None, path: str) -> str:
    found = meanings.get(word)
    if found is not None:
        return found
    if otherwise is None:
        raise Refused(path, f"the word {word[:60]!r} has no meaning in the mapping")
    return word if otherwise == "=" else otherwise


def _address_reader(target: Field, source: FieldMap) -> Get:
    below = _getter(source.path) if source.path else None
    prefix = f"$.{source.path}" if source.path else "$"
    reads = [
        _reader(Field(name), source.fields[name]) if name in source.fields else None for name in ADDRESS_FIELDS
    ]  # fmt: skip

    def read(record: Json) -> Address | None:
        place = below(record) if below else record
        if place is MISSING or place is None or place in ("", []):
            return None
        if type(place) is not dict:
            raise Refused(prefix, "not an address")
        try:
            parts = tuple([None if one is None else one(place) for one in reads])
        except Refused as error:
            raise Refused(f"{prefix}{error.path.removeprefix('$')}", error.found, error.code) from None
        return address_of(parts)

    return read


@lru_cache(maxsize=65_536)
def address_of(parts: Row) -> Address | None:
    """Return an address by its parts in the order of ADDRESS_FIELDS; None when all are empty."""
    if not any(parts):
        return None
    content = "\x1f".join("" if part is None else part for part in parts)
    return Address(hashlib.sha256(content.encode()).hexdigest()[:40], parts)


def _getter(path: str) -> Get:
    """Return what walks a dotted path; a missing step gives MISSING. An empty path is the record itself."""
    steps = path.split(".") if path else []
    if len(steps) == 1:
        only = steps[0]
        return lambda record: record.get(only, MISSING) if type(record) is dict else MISSING

    def walk(record: Json) -> Json:
        for step in steps:
            if type(record) is dict:
                record = record.get(step, MISSING)
            elif type(record) is list and step.isascii() and step.isdigit():
                record = record[int(step)] if int(step) < len(record) else MISSING
            else:
                return MISSING
        return record

    return walk


def _known_keys(mapping: EntityMapping, known: Iterable[str]) -> frozenset[str] | None:
    """Return the top-level keys that the mapping reads or names as known; None when every key is."""
    if "*" in mapping.known:
        return None
    paths = [*known, *mapping.required, *mapping.where, *(one.records for one in mapping.children), *_paths(mapping.fields)]
    return frozenset({*mapping.known, *(path.partition(".")[0] for path in paths)})


def _paths(fields: Mapping[str, FieldMap]) -> Iterator[str]:
    for one in fields.values():
        if one.path:
            yield one.path
        elif one.fields:
            yield from _paths(one.fields)
