"""Records told as a table of tables: one row for each field, with the record's own key and that of its parent.

A row is (table_name, record_key, parent_table, parent_key, field, value, seq). A record whose parent is of another table
stands inside of it, below its table's name without the parent's as prefix: with `seq` as an element of a list, without it
as the only one. A record whose parent is of its own table stands beside it and names it: that is a tree.

A record with the field "" alone is that value. A row without field only says that the record is there; a row without
record_key that its list is there and empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.tree import DEEPEST
from erpcrm_orchestration.domain.values import shown

COLUMNS = ("table_name", "record_key", "parent_table", "parent_key", "field", "value", "seq")
PARENT = "parent_key"
"""The field of a record of a tree that names its parent, unless a row gives it."""
REMEDY = "correct it at the source"

Mark = tuple[str, str]
"""Table and key of a record."""


@dataclass(frozen=True)
class TableRow:
    """One fact. `parent` is (table, key), None for a record that stands for itself."""

    table_name: str
    record_key: str | None
    parent: Mark | None = None
    field: str | None = None
    value: object = None
    seq: int | None = None


@dataclass(frozen=True)
class Assembled:
    """A record of the wanted table, or what is refused: then `record` is None and `fault` says why, with the path to it."""

    key: str
    record: dict[str, object] | None
    fault: str | None = None


@dataclass
class _Node:
    mark: Mark
    parent: Mark | None
    seq: int | None
    fields: dict[str, object] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)
    children: dict[str, list[_Node]] = field(default_factory=dict)
    fault: str | None = None


def row_of(values: Mapping[str, object], place: str = "$") -> TableRow:
    """Return a row from its columns by name; raise InputError E-SRC-061 for one without table, or with half a parent."""
    table, key, parent_table, parent_key = (_text(values.get(name)) for name in COLUMNS[:4])
    name, seq = values.get("field"), _text(values.get("seq"))
    if table is None:
        raise InputError("E-SRC-061", place, "a row without table_name", REMEDY)
    if (parent_table is None) != (parent_key is None):
        raise InputError("E-SRC-061", place, "only one of parent_table and parent_key", "give both, or none")
    if seq is not None and not (seq.lstrip("-").isdigit() and seq.isascii()):
        raise InputError("E-SRC-061", place, f"seq {shown(seq)} is no whole number", REMEDY)
    parent = None if parent_table is None or parent_key is None else (parent_table, parent_key)
    if key is None and parent is None:
        raise InputError("E-SRC-061", place, "a row without record_key", REMEDY)
    named = None if name is None else str(name)
    return TableRow(table, key, parent, named, values.get("value"), None if seq is None else int(seq))


def _text(value: object) -> str | None:
    return None if value is None or str(value) == "" else str(value)


def flatten(record: Mapping[str, object], table: str, key: str) -> Iterator[TableRow]:
    """Yield the rows of a nested record, such that `assemble` gives it back; raise ValueError for an empty name in it."""
    yield from _flat(record, TableRow(table, key), (f"{key}/{number}" for number in count(1)))


def _flat(value: object, own: TableRow, keys: Iterator[str]) -> Iterator[TableRow]:
    yield own
    if not isinstance(value, Mapping):
        yield from _part("", value, own, keys)
        return
    for name, one in value.items():
        if name == "":
            raise ValueError(f"a field without name in {own.table_name} {own.record_key}")
        yield from _part(name, one, own, keys)


def _part(name: str, value: object, own: TableRow, keys: Iterator[str]) -> Iterator[TableRow]:
    """Yield the rows of a field. The numbers of `keys` make the key of each part its own: names may hold dots, too."""
    table, mark = f"{own.table_name}.{name}", (own.table_name, own.record_key or "")
    if isinstance(value, Mapping):
        yield from _flat(value, TableRow(table, next(keys), mark), keys)
    elif isinstance(value, list | tuple):
        if not value:
            yield TableRow(table, None, mark)
        for at, one in enumerate(value):
            yield from _flat(one, TableRow(table, next(keys), mark, seq=at), keys)
    else:
        yield replace(own, field=name, value=value)


def assemble(rows: Iterable[TableRow], table: str, *, key_field: str | None = None) -> list[Assembled]:
    """Return the records of a table in the order of their first rows, and what is refused with the reason.

    `key_field`: the name under which each record shows its own key, unless a row gives it; None shows none. Refused are a
    cycle with all that is in it, more than 32 levels, an unknown parent, and a record that a row contradicts.
    """
    nodes, faults = _nodes(rows)
    broken = {mark: fault for mark, node in nodes.items() if (fault := _broken(node, nodes)) is not None}
    for mark, node in nodes.items():
        if mark in broken:
            _tell_owner(node, nodes, broken)
        else:
            _hang(node, nodes)
    for mark in [mark for mark, node in nodes.items() if node.fault is not None and mark not in broken]:
        _tell_root(nodes[mark], nodes)
    found = [_assembled(node, key_field) for node in nodes.values() if _is_wanted(node, nodes, table, broken)]
    refused = [
        Assembled(mark[1] if mark[0] == table else "/".join(mark), None, fault)
        for mark, fault in broken.items()
        if table in _tables(nodes[mark], nodes)
    ]
    return [*found, *refused, *(Assembled(mark[1], None, fault) for mark, fault in faults if table in {mark[0]})]


def _nodes(rows: Iterable[TableRow]) -> tuple[dict[Mark, _Node], list[tuple[Mark, str]]]:
    """Return the records by table and key; and lists that are said to be empty in records that are not there."""
    nodes: dict[Mark, _Node] = {}
    empty: list[TableRow] = []
    for row in rows:
        if row.record_key is None:
            empty.append(row)
            continue
        mark = (row.table_name, row.record_key)
        node = nodes.setdefault(mark, _Node(mark, row.parent, row.seq))
        if node.parent != row.parent:
            node.fault = node.fault or f"{_shown(mark)} has two parents"
        if node.seq != row.seq:
            node.fault = node.fault or f"{_shown(mark)} has two places in its list"
        if row.field is not None:
            if row.field in node.fields:
                node.fault = node.fault or f"field {shown(row.field)} of {_shown(mark)} stands twice"
            node.fields[row.field] = row.value
    lost = []
    for row in empty:
        owner = nodes.get(row.parent) if row.parent else None
        if owner is not None:
            owner.empty.add(_name(row.table_name, owner.mark))
        elif row.parent:
            lost.append((row.parent, f"unknown parent: {row.table_name} of {_shown(row.parent)}"))
    return nodes, lost


def _broken(node: _Node, nodes: Mapping[Mark, _Node]) -> str | None:
    """Return why a record stands nowhere: its way up is a circle or ends at a parent that is not there; or is too long."""
    way, one = [node.mark], node
    while one.parent is not None:
        if one.parent in way:
            circle = way[way.index(one.parent) :]
            told = " > ".join(_shown(mark) for mark in [*circle, one.parent])
            return f"cycle {told}" if node.mark in circle else f"below a cycle {told}"
        way.append(one.parent)
        if one.parent not in nodes:
            return f"unknown parent: {' > '.join(_shown(mark) for mark in way)}"
        if len(way) > DEEPEST:
            return f"deeper than {DEEPEST} levels: {_shown(node.mark)}"
        one = nodes[one.parent]
    return None


def _hang(node: _Node, nodes: Mapping[Mark, _Node]) -> None:
    """Put a record into its container: the first on its way up that is of another table."""
    owner = _container(node, nodes)
    if owner is not None:
        owner.children.setdefault(_name(node.mark[0], owner.mark), []).append(node)


def _container(node: _Node, nodes: Mapping[Mark, _Node]) -> _Node | None:
    one = node
    while one.parent is not None:
        owner = nodes[one.parent]
        if owner.mark[0] != node.mark[0]:
            return owner
        one = owner
    return None


def _tell_owner(node: _Node, nodes: Mapping[Mark, _Node], broken: Mapping[Mark, str]) -> None:
    """Refuse the record that a part is missing from because it lies too deep."""
    one, is_part = node, False
    for _ in range(DEEPEST):
        if one.parent not in nodes or one.parent is None:
            return
        owner = nodes[one.parent]
        is_part = is_part or owner.mark[0] != one.mark[0]
        if owner.mark not in broken:
            owner.fault = owner.fault or (broken[node.mark] if is_part else None)
            return
        one = owner


def _tell_root(node: _Node, nodes: Mapping[Mark, _Node]) -> None:
    """Refuse the whole record that a wrong one is a part of: without it, it would look complete."""
    one = node
    while (owner := _container(one, nodes)) is not None:
        owner.fault = owner.fault or node.fault
        one = owner


def _is_wanted(node: _Node, nodes: Mapping[Mark, _Node], table: str, broken: Mapping[Mark, str]) -> bool:
    return node.mark[0] == table and node.mark not in broken and _container(node, nodes) is None


def _tables(node: _Node, nodes: Mapping[Mark, _Node]) -> set[str]:
    """Return the tables on the way up from a record, also of the parent that is not there."""
    tables, one = {node.mark[0]}, node
    for _ in range(DEEPEST + 1):
        if one.parent is None:
            break
        tables.add(one.parent[0])
        if one.parent not in nodes:
            break
        one = nodes[one.parent]
    return tables


def _assembled(node: _Node, key_field: str | None) -> Assembled:
    try:
        if node.fault is not None:
            raise ValueError(node.fault)
        value = _value(node, key_field)
    except ValueError as error:
        return Assembled(node.mark[1], None, str(error))
    if isinstance(value, dict):
        return Assembled(node.mark[1], value)
    return Assembled(node.mark[1], None, f"{_shown(node.mark)} is a value, not a record")


def _value(node: _Node, key_field: str | None) -> object:
    record: dict[str, object] = dict(node.fields)
    for name, children in node.children.items():
        if name in record:
            raise ValueError(f"{shown(name)} of {_shown(node.mark)} is a field and a table")
        record[name] = _list(node, name, children, key_field)
    for name in node.empty - node.children.keys():
        record.setdefault(name, [])
    if record.keys() == {""}:
        return record[""]
    if key_field is not None:
        record.setdefault(key_field, node.mark[1])
    if node.parent is not None and node.parent[0] == node.mark[0]:
        record.setdefault(PARENT, node.parent[1])
    return record


def _list(owner: _Node, name: str, children: list[_Node], key_field: str | None) -> object:
    ordered = sorted(children, key=lambda one: (one.seq is not None, one.seq or 0, one.mark[1]))
    if ordered[0].seq is not None:
        return [_value(one, key_field) for one in ordered]
    if len(ordered) > 1:
        raise ValueError(f"{len(ordered)} {shown(name)} of {_shown(owner.mark)}, and one without seq")
    return _value(ordered[0], key_field)


def _name(table: str, owner: Mark) -> str:
    return table.removeprefix(f"{owner[0]}.")


def _shown(mark: Mark) -> str:
    return f"{mark[0]} {mark[1]}"
