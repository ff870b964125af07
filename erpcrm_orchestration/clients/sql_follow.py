"""The rows that belong to the rows of a page: one statement for each list, not one for each row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from erpcrm_orchestration.domain.connection import Call, Follow
from erpcrm_orchestration.domain.errors import PermanentFailure, did_you_mean
from erpcrm_orchestration.domain.reading_words import SQL_WORDS

OF_PARENT = re.compile(r"\{parent\.([^{}]+)\}")
SCHEMA = "schema"
ORDER = "order_by"

Row = dict[str, object]


@dataclass(frozen=True)
class Table:
    """A table as a call names it: `where` are the values of columns, `links` its columns and those of the parent."""

    name: str
    schema: str | None
    where: Mapping[str, str]
    links: Mapping[str, str]
    order: tuple[str, ...]


def table_of(call: Call) -> Table:
    """Return what a call names: path is the table; schema, order_by and the values of columns are in the query."""
    columns = {name: value for name, value in call.query.items() if name not in SQL_WORDS}
    links = {name: found[1] for name, value in columns.items() if (found := OF_PARENT.fullmatch(value))}
    order = tuple(name.strip() for name in call.query.get(ORDER, "").split(",") if name.strip())
    where = {name: value for name, value in columns.items() if name not in links}
    return Table(call.path, call.query.get(SCHEMA), where, links, order)


def linked(follow: Follow, where: str) -> Table:
    """Return the table behind a follow; raise PermanentFailure E-SRC-060 when nothing links it to the parent."""
    table = None if follow.call is None else table_of(follow.call)
    if table is None or not table.links:
        found = f"nothing links {follow.into} to its parent"
        raise PermanentFailure("E-SRC-060", where, found, 'give follow.call with query: {column: "{parent.column}"}')
    return table


def link_values(table: Table, rows: Sequence[Row], where: str) -> dict[str, list[object]]:
    """Return column of the table -> the parents' values, side by side and each set once; empty when no parent has any."""
    for name in table.links.values():
        if rows and name not in rows[0]:
            raise PermanentFailure("E-SRC-022", where, f"the parent has no column {name}", did_you_mean(name, rows[0]))
    sets = {mark: values for row in rows if (mark := _mark(values := [row[name] for name in table.links.values()])) is not None}
    return {column: [values[at] for values in sets.values()] for at, column in enumerate(table.links)} if sets else {}


def put_in(rows: Iterable[Row], follow: Follow, table: Table, found: Sequence[Row]) -> None:
    """Put the found rows into their parents at `into`: as a list, or without `records` the first one alone."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for one in found:
        mark = _mark([one[column] for column in table.links])
        if mark is not None:
            groups.setdefault(mark, []).append(one)
    for row in rows:
        mark = _mark([row[name] for name in table.links.values()])
        theirs = groups.get(mark, []) if mark is not None else []
        _set(row, follow.into, theirs if follow.records is not None else next(iter(theirs), None))


def _set(row: Row, path: str, value: object) -> None:
    step, _, rest = path.partition(".")
    if not rest:
        row[step] = value
        return
    below = row.setdefault(step, {})
    if isinstance(below, dict):
        _set(below, rest, value)


def _mark(values: Sequence[object]) -> tuple[str, ...] | None:
    """Return what values are compared by: 5 and 5.0 are one number; None when one is missing."""
    if any(value is None for value in values):
        return None
    return tuple(
        f"{Decimal(str(value)).normalize():f}" if isinstance(value, int | float | Decimal) else str(value) for value in values
    )
