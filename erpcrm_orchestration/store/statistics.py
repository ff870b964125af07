"""The planner's statistics of the tables that a first load fills."""

from __future__ import annotations

import sqlalchemy as sa

from erpcrm_orchestration.store.engine import load_sql


def refresh_statistics(connection: sa.Connection) -> None:
    """Analyze the inbox, the cross-reference and the tables of the entities."""
    connection.execute(load_sql("analyze_integration"))
