"""Writing the configuration: whole objects, set-based, in the transaction of the caller."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from erpcrm_orchestration.domain.configuration import (
    AutomatonState,
    CallTarget,
    DatasetField,
    DatasetType,
    GeneralParameters,
    MailGroup,
    MailTemplate,
    Source,
)
from erpcrm_orchestration.domain.connection import Connection, Connector
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.configuration import adapter

LOCK = 0x45525043
"""Key of the advisory lock under which configurations are compared and applied, one at a time."""


def lock_configuration(connection: sa.Connection) -> None:
    """Wait until no other transaction applies a configuration; the lock ends with this transaction."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))


def write_general(connection: sa.Connection, general: GeneralParameters, *, now: datetime) -> None:
    """Write the general parameters and the settings of the watchers."""
    definition = adapter(GeneralParameters).dump_python(general, mode="json")
    upsert(connection, schema.general_parameters, [{"only_row": True, "definition": definition, "updated_at": now}])
    watchers = [
        {"watcher_code": one.code, "enabled": one.enabled, "poll_interval_s": one.poll_interval_s} for one in general.watchers
    ]
    upsert(connection, schema.watcher, watchers)


def write_sources(connection: sa.Connection, sources: Sequence[Source], *, now: datetime) -> None:
    """Write these sources."""
    dump = adapter(Source).dump_python
    rows = [{"source_code": one.source_code, "definition": dump(one, mode="json"), "updated_at": now} for one in sources]
    upsert(connection, schema.source, rows)


def write_call_targets(connection: sa.Connection, targets: Sequence[CallTarget], *, now: datetime) -> None:
    """Write these call targets."""
    dump = adapter(CallTarget).dump_python
    rows = [{"target_code": one.target_code, "definition": dump(one, mode="json"), "updated_at": now} for one in targets]
    upsert(connection, schema.call_target, rows)


def write_connectors(connection: sa.Connection, connectors: Sequence[Connector], *, now: datetime) -> None:
    """Write these connectors."""
    dump = adapter(Connector).dump_python
    rows = [
        {"connector_code": one.connector_code, "definition": dump(one, mode="json"), "updated_at": now} for one in connectors
    ]
    upsert(connection, schema.connector, rows)


def write_connections(connection: sa.Connection, connections: Sequence[Connection], *, now: datetime) -> None:
    """Write these connections; the dossier, the system and whether it is active stand in columns too."""
    dump = adapter(Connection).dump_python
    rows = [
        {
            "connection_code": one.connection_code,
            "dossier_code": one.dossier,
            "system_code": one.system,
            "connector_code": one.connector,
            "definition": dump(one, mode="json"),
            "active": one.active,
            "updated_at": now,
        }
        for one in connections
    ]
    upsert(connection, schema.connection, rows)


def write_mail_groups(connection: sa.Connection, groups: Sequence[MailGroup], *, now: datetime) -> None:
    """Write these mail groups; their members are replaced."""
    rows = [{"group_code": one.group_code, "aliases": list(one.aliases), "updated_at": now} for one in groups]
    upsert(connection, schema.mail_group, rows)
    member = schema.mail_group_member
    connection.execute(sa.delete(member).where(member.c.group_code.in_([one.group_code for one in groups])))
    members = [
        {"group_code": group.group_code, "address": one.address, "name": one.name, "position": position}
        for group in groups
        for position, one in enumerate(group.members)
    ]
    upsert(connection, member, members)


def write_mail_templates(connection: sa.Connection, templates: Sequence[MailTemplate], *, now: datetime) -> None:
    """Write these mail templates."""
    upsert(connection, schema.mail_template, [{**vars(one), "updated_at": now} for one in templates])


def write_dataset_types(connection: sa.Connection, types: Sequence[DatasetType], *, now: datetime) -> None:
    """Write these dataset types; their automatons are replaced. References between states are checked at the commit."""
    field, state = adapter(DatasetField), adapter(AutomatonState)
    rows = [
        {
            "type_code": one.type_code,
            "category": one.category,
            "label": one.label,
            "fields": [field.dump_python(each, mode="json") for each in one.fields],
            "updated_at": now,
        }
        for one in types
    ]
    upsert(connection, schema.dataset_type, rows)
    table = schema.automaton_state
    connection.execute(sa.delete(table).where(table.c.type_code.in_([one.type_code for one in types])))
    states = [{"type_code": one.type_code, **state.dump_python(each, mode="json")} for one in types for each in one.states]
    upsert(connection, table, states)


def remove_codes(connection: sa.Connection, table: sa.Table, codes: Collection[str]) -> None:
    """Delete the rows of these codes; the code is the table's primary key."""
    (code,) = table.primary_key.columns
    connection.execute(sa.delete(table).where(code.in_(list(codes))))


def upsert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Write whole rows by their primary key."""
    if not rows:
        return
    statement = insert(table)
    keys = [column.name for column in table.primary_key.columns]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)
