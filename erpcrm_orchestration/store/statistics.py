"""The planner's statistics of the tables that a first load fills."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.store.integration_schema import address, child_table, cross_reference, entity_table, inbox


def analyze_received(connection: sa.Connection) -> None:
    """Analyze what a received record is written to: the inbox and the cross-reference."""
    _analyze(connection, (inbox, cross_reference))


def analyze_entity(connection: sa.Connection, entity: str) -> None:
    """Analyze what an integrated record of an entity is written to: its table, those of its rows, and the addresses."""
    children = (child_table[entity, child.name] for child in ENTITIES[entity].children)
    _analyze(connection, (entity_table[entity], *children, address))


def _analyze(connection: sa.Connection, tables: Iterable[sa.Table]) -> None:
    name = connection.dialect.identifier_preparer.format_table
    connection.execute(sa.text(f"ANALYZE {', '.join(name(one) for one in tables)}"))
