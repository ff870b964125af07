"""Fields that systems send and no mapping names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from erpcrm_orchestration.domain.connection import Connection
from erpcrm_orchestration.store.integration_schema import stream_drift


def note_drift(connection: sa.Connection, of: Connection, stream: str, examples: Mapping[str, str], now: datetime) -> None:
    """Keep each new field once, with an example of its value."""
    if examples:
        rows = [
            {
                "dossier_code": of.dossier,
                "connection_code": of.connection_code,
                "stream": stream,
                "path": path,
                "first_seen_at": now,
                "example": example,
            }
            for path, example in examples.items()
        ]
        connection.execute(insert(stream_drift).on_conflict_do_nothing(), rows)
