"""What systems told of shared fields, what we hold of them, and the conflicts between both."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from erpcrm_orchestration.domain.entity import ADDRESS_FIELDS, Entity
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.integration_schema import address, cross_reference, entity_table, field_conflict, of_entity

CHANGED_THERE = "changed there"
"""Stands in the echo ledger for a hash: the system was told of the record and then changed what it was told."""
SETTLED = "settled by itself"
"""The resolution of a conflict that ended without a person."""


@dataclass(frozen=True)
class Place:
    """One entity as one system of a dossier tells it."""

    dossier_code: str
    system_code: str
    entity: str
    now: datetime


@dataclass(frozen=True)
class Conflict:
    """A field that the system and somebody else changed since they last agreed."""

    record_id: int
    field: str
    base_value: str | None
    our_value: str | None
    their_value: str | None


def current_values(
    connection: sa.Connection, place: Place, entity: Entity, record_ids: Collection[int], columns: Sequence[str]
) -> dict[int, Mapping[str, Any]]:
    """Return our id -> values of these columns, of the records that are there."""
    table = entity_table[entity.name]
    identity = table.c[entity.identity]
    rows = connection.execute(
        sa.select(identity, *(table.c[name] for name in columns)).where(
            table.c.dossier_code == place.dossier_code,
            identity == sa.any_(sa.literal(sorted(record_ids), sa.ARRAY(sa.BigInteger))),
        )
    ).mappings()
    return {row[entity.identity]: dict(row) for row in rows}


def load_bases(connection: sa.Connection, place: Place, source_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the system's id -> what it told last, of the records that it told us of."""
    columns = cross_reference.c
    rows = connection.execute(
        sa.select(columns.external_id, columns.base).where(
            of_entity(cross_reference, place),
            columns.base.is_not(None),
            columns.external_id == sa.any_(sa.literal(sorted(source_ids), sa.ARRAY(sa.Text))),
        )
    )
    return {row.external_id: row.base for row in rows}


def only_linked(connection: sa.Connection, place: Place, source_ids: Collection[str]) -> set[str]:
    """Return those of these ids, which have no base, that the system was not told of either: they were linked by a match."""
    if not source_ids:
        return set()
    columns = cross_reference.c
    ids = columns.external_id == sa.any_(sa.literal(sorted(source_ids), sa.ARRAY(sa.Text)))
    return set(
        connection.scalars(
            sa.select(columns.external_id).where(of_entity(cross_reference, place), ids, columns.sent_at.is_(None))
        )
    )


def keep_bases(connection: sa.Connection, place: Place, bases: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep what the system told now."""
    rows = [{"external_id": source_id, "base": dict(base)} for source_id, base in bases.items()]
    connection.execute(load_sql("keep_bases"), {**_plain(place), "rows": json.dumps(rows, ensure_ascii=False)})


def keep_conflicts(connection: sa.Connection, place: Place, conflicts: Sequence[Conflict]) -> None:
    """Open a conflict for each field, or renew the one that is open."""
    if conflicts:
        rows = json.dumps([vars(one) for one in conflicts], ensure_ascii=False)
        connection.execute(load_sql("keep_conflicts"), {**_plain(place), "rows": rows, "now": place.now})


def open_conflicts(connection: sa.Connection, place: Place, record_ids: Collection[int]) -> set[tuple[int, str]]:
    """Return (our id, field) of the conflicts of these records that nobody decided yet."""
    columns = field_conflict.c
    rows = connection.execute(
        sa.select(columns.record_id, columns.field).where(
            of_entity(field_conflict, place),
            columns.record_id == sa.any_(sa.literal(sorted(record_ids), sa.ARRAY(sa.BigInteger))),
            columns.closed_at.is_(None),
        )
    )
    return {(row.record_id, row.field) for row in rows}


def settle_conflicts(connection: sa.Connection, place: Place, settled: Collection[tuple[int, str]]) -> None:
    """Close conflicts that are none any more: both hold the same again, or one of both took its change back."""
    columns = field_conflict.c
    if settled:
        connection.execute(
            sa.update(field_conflict)
            .where(
                of_entity(field_conflict, place),
                sa.tuple_(columns.record_id, columns.field).in_(list(settled)),
                columns.closed_at.is_(None),
            )
            .values(closed_at=place.now, resolution=SETTLED)
        )


def keep_addresses(connection: sa.Connection, dossier_code: str, addresses: Mapping[str, Sequence[str | None]]) -> None:
    """Keep addresses that a system tells and that do not stand, so that people see them and may take them."""
    if addresses:
        rows = [
            {"dossier_code": dossier_code, "address_hash": key, **dict(zip(ADDRESS_FIELDS, parts, strict=True))}
            for key, parts in sorted(addresses.items())
        ]
        connection.execute(insert(address).values(rows).on_conflict_do_nothing())


def address_parts(connection: sa.Connection, dossier_code: str, hashes: Collection[str]) -> dict[str, Mapping[str, str | None]]:
    """Return hash -> the parts of an address by their names."""
    if not hashes:
        return {}
    rows = connection.execute(
        sa.select(address).where(address.c.dossier_code == dossier_code, address.c.address_hash.in_(hashes))
    ).mappings()
    return {row["address_hash"]: {name: row[name] for name in ADDRESS_FIELDS} for row in rows}


def keep_told(connection: sa.Connection, place: Place, external_id: str, values: Mapping[str, Any]) -> None:
    """Keep what a system was told of shared fields: what it tells next stands for these values of ours."""
    if values:
        told = json.dumps(values, ensure_ascii=False)
        connection.execute(load_sql("keep_told"), {**_plain(place), "external_id": external_id, "told": told})


def forget_sent(connection: sa.Connection, place: Place, record_ids: Collection[int]) -> None:
    """Forget what the system was told of these records, so that it is told again."""
    if record_ids:
        columns = cross_reference.c
        connection.execute(
            sa.update(cross_reference)
            .where(of_entity(cross_reference, place), columns.record_id.in_(record_ids))
            .values(sent_hash=None)
        )


def note_changed_there(connection: sa.Connection, place: Place, record_ids: Collection[int]) -> None:
    """Note that the system, which was told of these records, changed them itself: a change back is told, too."""
    if record_ids:
        columns = cross_reference.c
        connection.execute(
            sa.update(cross_reference)
            .where(of_entity(cross_reference, place), columns.record_id.in_(record_ids), columns.sent_hash.is_not(None))
            .values(sent_hash=CHANGED_THERE)
        )


def _plain(place: Place) -> dict[str, Any]:
    return {"dossier_code": place.dossier_code, "system_code": place.system_code, "entity": place.entity}
