"""What is configured for the background routines: read back and written, whole values in JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.routine_settings import Agenda, Audience, ClassRule, MonitorParameter, Server
from erpcrm_orchestration.store import routine_schema as schema
from erpcrm_orchestration.store.configuration import adapter
from erpcrm_orchestration.store.configuration_write import upsert


@dataclass(frozen=True)
class Section:
    """Where the values of a section stand; `columns` are those that stand beside the definition, because SQL asks for them."""

    kind: type
    table: sa.Table
    columns: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """Return the name of the key."""
        return next(iter(self.table.primary_key.columns)).name


SECTIONS: Mapping[str, Section] = {
    "servers": Section(Server, schema.server, ("state", "capacity")),
    "agendas": Section(Agenda, schema.agenda),
    "audiences": Section(Audience, schema.audience),
    "monitors": Section(MonitorParameter, schema.monitor_parameter),
    "class_rules": Section(ClassRule, schema.class_rule),
}


def load(connection: sa.Connection, section: str) -> dict[str, Any]:
    """Return every value of a section by its code."""
    one = SECTIONS[section]
    rows = connection.execute(sa.select(one.table.c[one.code], one.table.c.definition).order_by(one.table.c[one.code]))
    return {row[0]: adapter(one.kind).validate_python(row.definition) for row in rows}


def load_one(connection: sa.Connection, section: str, code: str) -> Any | None:  # noqa: ANN401  a value of the section's kind
    """Return one value, None when there is none of this code."""
    one = SECTIONS[section]
    definition = connection.scalar(sa.select(one.table.c.definition).where(one.table.c[one.code] == code))
    return None if definition is None else adapter(one.kind).validate_python(definition)


def write(connection: sa.Connection, section: str, values: Sequence[Any], *, now: datetime) -> None:
    """Write these values."""
    one = SECTIONS[section]
    dumped = [adapter(one.kind).dump_python(value, mode="json") for value in values]
    rows = [
        {one.code: each[one.code], **{name: each[name] for name in one.columns}, "definition": each, "updated_at": now}
        for each in dumped
    ]
    upsert(connection, one.table, rows)
