"""Which dossiers a round has something to do for."""

from __future__ import annotations

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.services.connectors import connected
from erpcrm_orchestration.store.connection_state import resting_connections, stopped_connections
from erpcrm_orchestration.store.due import dossiers_with_streams_due, dossiers_with_work


def dossiers_due(engine: sa.Engine, *, clock: Clock) -> list[str]:
    """Return the active dossiers with a stream to be read, a new message or an item of work, sorted."""
    now = clock.now()
    with engine.connect() as connection:
        left_alone = {*stopped_connections(connection), *resting_connections(connection, now)}
        streams = [
            (one.connection.dossier, one.connection.connection_code, stream.name, every_s)
            for one in connected(connection)
            if one.connection.connection_code not in left_alone
            for stream in one.streams
            if stream.read and (every_s := stream.read.every_s or one.connection.poll_interval_s)
        ]
        due = dossiers_with_streams_due(connection, streams, now)
        return sorted({*due, *dossiers_with_work(connection, now, sorted(left_alone))})
