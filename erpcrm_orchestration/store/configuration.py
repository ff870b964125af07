"""The configuration as it stands in the tables, read back as the values of domain.configuration."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter

from erpcrm_orchestration.domain.configuration import (
    CallTarget,
    DatasetType,
    GeneralParameters,
    MailGroup,
    MailMember,
    MailTemplate,
    Source,
)
from erpcrm_orchestration.domain.connection import Connection, Connector
from erpcrm_orchestration.store import schema


@cache
def adapter(kind: type) -> TypeAdapter[Any]:
    """Return the converter between a configuration value and its JSON."""
    return TypeAdapter(kind)


def load_general(connection: sa.Connection) -> GeneralParameters:
    """Return the general parameters; the defaults when none were applied yet."""
    definition = connection.scalar(sa.select(schema.general_parameters.c.definition))
    general: GeneralParameters = adapter(GeneralParameters).validate_python(definition or {})
    return general


def load_sources(connection: sa.Connection) -> dict[str, Source]:
    """Return every source by its code; `${env:NAME}` is still unresolved in it."""
    rows = connection.execute(sa.select(schema.source.c.source_code, schema.source.c.definition))
    return {row.source_code: adapter(Source).validate_python(row.definition) for row in rows}


def load_call_targets(connection: sa.Connection) -> dict[str, CallTarget]:
    """Return every call target by its code; `${env:NAME}` is still unresolved in it."""
    rows = connection.execute(sa.select(schema.call_target.c.target_code, schema.call_target.c.definition))
    return {row.target_code: adapter(CallTarget).validate_python(row.definition) for row in rows}


def load_connectors(connection: sa.Connection) -> dict[str, Connector]:
    """Return every connector by its code, with what its kind brought when it was applied."""
    rows = connection.execute(sa.select(schema.connector.c.connector_code, schema.connector.c.definition))
    return {row.connector_code: adapter(Connector).validate_python(row.definition) for row in rows}


def load_connections(connection: sa.Connection) -> dict[str, Connection]:
    """Return every connection by its code; `${env:NAME}` is still unresolved in it."""
    rows = connection.execute(sa.select(schema.connection.c.connection_code, schema.connection.c.definition))
    return {row.connection_code: adapter(Connection).validate_python(row.definition) for row in rows}


def load_connector(connection: sa.Connection, connector_code: str) -> Connector | None:
    """Return one connector, None when there is none of this code."""
    columns = schema.connector.c
    definition = connection.scalar(sa.select(columns.definition).where(columns.connector_code == connector_code))
    found: Connector | None = None if definition is None else adapter(Connector).validate_python(definition)
    return found


def load_connection(connection: sa.Connection, connection_code: str) -> Connection | None:
    """Return one connection, None when there is none of this code; `${env:NAME}` is still unresolved in it."""
    columns = schema.connection.c
    definition = connection.scalar(sa.select(columns.definition).where(columns.connection_code == connection_code))
    found: Connection | None = None if definition is None else adapter(Connection).validate_python(definition)
    return found


def load_mail_groups(connection: sa.Connection) -> dict[str, MailGroup]:
    """Return every mail group by its code and by each of its aliases."""
    members: dict[str, list[MailMember]] = {}
    for row in connection.execute(sa.select(schema.mail_group_member).order_by(schema.mail_group_member.c.position)):
        members.setdefault(row.group_code, []).append(MailMember(row.address, row.name))
    groups: dict[str, MailGroup] = {}
    for row in connection.execute(sa.select(schema.mail_group)):
        group = MailGroup(row.group_code, tuple(members.get(row.group_code, ())), tuple(row.aliases))
        groups |= dict.fromkeys((row.group_code, *row.aliases), group)
    return groups


def load_mail_templates(connection: sa.Connection) -> dict[str, MailTemplate]:
    """Return every mail template by its code."""
    rows = connection.execute(sa.select(schema.mail_template))
    return {row.template_code: MailTemplate(row.template_code, row.subject, row.text, row.html) for row in rows}


def load_dataset_types(connection: sa.Connection) -> dict[str, DatasetType]:
    """Return every dataset type with its automaton, by type code."""
    states: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(sa.select(schema.automaton_state).order_by(schema.automaton_state.c.state_number)).mappings():
        states.setdefault(row["type_code"], []).append({k: v for k, v in row.items() if k != "type_code"})
    return {
        row.type_code: adapter(DatasetType).validate_python(
            {
                "type_code": row.type_code,
                "category": row.category,
                "label": row.label,
                "fields": row.fields,
                "states": states.get(row.type_code, []),
            }
        )
        for row in connection.execute(sa.select(schema.dataset_type))
    }


def has_general(connection: sa.Connection) -> bool:
    """True when general parameters were applied."""
    return connection.scalar(sa.select(schema.general_parameters.c.only_row)) is not None
