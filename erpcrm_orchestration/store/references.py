"""What received or sent data still names: it is never removed from the configuration."""

from __future__ import annotations

import sqlalchemy as sa

from erpcrm_orchestration.store.engine import load_sql


def held_codes(connection: sa.Connection) -> frozenset[tuple[str, str]]:
    """Return (section, code) of call targets, dataset types and connections that tasks, calls, datasets and messages name."""
    return frozenset((row.section, row.code) for row in connection.execute(load_sql("held_configuration")))
