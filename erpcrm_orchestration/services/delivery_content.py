"""What a change tells: the values of a record with the system's ids of what it refers to, and its numbers as such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from erpcrm_orchestration.domain.entity import Child, Entity, Field, Kind
from erpcrm_orchestration.domain.order_rules import unit_price

Reference = tuple[str, int]
"""Entity and our id."""


def references(entity: Entity, values: Mapping[str, Any]) -> list[Reference]:
    """Return what a record and its children refer to."""
    found = _referred(entity.fields, values)
    for child in entity.children:
        for row in values.get(child.name) or ():
            found += _referred(child.fields, row)
    return found


def _referred(fields: Sequence[Field], values: Mapping[str, Any]) -> list[Reference]:
    ids = values.get("ref") or {}
    return [
        (one.refers_to or "", ids[one.name]) for one in fields if one.kind is Kind.REFERENCE and ids.get(one.name) is not None
    ]


def with_their_ids(entity: Entity, values: Mapping[str, Any], ids: Mapping[Reference, str]) -> dict[str, Any]:
    """Return the values with the system's ids below `ref`; a reference that it does not know is left out."""
    whole = _typed(entity.fields, values) | {"ref": _their_ids(entity.fields, values, ids)}
    for child in entity.children:
        whole[child.name] = [_row(child, row, ids) for row in values.get(child.name) or ()]
    return whole


def _row(child: Child, values: Mapping[str, Any], ids: Mapping[Reference, str]) -> dict[str, Any]:
    """Return a row as it is told; a line has a price of one unit also when we were told its total only."""
    row = _typed(child.fields, values) | {"ref": _their_ids(child.fields, values, ids)}
    return row | {"unit_price": unit_price(row)} if any(one.name == "unit_price" for one in child.fields) else row


def _typed(fields: Sequence[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with decimals as such: they are texts while they wait in the database."""
    numbers = {one.name for one in fields if one.kind is Kind.DECIMAL}
    return {name: Decimal(value) if name in numbers and isinstance(value, str) else value for name, value in values.items()}


def _their_ids(fields: Sequence[Field], values: Mapping[str, Any], ids: Mapping[Reference, str]) -> dict[str, str]:
    ours = values.get("ref") or {}
    found = {one.name: ids.get((one.refers_to or "", ours[one.name])) for one in fields if ours.get(one.name) is not None}
    return {name: external for name, external in found.items() if external is not None}
