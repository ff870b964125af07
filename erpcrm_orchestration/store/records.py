"""Records of ours as plain values: what is delivered to other systems, compared with them, and rebuilt from the rows.

Decimals and instants are texts, so that the values are JSON as they are and lose nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.entity import ADDRESS_FIELDS, META, Child, Entity, Field, Kind
from erpcrm_orchestration.store.integration_schema import address, child_table, entity_table

Values = dict[str, Any]


def load_records(
    connection: sa.Connection, dossier_code: str, entity: Entity, record_ids: Collection[int]
) -> dict[int, Values]:
    """Return our id -> values by field name; one query for the records, one for their addresses, one for each child.

    References are below `ref` by field name, as our ids. A child is a list in its order, each row with its `key`.
    """
    table = entity_table[entity.name]
    wanted = sa.any_(sa.literal(sorted(record_ids), sa.ARRAY(sa.BigInteger)))
    rows = connection.execute(
        sa.select(table).where(table.c.dossier_code == dossier_code, table.c[entity.identity] == wanted)
    ).mappings()
    found = {row[entity.identity]: _values(entity.fields, row) for row in rows}
    _put_addresses(connection, dossier_code, entity.fields, found.values())
    for child in entity.children:
        for values in found.values():
            values[child.name] = []
        for owner, values in _children(connection, dossier_code, entity, child, list(found)):
            found[owner][child.name].append(values)
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


def _children(
    connection: sa.Connection, dossier_code: str, entity: Entity, child: Child, owners: list[int]
) -> Iterable[tuple[int, Values]]:
    table = child_table[entity.name, child.name]
    owner = table.c["record_id" if child is META else entity.identity]
    conditions = [table.c.dossier_code == dossier_code, owner == sa.any_(sa.literal(owners, sa.ARRAY(sa.BigInteger)))]
    if child is META:
        conditions.append(table.c.entity == entity.name)
    rows = connection.execute(sa.select(table).where(*conditions).order_by(owner, table.c.position)).mappings()
    for row in rows:
        yield row[owner.name], {**_values(child.fields, row), "key": row[child.key]} if child is not META else _meta(row)


def _meta(row: sa.RowMapping) -> Values:
    return {"key": row["key"], "value": row["value"]}


def _values(fields: Iterable[Field], row: sa.RowMapping) -> Values:
    values: Values = {}
    references: dict[str, int] = {}
    for field in fields:
        value = row[field.column]
        if field.kind is Kind.REFERENCE:
            if value is not None:
                references[field.name] = value
        else:
            values[field.name] = plain(value)
    return {**values, "ref": references}


def _put_addresses(connection: sa.Connection, dossier_code: str, fields: Iterable[Field], records: Collection[Values]) -> None:
    """Replace the hashes of addresses by their parts."""
    names = [field.name for field in fields if field.kind is Kind.ADDRESS]
    hashes = {values[name] for values in records for name in names if values[name]}
    if not hashes:
        return
    rows = connection.execute(
        sa.select(address).where(address.c.dossier_code == dossier_code, address.c.address_hash.in_(hashes))
    ).mappings()
    parts = {row["address_hash"]: {name: row[name] for name in ADDRESS_FIELDS} for row in rows}
    for values in records:
        for name in names:
            values[name] = parts.get(values[name])


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
