"""Records into the tables of their entity, a batch at a time: COPY to staging, then one statement per table.

A row that does not differ is not written. Children are replaced with their record: what is gone from it is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON, insert

from erpcrm_orchestration.domain.entity import ADDRESS_FIELDS, META, Entity, Field
from erpcrm_orchestration.store.integration_schema import address, child_table, entity_table
from erpcrm_orchestration.store.staging import copy_into

Row = tuple[Any, ...]


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


class RecordMerge:
    """Writes batches of one entity of one dossier in the transaction of the connection."""

    def __init__(self, connection: sa.Connection, dossier_code: str, entity: Entity, now: datetime) -> None:
        self.connection, self.dossier_code, self.entity, self.now = connection, dossier_code, entity, now
        self.table = entity_table[entity.name]

    def merge(self, rows: Rows, *, creates: bool) -> set[int]:
        """Write the batch; return our ids of the records that changed. Without `creates` only existing ones are updated."""
        if not rows.header:
            return set()
        self._addresses(rows.addresses)
        stage = _stage(self.table)
        columns = [self.entity.identity, *(one.column for one in rows.fields)]
        self._fill(stage, columns, rows.header)
        if creates:
            changed, added = self._upsert(stage, columns)
        else:
            changed, added = self._update(stage, columns), set()
        replaced = len(added) < len(rows.header)
        for name, fields in rows.child_fields.items():
            changed |= self._children(name, fields, rows.children.get(name, []), stage, replaced=replaced)
        return changed

    def mark_deleted(self, record_ids: Iterable[int]) -> set[int]:
        """Mark records as deleted; their rows stay. Return those that were not marked before."""
        identity = self.table.c[self.entity.identity]
        marked = self.connection.execute(
            sa.update(self.table)
            .where(
                self.table.c.dossier_code == self.dossier_code,
                identity == sa.any_(sa.literal(list(record_ids), sa.ARRAY(sa.BigInteger))),
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

    def _fill(self, stage: sa.Table, columns: Sequence[str], rows: Iterable[Row]) -> None:
        self.connection.execute(sa.schema.CreateTable(stage, if_not_exists=True))
        self.connection.execute(_empty(stage))
        copy_into(self.connection, stage.name, columns, rows)

    def _addresses(self, addresses: Mapping[str, Row]) -> None:
        if not addresses:
            return
        stage = _stage(address)
        self._fill(stage, ["address_hash", *ADDRESS_FIELDS], [(key, *parts) for key, parts in addresses.items()])
        names = ["address_hash", *ADDRESS_FIELDS]
        source = sa.select(sa.literal(self.dossier_code), *(stage.c[name] for name in names)).order_by(stage.c.address_hash)
        self.connection.execute(insert(address).from_select(["dossier_code", *names], source).on_conflict_do_nothing())

    def _upsert(self, stage: sa.Table, columns: Sequence[str]) -> tuple[set[int], set[int]]:
        """Return the ids that changed, and those of them that are new."""
        table, identity = self.table, self.entity.identity
        source = sa.select(sa.literal(self.dossier_code), sa.literal(self.now), *(stage.c[name] for name in columns)).order_by(
            stage.c[identity]
        )
        statement = insert(table).from_select(["dossier_code", "updated_at", *columns], source)
        given = {name: statement.excluded[name] for name in columns if name != identity}
        differs: list[sa.ColumnElement[bool]] = [table.c.deleted_at.is_not(None)]
        if given:
            differs.append(_differ(table, given))
        upsert = statement.on_conflict_do_update(
            index_elements=["dossier_code", identity],
            set_={**given, "updated_at": statement.excluded.updated_at, "deleted_at": None},
            where=sa.or_(*differs),
        ).returning(table.c[identity], sa.literal_column("xmax = 0").label("added"))
        rows = self.connection.execute(upsert).all()
        return {row[0] for row in rows}, {row[0] for row in rows if row.added}

    def _update(self, stage: sa.Table, columns: Sequence[str]) -> set[int]:
        table, identity = self.table, self.entity.identity
        given = {name: stage.c[name] for name in columns if name != identity}
        if not given:
            return set()
        changed = self.connection.execute(
            sa.update(table)
            .where(
                table.c.dossier_code == self.dossier_code,
                table.c[identity] == stage.c[identity],
                _differ(table, given),
            )
            .values(**given, updated_at=self.now)
            .returning(table.c[identity])
        )
        return set(changed.scalars())

    def _children(
        self, name: str, fields: Sequence[Field], rows: Sequence[Row], owners: sa.Table, *, replaced: bool
    ) -> set[int]:
        child = self.entity.child(name)
        if child is None:
            raise KeyError(name)
        table = child_table[self.entity.name, name]
        owner = "record_id" if child is META else self.entity.identity
        ours: dict[str, Any] = {"dossier_code": self.dossier_code}
        if child is META:
            ours["entity"] = self.entity.name
        if not rows and not replaced:
            return set()
        stage = _stage(table)
        columns = [owner, child.key, "position", *(one.column for one in fields)]
        self._fill(stage, columns, rows)
        changed = self._delete_gone(table, stage, owners, (owner, child.key), ours) if replaced else set()
        if rows:
            source = sa.select(*(sa.literal(one) for one in ours.values()), *(stage.c[column] for column in columns))
            statement = insert(table).from_select([*ours, *columns], source.order_by(stage.c[owner], stage.c[child.key]))
            given = {column: statement.excluded[column] for column in columns if column not in (owner, child.key)}
            upsert = statement.on_conflict_do_update(
                index_elements=[*ours, owner, child.key], set_=given, where=_differ(table, given)
            ).returning(table.c[owner])
            changed |= set(self.connection.execute(upsert).scalars())
        return changed

    def _delete_gone(
        self, table: sa.Table, stage: sa.Table, owners: sa.Table, key: tuple[str, str], ours: Mapping[str, Any]
    ) -> set[int]:
        owner, own_key = key
        belongs = sa.exists().where(owners.c[self.entity.identity] == table.c[owner])
        stays = sa.exists().where(stage.c[owner] == table.c[owner], stage.c[own_key] == table.c[own_key])
        gone = (
            sa.delete(table)
            .where(*(table.c[name] == value for name, value in ours.items()), belongs, ~stays)
            .returning(table.c[owner])
        )
        return set(self.connection.execute(gone).scalars())


@cache
def _stage(table: sa.Table) -> sa.Table:
    """Return the temporary table that rows for a table are copied to: its columns without its constraints."""
    columns = [sa.Column(one.name, one.type) for one in table.columns]
    return sa.Table(f"stage_{table.name}", sa.MetaData(), *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DELETE ROWS")


def _empty(stage: sa.Table) -> sa.Delete:
    return sa.delete(stage)


def _differ(table: sa.Table, given: Mapping[str, sa.ColumnElement[Any]]) -> sa.ColumnElement[bool]:
    """Return whether any of the given values differs from the row's; JSON has no equality, its text has."""

    def comparable(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.cast(column, sa.Text) if isinstance(column.type, JSON) else column

    ours = sa.tuple_(*(comparable(table.c[name]) for name in given))
    theirs = sa.tuple_(*(comparable(value) for value in given.values()))
    return ours.is_distinct_from(theirs)
