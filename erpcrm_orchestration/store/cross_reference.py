"""Which record of ours an id of another system means, and which words of another system are mapped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.store.integration_schema import cross_reference, entity_table, value_mapping


def resolve(
    connection: sa.Connection, dossier_code: str, system_code: str, wanted: Mapping[str, Collection[str]]
) -> dict[tuple[str, str], int]:
    """Return (entity, external id) -> our id, of those whose record is there; one query for all entities."""
    parts = [_resolved(entity, ids) for entity, ids in sorted(wanted.items()) if ids]
    if not parts:
        return {}
    rows = connection.execute(sa.union_all(*parts), {"of_dossier": dossier_code, "of_system": system_code})
    return {(row.entity, row.external_id): row.record_id for row in rows}


def _resolved(entity: str, ids: Collection[str]) -> sa.Select[tuple[str, str, int]]:
    target, identity = entity_table[entity], entity_table[entity].c[ENTITIES[entity].identity]
    columns = cross_reference.c
    return (
        sa.select(columns.entity, columns.external_id, columns.record_id)
        .join(target, sa.and_(target.c.dossier_code == columns.dossier_code, identity == columns.record_id))
        .where(
            columns.dossier_code == sa.bindparam("of_dossier"),
            columns.system_code == sa.bindparam("of_system"),
            columns.entity == entity,
            columns.external_id == sa.any_(sa.literal(sorted(ids), sa.ARRAY(sa.Text))),
        )
    )


def external_ids(
    connection: sa.Connection, dossier_code: str, system_code: str, wanted: Collection[tuple[str, int]]
) -> dict[tuple[str, int], str]:
    """Return (entity, our id) -> the system's id of these records, of those that it has; one query for all."""
    if not wanted:
        return {}
    columns = cross_reference.c
    rows = connection.execute(
        sa.select(columns.entity, columns.record_id, columns.external_id).where(
            columns.dossier_code == dossier_code,
            columns.system_code == system_code,
            columns.record_id == sa.any_(sa.literal(sorted({ours for _, ours in wanted}), sa.ARRAY(sa.BigInteger))),
        )
    )
    return {key: row.external_id for row in rows if (key := (row.entity, row.record_id)) in wanted}


def relink(connection: sa.Connection, dossier_code: str, system_code: str, entity: str, links: Mapping[str, int]) -> None:
    """Let these external ids mean other records of ours: ones that another system has told us of before."""
    if links:
        connection.execute(
            sa.update(cross_reference)
            .where(
                cross_reference.c.dossier_code == dossier_code,
                cross_reference.c.system_code == system_code,
                cross_reference.c.entity == entity,
                cross_reference.c.external_id == sa.bindparam("external"),
            )
            .values(record_id=sa.bindparam("ours")),
            [{"external": external, "ours": ours} for external, ours in links.items()],
        )


def matching(
    connection: sa.Connection,
    dossier_code: str,
    system_code: str,
    entity: str,
    fields: Sequence[str],
    wanted: Collection[tuple[object, ...]],
) -> dict[tuple[object, ...], int]:
    """Return values of the match fields -> the record that has them and that this system does not know yet.

    Values that two records share match none of them: that is for a person to decide.
    """
    target, identity = entity_table[entity], entity_table[entity].c[ENTITIES[entity].identity]
    columns = [target.c[name] for name in fields]
    linked = sa.exists().where(
        cross_reference.c.dossier_code == target.c.dossier_code,
        cross_reference.c.system_code == system_code,
        cross_reference.c.entity == entity,
        cross_reference.c.record_id == identity,
    )
    rows = connection.execute(
        sa.select(*columns, sa.func.min(identity).label("record_id"))
        .where(
            target.c.dossier_code == dossier_code, sa.tuple_(*columns).in_(list(wanted)), ~linked, target.c.deleted_at.is_(None)
        )
        .group_by(*columns)
        .having(sa.func.count() == 1)
    )
    return {tuple(row[:-1]): row.record_id for row in rows}


def words(
    connection: sa.Connection, dossier_code: str, system_code: str, wanted: Collection[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """Return (kind, word) -> our word, of those that are mapped."""
    columns = value_mapping.c
    rows = connection.execute(
        sa.select(columns.kind, columns.external_value, columns.our_value).where(
            columns.dossier_code == dossier_code,
            columns.system_code == system_code,
            sa.tuple_(columns.kind, columns.external_value).in_(list(wanted)),
        )
    )
    return {(row.kind, row.external_value): row.our_value for row in rows}


def parents(connection: sa.Connection, dossier_code: str, system_code: str, entity: str, tree: str) -> dict[str, str]:
    """Return child -> parent in the system's ids, for all records of a tree that have one."""
    target = entity_table[entity]
    identity, above = target.c[ENTITIES[entity].identity], target.c[f"{tree}_id"]
    child, parent = cross_reference.alias("child"), cross_reference.alias("parent")

    def linked(reference: sa.FromClause, column: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
        return sa.and_(
            reference.c.dossier_code == target.c.dossier_code,
            reference.c.system_code == system_code,
            reference.c.entity == entity,
            reference.c.record_id == column,
        )

    rows = connection.execute(
        sa.select(child.c.external_id, parent.c.external_id)
        .select_from(target)
        .join(child, linked(child, identity))
        .join(parent, linked(parent, above))
        .where(target.c.dossier_code == dossier_code, above.is_not(None))
    )
    return {row[0]: row[1] for row in rows}
