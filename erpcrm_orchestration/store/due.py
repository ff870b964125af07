"""What is due for the integration, found with one statement each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.store.connection_state import cursor_source
from erpcrm_orchestration.store.engine import load_sql


def dossiers_with_streams_due(
    connection: sa.Connection, streams: Sequence[tuple[str, str, str, int]], now: datetime
) -> list[str]:
    """Return the active dossiers that have a stream which nobody read for its interval.

    `streams` are (dossier, connection code, stream, interval in seconds).
    """
    if not streams:
        return []
    dossiers, connections, names, intervals = zip(*streams, strict=True)
    rows = connection.execute(
        load_sql("streams_due"),
        {
            "dossiers": list(dossiers),
            "sources": [cursor_source(code) for code in connections],
            "streams": list(names),
            "intervals": list(intervals),
            "now": now,
        },
    )
    return list(rows.scalars())


def dossiers_with_work(connection: sa.Connection, now: datetime, left_alone: Sequence[str]) -> list[str]:
    """Return the active dossiers with new messages or due work items, but none of connections that are left alone."""
    return list(connection.execute(load_sql("work_due"), {"now": now, "left_alone": list(left_alone)}).scalars())
