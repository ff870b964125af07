"""Conflicts of shared fields: what is open, what a person decided, and the value that stands from then on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.store.inbox import StreamKey
from erpcrm_orchestration.store.integration_schema import cross_reference, entity_table, field_conflict, of_entity, work_item
from erpcrm_orchestration.store.person import granted


@dataclass(frozen=True)
class Open:
    """A conflict with what is known of its record in its system: its id there, and the newest message of it."""

    conflict_id: int
    dossier_code: str
    system_code: str
    entity: str
    record_id: int
    field: str
    base_value: str | None
    our_value: str | None
    their_value: str | None
    opened_at: datetime
    closed_at: datetime | None
    resolution: str | None
    external_id: str | None
    message_id: int | None


def list_conflicts(
    connection: sa.Connection,
    *,
    dossier_code: str | None,
    entity: str | None = None,
    closed: bool = False,
    limit: int,
    person_id: int | None = None,
) -> list[Open]:
    """Return conflicts, the newest first; those that nobody decided, with `closed` the others too; what a person may see."""
    columns = field_conflict.c
    statement = _conflicts().order_by(columns.dossier_code, columns.conflict_id.desc()).limit(limit)
    for column, value in ((columns.dossier_code, dossier_code), (columns.entity, entity)):
        if value is not None:
            statement = statement.where(column == value)
    if not closed:
        statement = statement.where(columns.closed_at.is_(None))
    if person_id is not None:
        statement = statement.where(granted(person_id, Access.VIEW, columns.dossier_code))
    return [Open(*row) for row in connection.execute(statement)]


def find_conflict(connection: sa.Connection, dossier_code: str, conflict_id: int, *, lock: bool = False) -> Open | None:
    """Return a conflict, with `lock` kept from others until the commit; None when the dossier has none of this number."""
    columns = field_conflict.c
    statement = _conflicts().where(columns.dossier_code == dossier_code, columns.conflict_id == conflict_id)
    row = connection.execute(statement.with_for_update(of=field_conflict) if lock else statement).one_or_none()
    return Open(*row) if row is not None else None


def _conflicts() -> sa.Select[Any]:
    columns, known = field_conflict.c, cross_reference.c
    shown = [columns[name] for name in Open.__dataclass_fields__ if name in columns]
    return sa.select(*shown, known.external_id, known.message_id).outerjoin(
        cross_reference,
        sa.and_(
            known.dossier_code == columns.dossier_code,
            known.system_code == columns.system_code,
            known.entity == columns.entity,
            known.record_id == columns.record_id,
        ),
    )


def renew(connection: sa.Connection, conflict: Open, our_value: str | None, their_value: str | None) -> None:
    """Let a conflict show what both hold now."""
    connection.execute(_row(conflict).values(our_value=our_value, their_value=their_value))


def close(connection: sa.Connection, conflict: Open, resolution: str, now: datetime) -> None:
    """Close a conflict; `resolution` is shown to people."""
    connection.execute(_row(conflict).values(closed_at=now, resolution=resolution))


def _row(conflict: Open) -> sa.Update:
    columns = field_conflict.c
    return sa.update(field_conflict).where(
        columns.dossier_code == conflict.dossier_code, columns.conflict_id == conflict.conflict_id
    )


def write_value(connection: sa.Connection, conflict: Open, column: str, value: object, now: datetime) -> None:
    """Let the record of a conflict hold a value."""
    entity = ENTITIES[conflict.entity]
    table = entity_table[entity.name]
    connection.execute(
        sa.update(table)
        .where(table.c.dossier_code == conflict.dossier_code, table.c[entity.identity] == conflict.record_id)
        .values({column: value, "updated_at": now})
    )


def has_open_delivery(connection: sa.Connection, key: StreamKey, record_id: int) -> bool:
    """True when a change of a record waits to be told to a system."""
    columns = work_item.c
    found = sa.exists().where(
        of_entity(work_item, key),
        columns.record_id == record_id,
        columns.state.in_(["QUEUED", "LEASED", "RETRY"]),
    )
    return bool(connection.scalar(sa.select(found)))
