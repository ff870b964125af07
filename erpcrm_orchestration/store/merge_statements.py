"""The statements that write the records of an entity and what belongs to them, from any source of rows.

A source is a staged table, or rows that are given with the statement. Every statement takes `of_dossier` and, where it stamps,
`stamp`; one that returns something returns our ids of the records that it changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON, Insert, insert
from sqlalchemy.sql.dml import ReturningDelete, ReturningInsert, ReturningUpdate

from erpcrm_orchestration.domain.entity import ADDRESS_FIELDS, META, Child, Entity
from erpcrm_orchestration.store.integration_schema import address, child_table, entity_table

OF_DOSSIER = sa.bindparam("of_dossier", type_=sa.Text)
STAMP = sa.bindparam("stamp", type_=sa.DateTime(timezone=True))
ADDRESS_COLUMNS = ("address_hash", *ADDRESS_FIELDS)
Columns = tuple[str, ...]


def given_name(table: sa.Table) -> str:
    """Return the name of the parameter that holds the rows given for a table."""
    return f"rows_of_{table.name}"


def given_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as the text that `given` reads; decimals and instants are texts, which lose nothing."""
    return json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=str)


@cache
def given(table: sa.Table, columns: Columns) -> sa.CTE:
    """Return the rows that come with the statement as a source of the table's columns."""
    text = sa.bindparam(given_name(table), type_=sa.Text)
    # JSON is handed on as its text: it keeps its digits and the order of its keys.
    typed = [sa.column(name, sa.Text() if _is_json(table.c[name]) else table.c[name].type) for name in columns]
    rows = sa.func.json_to_recordset(sa.cast(text, JSON)).table_valued(*typed).render_derived(with_types=True)
    values = [sa.cast(rows.c[name], JSON).label(name) if _is_json(table.c[name]) else rows.c[name] for name in columns]
    return sa.select(*values).cte(f"given_{table.name}")


@cache
def staged(table: sa.Table) -> sa.Table:
    """Return the temporary table that rows for a table are copied to: its columns without its constraints."""
    columns = [sa.Column(one.name, one.type) for one in table.columns]
    return sa.Table(f"stage_{table.name}", sa.MetaData(), *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DELETE ROWS")


@cache
def put_addresses(source: sa.FromClause) -> Insert:
    """Return what keeps the addresses that are not there yet."""
    rows = sa.select(OF_DOSSIER, *(source.c[name] for name in ADDRESS_COLUMNS)).order_by(source.c.address_hash)
    return insert(address).from_select(["dossier_code", *ADDRESS_COLUMNS], rows).on_conflict_do_nothing()


def put_records(entity: Entity, source: sa.FromClause, columns: Columns) -> ReturningInsert[Any]:
    """Return what inserts the records or updates those that differ; it also returns whether one was `added`."""
    return _put_records(entity_table[entity.name], entity.identity, source, columns)


@cache
def _put_records(table: sa.Table, identity: str, source: sa.FromClause, columns: Columns) -> ReturningInsert[Any]:
    rows = sa.select(OF_DOSSIER, STAMP, *(source.c[name] for name in columns)).order_by(source.c[identity])
    statement = insert(table).from_select(["dossier_code", "updated_at", *columns], rows)
    values = {name: statement.excluded[name] for name in columns if name != identity}
    differs: list[sa.ColumnElement[bool]] = [table.c.deleted_at.is_not(None)]
    if values:
        differs.append(_differ(table, values))
    return statement.on_conflict_do_update(
        index_elements=["dossier_code", identity],
        set_={**values, "updated_at": statement.excluded.updated_at, "deleted_at": None},
        where=sa.or_(*differs),
    ).returning(table.c[identity], sa.literal_column("xmax = 0").label("added"))


def change_records(entity: Entity, source: sa.FromClause, columns: Columns) -> ReturningUpdate[Any]:
    """Return what updates records that are there and differ; `columns` are more than the id."""
    return _change_records(entity_table[entity.name], entity.identity, source, columns)


@cache
def _change_records(table: sa.Table, identity: str, source: sa.FromClause, columns: Columns) -> ReturningUpdate[Any]:
    values = {name: source.c[name] for name in columns if name != identity}
    return (
        sa.update(table)
        .where(table.c.dossier_code == OF_DOSSIER, table.c[identity] == source.c[identity], _differ(table, values))
        .values(**values, updated_at=STAMP)
        .returning(table.c[identity])
    )


def put_children(entity: Entity, child: Child, source: sa.FromClause, columns: Columns) -> ReturningInsert[Any]:
    """Return what inserts rows that belong to records, or updates those that differ."""
    return _put_children(child_table[entity.name, child.name], _of_entity(entity, child), child.key, source, columns)


@cache
def _put_children(
    table: sa.Table, of_entity: str | None, key: str, source: sa.FromClause, columns: Columns
) -> ReturningInsert[Any]:
    owner = columns[0]
    ours: dict[str, sa.ColumnElement[Any]] = {"dossier_code": OF_DOSSIER}
    if of_entity:
        ours["entity"] = sa.literal(of_entity)
    rows = sa.select(*ours.values(), *(source.c[name] for name in columns)).order_by(source.c[owner], source.c[key])
    statement = insert(table).from_select([*ours, *columns], rows)
    values = {name: statement.excluded[name] for name in columns if name not in (owner, key)}
    return statement.on_conflict_do_update(
        index_elements=[*ours, owner, key], set_=values, where=_differ(table, values)
    ).returning(table.c[owner])


@cache
def among_given(table: sa.Table, owner: str) -> sa.ColumnElement[bool]:
    """Return that a row belongs to one of the records whose ids are the parameter `owners`."""
    return table.c[owner] == sa.any_(sa.bindparam("owners", type_=sa.ARRAY(sa.BigInteger)))


def among_staged(entity: Entity, table: sa.Table, owner: str) -> sa.ColumnElement[bool]:
    """Return that a row belongs to one of the staged records."""
    return sa.exists().where(staged(entity_table[entity.name]).c[entity.identity] == table.c[owner])


def delete_gone(
    entity: Entity, child: Child, belongs: sa.ColumnElement[bool], stay: sa.FromClause | None
) -> ReturningDelete[Any]:
    """Return what deletes the rows of records that are not among those that stay."""
    table, owner = child_table[entity.name, child.name], owner_of(entity, child)
    conditions = [table.c.dossier_code == OF_DOSSIER, belongs]
    if of_entity := _of_entity(entity, child):
        conditions.append(table.c.entity == of_entity)
    if stay is not None:
        same = sa.and_(stay.c[owner] == table.c[owner], stay.c[child.key] == table.c[child.key])
        conditions.append(~sa.exists().where(same))
    return sa.delete(table).where(*conditions).returning(table.c[owner])


def owner_of(entity: Entity, child: Child) -> str:
    """Return the column of a child's rows that names their record."""
    return "record_id" if child is META else entity.identity


def _of_entity(entity: Entity, child: Child) -> str | None:
    """Return the entity that rows have to name whose table several entities share."""
    return entity.name if child is META else None


def _is_json(column: sa.ColumnElement[Any]) -> bool:
    return isinstance(column.type, JSON)


def _differ(table: sa.Table, given: Mapping[str, sa.ColumnElement[Any]]) -> sa.ColumnElement[bool]:
    """Return whether any of the given values differs from the row's; JSON has no equality, its text has."""

    def comparable(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.cast(column, sa.Text) if _is_json(column) else column

    ours = sa.tuple_(*(comparable(table.c[name]) for name in given))
    theirs = sa.tuple_(*(comparable(value) for value in given.values()))
    return ours.is_distinct_from(theirs)
