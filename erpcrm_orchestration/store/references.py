"""What received or sent data still names: it is never removed from the configuration."""

from __future__ import annotations

import sqlalchemy as sa

from erpcrm_orchestration.store.engine import load_sql


def held_codes(connection: sa.Connection) -> frozenset[tuple[str, str]]:
    """Return (section, code) of the call targets and dataset types that tasks, calls and datasets name."""
    return frozenset((row.section, row.code) for row in connection.execute(load_sql("held_configuration")))
