"""Records of ours as plain values: what is delivered to other systems, compared with them, and rebuilt from the rows.

Decimals and instants are texts, so that the values are JSON as they are and lose nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON

from erpcrm_orchestration.domain.entity import ADDRESS_FIELDS, META, Child, Entity, Field, Kind
from erpcrm_orchestration.store.integration_schema import address, child_table, entity_table

Values = dict[str, Any]
Addresses = Mapping[str, Values]
"""Hash -> the parts of an address by their names."""
ADDRESS, RECORD, CHILD = 0, 1, 2
"""What a row of the query is: the first child is CHILD, the next one more."""

_DOSSIER = sa.bindparam("of_dossier", type_=sa.Text)
_WANTED = sa.any_(sa.bindparam("record_ids", type_=sa.ARRAY(sa.BigInteger)))


def load_records(
    connection: sa.Connection, dossier_code: str, entity: Entity, record_ids: Collection[int]
) -> dict[int, Values]:
    """Return our id -> values by field name; one query for the records, their addresses and all that belongs to them.

    References are below `ref` by field name, as our ids. A child is a list in its order, each row with its `key`.
    """
    rows = connection.execute(_query(entity), {"of_dossier": dossier_code, "record_ids": sorted(record_ids)})
    addresses: dict[str, Values] = {}
    found: dict[int, Values] = {}
    for what, record_id, _, values in rows:
        if what == ADDRESS:
            addresses[values[0]] = dict(zip(ADDRESS_FIELDS, values[1:], strict=True))
        elif what == RECORD:
            found[record_id] = _values(entity.fields, values, addresses) | {child.name: [] for child in entity.children}
        elif record_id in found:
            child = entity.children[what - CHILD]
            found[record_id][child.name].append(_row(child, values))
    return found


def record_ids(connection: sa.Connection, dossier_code: str, entity: Entity, after: int, limit: int) -> list[int]:
    """Return the ids of records that are not deleted, in their order after an id."""
    table = entity_table[entity.name]
    identity = table.c[entity.identity]
    rows = connection.execute(
        sa.select(identity)
        .where(table.c.dossier_code == dossier_code, identity > after, table.c.deleted_at.is_(None))
        .order_by(identity)
        .limit(limit)
    )
    return list(rows.scalars())


@cache
def _query(entity: Entity) -> sa.CompoundSelect[Any]:
    """Return the query of what a row is, our id, its place and its values; addresses first, then records, then children."""
    table = entity_table[entity.name]
    ours = sa.select(table).where(table.c.dossier_code == _DOSSIER, table.c[entity.identity] == _WANTED).cte("ours")
    values = _as_json([ours.c[one.column] for one in entity.fields])
    parts = [sa.select(sa.literal_column(str(RECORD)).label("what"), ours.c[entity.identity], sa.literal_column("0"), values)]
    parts += [_of_child(entity, child, CHILD + at) for at, child in enumerate(entity.children)]
    if hashes := [sa.select(ours.c[one.column]) for one in entity.fields if one.kind is Kind.ADDRESS]:
        parts.insert(0, _of_addresses(sa.union(*hashes)))
    return sa.union_all(*parts).order_by(sa.literal_column("1"), sa.literal_column("2"), sa.literal_column("3"))


def _of_addresses(hashes: sa.CompoundSelect[Any]) -> sa.Select[Any]:
    columns = address.c
    values = _as_json([columns.address_hash, *(columns[name] for name in ADDRESS_FIELDS)])
    return sa.select(
        sa.literal_column(str(ADDRESS)).label("what"), sa.literal_column("0"), sa.literal_column("0"), values
    ).where(columns.dossier_code == _DOSSIER, columns.address_hash.in_(hashes))


def _of_child(entity: Entity, child: Child, what: int) -> sa.Select[Any]:
    table = child_table[entity.name, child.name]
    owner = table.c["record_id" if child is META else entity.identity]
    conditions = [table.c.dossier_code == _DOSSIER, owner == _WANTED]
    if child is META:
        conditions.append(table.c.entity == entity.name)
    values = _as_json([table.c[child.key], *(table.c[one.column] for one in child.fields)])
    return sa.select(sa.literal_column(str(what)), owner, table.c.position, values).where(*conditions)


def _as_json(columns: Sequence[sa.ColumnElement[Any]]) -> sa.ColumnElement[Any]:
    """Return the values of columns as a list; decimals as texts, which keep their digits."""
    exact = [sa.cast(one, sa.Text) if isinstance(one.type, sa.Numeric) else one for one in columns]
    return sa.func.json_build_array(*exact, type_=JSON)


def _row(child: Child, values: Sequence[Any]) -> Values:
    key, *rest = values
    if child is META:
        return dict(zip((one.name for one in child.fields), rest, strict=True))
    return {**_values(child.fields, rest, {}), "key": key}


def _values(fields: Sequence[Field], values: Sequence[Any], addresses: Addresses) -> Values:
    found: Values = {}
    references: dict[str, int] = {}
    for field, value in zip(fields, values, strict=True):
        if field.kind is not Kind.REFERENCE:
            found[field.name] = _plain_json(field.kind, value, addresses)
        elif value is not None:
            references[field.name] = value
    return {**found, "ref": references}


def _plain_json(kind: Kind, value: object, addresses: Addresses) -> object:
    """Return a value that the database gave as JSON in the form of `plain`; an address by its hash."""
    match kind:
        case Kind.INSTANT if isinstance(value, str):
            return plain(datetime.fromisoformat(value))
        case Kind.ADDRESS if isinstance(value, str):
            return addresses.get(value)
        case _:
            return value


def plain(value: object) -> object:
    """Return a value as JSON has it."""
    match value:
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case _:
            return value
