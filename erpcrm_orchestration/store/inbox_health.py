"""How the inboxes stand, and what of it has changed since Dagster was told."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.inbox_health import InboxHealth
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.integration_schema import entity_table
from erpcrm_orchestration.store.schema import alert


def load_health(connection: sa.Connection, dossier_codes: Sequence[str]) -> dict[tuple[str, str], InboxHealth]:
    """Return (dossier, entity) -> how its inbox stands; what has neither open messages nor problems is missing."""
    rows = connection.execute(load_sql("inbox_health"), {"dossier_codes": list(dossier_codes)})
    found = [InboxHealth(**row) for row in rows.mappings()]
    return {(one.dossier_code, one.entity): one for one in found if one.entity in ENTITIES}


def count_rows(connection: sa.Connection, dossier_code: str, entity: str) -> int:
    """Return how many records of an entity a dossier has that are not deleted."""
    table = entity_table[entity]
    found: int | None = connection.scalar(
        sa.select(sa.func.count()).where(table.c.dossier_code == dossier_code, table.c.deleted_at.is_(None))
    )
    return found or 0


def open_alerts(
    connection: sa.Connection, dossier_codes: Collection[str], check_names: Collection[str]
) -> set[tuple[str, str]]:
    """Return (dossier, check name) of the open alerts among these."""
    rows = connection.execute(
        sa.select(alert.c.dossier_code, alert.c.check_name).where(
            alert.c.closed_at.is_(None), alert.c.dossier_code.in_(dossier_codes), alert.c.check_name.in_(check_names)
        )
    )
    return {(row.dossier_code, row.check_name) for row in rows}
