"""Records into the tables of their entity, a batch at a time: a few rows with one statement, many by COPY to staging.

A row that does not differ is not written. Children are replaced with their record: what is gone from it is deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningDelete

from erpcrm_orchestration.domain.entity import Child, Entity, Field
from erpcrm_orchestration.store.integration_schema import address, child_table, entity_table
from erpcrm_orchestration.store.merge_statements import (
    ADDRESS_COLUMNS,
    among_given,
    among_staged,
    change_records,
    delete_gone,
    given,
    given_name,
    given_rows,
    owner_of,
    put_addresses,
    put_children,
    put_records,
    staged,
)
from erpcrm_orchestration.store.staging import copy_into

Row = tuple[Any, ...]
FEW = 200
"""Up to so many rows, records and children together, go with one statement; more are written sooner from a staged table."""


@dataclass
class Rows:
    """A batch with our ids in it. `header`: id, then the values of `fields`. `children`: child -> id, key, position, values.

    `addresses`: hash -> parts in the order of ADDRESS_FIELDS.
    """

    fields: Sequence[Field]
    child_fields: Mapping[str, Sequence[Field]]
    header: list[Row] = field(default_factory=list)
    children: dict[str, list[Row]] = field(default_factory=dict)
    addresses: dict[str, Row] = field(default_factory=dict)

    @property
    def are_few(self) -> bool:
        return len(self.header) + sum(len(rows) for rows in self.children.values()) <= FEW

    @property
    def address_rows(self) -> list[Row]:
        return [(key, *parts) for key, parts in self.addresses.items()]


class RecordMerge:
    """Writes batches of one entity of one dossier in the transaction of the connection."""

    def __init__(self, connection: sa.Connection, dossier_code: str, entity: Entity, now: datetime) -> None:
        self.connection, self.dossier_code, self.entity, self.now = connection, dossier_code, entity, now
        self.table = entity_table[entity.name]

    def merge(self, rows: Rows, *, creates: bool) -> set[int]:
        """Write the batch; return our ids of the records that changed. Without `creates` only existing ones are updated."""
        if not rows.header:
            return set()
        columns = (self.entity.identity, *(one.column for one in rows.fields))
        return (self._at_once if rows.are_few else self._staged)(rows, columns, creates=creates)

    def mark_deleted(self, record_ids: Iterable[int]) -> set[int]:
        """Mark records as deleted; their rows stay. Return those that were not marked before."""
        identity, wanted = self.table.c[self.entity.identity], list(record_ids)
        if not wanted:
            return set()
        marked = self.connection.execute(
            sa.update(self.table)
            .where(
                self.table.c.dossier_code == self.dossier_code,
                identity == sa.any_(sa.literal(wanted, sa.ARRAY(sa.BigInteger))),
                self.table.c.deleted_at.is_(None),
            )
            .values(deleted_at=self.now, updated_at=self.now)
            .returning(identity)
        )
        return set(marked.scalars())

    def existing(self, record_ids: Iterable[int]) -> set[int]:
        """Return which of these ids have a row."""
        identity = self.table.c[self.entity.identity]
        return set(
            self.connection.scalars(
                sa.select(identity).where(
                    self.table.c.dossier_code == self.dossier_code,
                    identity == sa.any_(sa.literal(list(record_ids), sa.ARRAY(sa.BigInteger))),
                )
            )
        )

    # --- a few rows: one statement writes all tables ------------------------------------------------------------------

    def _at_once(self, rows: Rows, columns: tuple[str, ...], *, creates: bool) -> set[int]:
        texts = {given_name(self.table): given_rows(columns, rows.header), "owners": [row[0] for row in rows.header]}
        source = given(self.table, columns)
        parts: list[sa.CTE] = []
        if creates:
            parts.append(put_records(self.entity, source, columns).cte("put_records"))
        elif rows.fields:
            parts.append(change_records(self.entity, source, columns).cte("change_records"))
        for name, fields in rows.child_fields.items():
            parts += self._child_parts(self._child(name), fields, rows.children.get(name, []), texts)
        if not parts:
            return set()
        changed = sa.union_all(*(sa.select(next(iter(part.c))) for part in parts))
        if rows.addresses:
            texts[given_name(address)] = given_rows(ADDRESS_COLUMNS, rows.address_rows)
            changed = changed.add_cte(put_addresses(given(address, ADDRESS_COLUMNS)).cte("put_addresses"))
        return set(self.connection.execute(changed, self._parameters() | texts).scalars())

    def _child_parts(
        self, child: Child, fields: Sequence[Field], rows: Sequence[Row], texts: dict[str, Any]
    ) -> Iterable[sa.CTE]:
        """Yield what writes the rows of a child, and put them among the texts that the statement takes."""
        table = child_table[self.entity.name, child.name]
        columns = self._child_columns(child, fields)
        source = given(table, columns) if rows else None
        for gone in self._delete_gone(child, among_given(table, columns[0]), source):
            yield gone.cte(f"gone_from_{child.name}")
        if source is not None:
            texts[given_name(table)] = given_rows(columns, rows)
            yield put_children(self.entity, child, source, columns).cte(f"put_{child.name}")

    # --- many rows: COPY to staging, then one statement for each table ------------------------------------------------

    def _staged(self, rows: Rows, columns: tuple[str, ...], *, creates: bool) -> set[int]:
        if rows.addresses:
            self.connection.execute(put_addresses(self._stage(address, ADDRESS_COLUMNS, rows.address_rows)), self._parameters())
        source = self._stage(self.table, columns, rows.header)
        changed: set[int] = set()
        replaced = True
        if creates:
            put = self.connection.execute(put_records(self.entity, source, columns), self._parameters()).all()
            changed |= {row[0] for row in put}
            replaced = sum(row.added for row in put) < len(rows.header)
        elif rows.fields:
            changed |= self._executed(change_records(self.entity, source, columns))
        for name, fields in rows.child_fields.items():
            changed |= self._staged_children(self._child(name), fields, rows.children.get(name, []), replaced=replaced)
        return changed

    def _staged_children(self, child: Child, fields: Sequence[Field], rows: Sequence[Row], *, replaced: bool) -> set[int]:
        table, changed = child_table[self.entity.name, child.name], set[int]()
        columns = self._child_columns(child, fields)
        source = self._stage(table, columns, rows) if rows else None
        if replaced:
            for gone in self._delete_gone(child, among_staged(self.entity, table, columns[0]), source):
                changed |= self._executed(gone)
        if source is not None:
            changed |= self._executed(put_children(self.entity, child, source, columns))
        return changed

    def _stage(self, table: sa.Table, columns: Sequence[str], rows: Iterable[Row]) -> sa.Table:
        stage = staged(table)
        self.connection.execute(sa.schema.CreateTable(stage, if_not_exists=True))
        self.connection.execute(sa.delete(stage))
        copy_into(self.connection, stage.name, columns, rows)
        return stage

    # --- both ---------------------------------------------------------------------------------------------------------

    def _delete_gone(
        self, child: Child, belongs: sa.ColumnElement[bool], stay: sa.FromClause | None
    ) -> Collection[ReturningDelete[Any]]:
        return [delete_gone(self.entity, child, belongs, stay)]

    def _child(self, name: str) -> Child:
        child = self.entity.child(name)
        if child is None:
            raise KeyError(name)
        return child

    def _child_columns(self, child: Child, fields: Sequence[Field]) -> tuple[str, ...]:
        return (owner_of(self.entity, child), child.key, "position", *(one.column for one in fields))

    def _executed(self, statement: sa.Executable) -> set[int]:
        return set(self.connection.execute(statement, self._parameters()).scalars())

    def _parameters(self) -> dict[str, Any]:
        return {"of_dossier": self.dossier_code, "stamp": self.now}
