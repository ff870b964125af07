"""What the widget reads: the stored interaction state, in one SELECT of one table, and nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, fields

import sqlalchemy as sa

from erpcrm_orchestration.domain.widget import Widget
from erpcrm_orchestration.store import schema


@dataclass(frozen=True)
class Defaults:
    """What the general parameters say when the person says nothing; `dossier_code` None means every dossier."""

    dossier_code: str | None
    language: str


def read_widgets(connection: sa.Connection, dossier_code: str | None = None) -> tuple[Widget, ...]:
    """Return the stored rows of one dossier or of all, by dossier code; a dossier without a row is absent."""
    table = schema.interaction_state
    statement = sa.select(*(table.c[field.name] for field in fields(Widget))).order_by(table.c.dossier_code)
    if dossier_code is not None:
        statement = statement.where(table.c.dossier_code == dossier_code)
    return tuple(Widget(**row) for row in connection.execute(statement).mappings())


def read_defaults(connection: sa.Connection) -> Defaults:
    """Return the default dossier and language; those of a fresh installation when nothing was applied yet."""
    definition = connection.scalar(sa.select(schema.general_parameters.c.definition)) or {}
    return Defaults(definition.get("default_dossier"), definition.get("language", "fr"))
