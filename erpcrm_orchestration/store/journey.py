"""What is in the inbox, the rows that a message became, and one record's way through every system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.integration_schema import (
    child_table,
    correction,
    cross_reference,
    entity_table,
    inbox,
    work_item,
)

OPEN_STATES = ("NEW", "WAITING", "REJECTED", "DEAD")


@dataclass(frozen=True)
class Known:
    """What a system calls a record, and our id of it; None while only its fetch was asked for."""

    system_code: str
    source_id: str
    record_id: int | None


def list_messages(
    connection: sa.Connection,
    *,
    dossier_code: str | None,
    limit: int,
    states: Sequence[str] = (),
    equal: Mapping[str, str | None] | None = None,
) -> list[dict[str, Any]]:
    """Return messages, the newest first: in these states, else those that are not integrated. `equal`: column -> value."""
    columns = inbox.c
    shown = [one for one in columns if one.name not in {"payload", "content_hash", "delivery_id"}]
    statement = sa.select(*shown).where(columns.state.in_(states or OPEN_STATES))
    for name, value in {"dossier_code": dossier_code, **(equal or {})}.items():
        if value is not None:
            statement = statement.where(columns[name] == value)
    rows = connection.execute(statement.order_by(columns.message_id.desc()).limit(limit))
    return [dict(row) for row in rows.mappings()]


def read_message(connection: sa.Connection, dossier_code: str, message_id: int) -> dict[str, Any] | None:
    """Return a message with all of its columns, None when there is none."""
    columns = inbox.c
    row = connection.execute(
        sa.select(inbox).where(columns.dossier_code == dossier_code, columns.message_id == message_id)
    ).one_or_none()
    return dict(row._mapping) if row is not None else None


def corrections_of(connection: sa.Connection, dossier_code: str, message_id: int) -> list[dict[str, Any]]:
    """Return what people did to a message, and what it was corrected from."""
    columns = correction.c
    rows = connection.execute(
        sa.select(correction)
        .where(
            columns.dossier_code == dossier_code,
            sa.or_(columns.message_id == message_id, columns.corrected_message_id == message_id),
        )
        .order_by(columns.correction_id)
    )
    return [dict(row) for row in rows.mappings()]


def rows_of(connection: sa.Connection, dossier_code: str, message_id: int) -> dict[str, list[dict[str, Any]]]:
    """Return table -> the rows that were made from a message; empty when it is not the one that they stem from."""
    head, columns = cross_reference.c, inbox.c
    found = connection.execute(
        sa.select(head.entity, head.record_id)
        .join(inbox, sa.and_(columns.dossier_code == head.dossier_code, columns.message_id == head.message_id))
        .where(head.dossier_code == dossier_code, head.message_id == message_id, columns.state == "TRANSFORMED")
    ).one_or_none()
    if found is None or found.entity not in ENTITIES:
        return {}
    entity = ENTITIES[found.entity]
    tables = [(entity_table[entity.name], entity.identity)]
    for child in entity.children:
        table = child_table[entity.name, child.name]
        tables.append((table, "record_id" if "record_id" in table.c else entity.identity))
    made = {table.name: _rows(connection, table, dossier_code, identity, found) for table, identity in tables}
    return {name: rows for name, rows in made.items() if rows}


def _rows(
    connection: sa.Connection, table: sa.Table, dossier_code: str, identity: str, of: sa.Row[Any]
) -> list[dict[str, Any]]:
    statement = sa.select(table).where(table.c.dossier_code == dossier_code, table.c[identity] == of.record_id)
    if "entity" in table.c:
        statement = statement.where(table.c.entity == of.entity)
    order = table.c.get("position")
    return [dict(row) for row in connection.execute(statement if order is None else statement.order_by(order)).mappings()]


def known_as(
    connection: sa.Connection,
    dossier_code: str,
    entity: str,
    *,
    source_id: str | None = None,
    record_id: int | None = None,
    system_code: str | None = None,
) -> list[Known]:
    """Return what the systems call a record: by our id, or by the id that a system gives it."""
    head = cross_reference.c
    wanted = [head.dossier_code == dossier_code, head.entity == entity]
    if record_id is not None:
        wanted.append(head.record_id == record_id)
    if source_id is not None:
        wanted.append(head.external_id == source_id)
    if system_code is not None:
        wanted.append(head.system_code == system_code)
    rows = connection.execute(
        sa.select(head.system_code, head.external_id, head.record_id).where(*wanted).order_by(head.system_code)
    )
    return [Known(*row) for row in rows]


def asked_for(connection: sa.Connection, dossier_code: str, entity: str, source_id: str) -> list[Known]:
    """Return the systems of which a record was asked that none has told us of."""
    columns = work_item.c
    rows = connection.scalars(
        sa.select(columns.system_code)
        .where(columns.dossier_code == dossier_code, columns.entity == entity, columns.source_id == source_id)
        .distinct()
        .order_by(columns.system_code)
    )
    return [Known(system, source_id, None) for system in rows]


def happened(connection: sa.Connection, dossier_code: str, entity: str, known: Sequence[Known]) -> list[dict[str, Any]]:
    """Return what happened to a record in the order of time: at, system_code, event, subject, detail, run_id."""
    rows = connection.execute(
        load_sql("journey"),
        {
            "dossier_code": dossier_code,
            "entity": entity,
            "record_id": next((one.record_id for one in known if one.record_id is not None), None),
            "systems": [one.system_code for one in known],
            "source_ids": [one.source_id for one in known],
        },
    )
    return [{name: value for name, value in row.items() if name not in {"place", "number"}} for row in rows.mappings()]
