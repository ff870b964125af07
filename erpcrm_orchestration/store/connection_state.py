"""How connections and their streams stand: which are stopped and why, and when they were last asked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from erpcrm_orchestration.domain.connection import Connection
from erpcrm_orchestration.domain.errors import SourceError, TransientFailure
from erpcrm_orchestration.domain.work import LONGEST_RETRY_AFTER_S
from erpcrm_orchestration.store.integration_schema import connection_state
from erpcrm_orchestration.store.schema import connection as connections
from erpcrm_orchestration.store.schema import source_cursor


def cursor_source(connection_code: str) -> str:
    """Return the name under which the cursors of a connection are kept."""
    return f"connection:{connection_code}"


def stopped_connections(connection: sa.Connection) -> dict[str, str]:
    """Return connection code -> why it is stopped."""
    columns = connection_state.c
    rows = connection.execute(sa.select(columns.connection_code, columns.stopped_reason).where(columns.stopped_at.is_not(None)))
    return {row.connection_code: row.stopped_reason for row in rows}


def stopped_streams(connection: sa.Connection) -> dict[tuple[str, str], str]:
    """Return (connection code, stream) -> why it is stopped."""
    columns = source_cursor.c
    rows = connection.execute(
        sa.select(columns.source_code, columns.stream, columns.stopped_reason).where(columns.stopped_at.is_not(None))
    )
    return {(row.source_code.removeprefix("connection:"), row.stream): row.stopped_reason for row in rows}


def is_integrated(connection: sa.Connection, dossier_code: str, system_code: str | None) -> bool:
    """True when the dossier has an active connection to this system."""
    columns = connections.c
    active = sa.select(
        sa.exists().where(columns.dossier_code == dossier_code, columns.system_code == system_code, columns.active)
    )
    return system_code is not None and bool(connection.scalar(active))


def note(connection: sa.Connection, of: Connection, **values: Any) -> None:  # noqa: ANN401  columns of any type
    """Write these columns of a connection's state."""
    statement = insert(connection_state).values(dossier_code=of.dossier, connection_code=of.connection_code, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["dossier_code", "connection_code"], set_=values))


def last_request(connection: sa.Connection, of: Connection) -> datetime | None:
    """Return when a record was last fetched at a person's wish."""
    columns = connection_state.c
    found: datetime | None = connection.scalar(
        sa.select(columns.request_at).where(columns.dossier_code == of.dossier, columns.connection_code == of.connection_code)
    )
    return found


def rest(connection: sa.Connection, of: Connection, failure: SourceError, now: datetime) -> bool:
    """Leave a system alone for as long as its failure wishes; False when it wishes nothing."""
    wish = failure.retry_after_s if isinstance(failure, TransientFailure) else None
    if wish:
        note(connection, of, rest_until=now + timedelta(seconds=min(wish, LONGEST_RETRY_AFTER_S)))
    return bool(wish)


def resting_connections(connection: sa.Connection, now: datetime) -> set[str]:
    """Return the connections whose system wished to be left alone for now; a longer rest than any is from another clock."""
    columns = connection_state.c
    longest = now + timedelta(seconds=LONGEST_RETRY_AFTER_S)
    rests = sa.and_(columns.rest_until > now, columns.rest_until <= longest)
    return set(connection.scalars(sa.select(columns.connection_code).where(rests)))


@dataclass(frozen=True)
class WebhookState:
    """How the webhooks of a connection stood when its system was last asked."""

    status: str
    seen_at: datetime


def webhook_states(connection: sa.Connection, connection_codes: Collection[str]) -> dict[str, WebhookState]:
    """Return connection code -> how its webhooks stand, of those that were looked at."""
    columns = connection_state.c
    rows = connection.execute(
        sa.select(columns.connection_code, columns.webhook_status, columns.webhook_seen_at).where(
            columns.connection_code.in_(connection_codes), columns.webhook_seen_at.is_not(None)
        )
    )
    return {row.connection_code: WebhookState(row.webhook_status or "", row.webhook_seen_at) for row in rows}


def stop_connection(connection: sa.Connection, of: Connection, reason: str, now: datetime) -> None:
    """Stop everything with this system until a person resumes it."""
    note(connection, of, stopped_at=now, stopped_reason=reason)


def resume_connection(connection: sa.Connection, dossier_code: str, connection_code: str) -> bool:
    """Let a connection and all of its streams go on; False when nothing was stopped."""
    state, cursor = connection_state, source_cursor
    resumed = connection.execute(
        sa.update(state)
        .where(
            state.c.dossier_code == dossier_code,
            state.c.connection_code == connection_code,
            state.c.stopped_at.is_not(None),
        )
        .values(stopped_at=None, stopped_reason=None)
    ).rowcount
    streams = connection.execute(
        sa.update(cursor)
        .where(
            cursor.c.dossier_code == dossier_code,
            cursor.c.source_code == cursor_source(connection_code),
            cursor.c.stopped_at.is_not(None),
        )
        .values(stopped_at=None, stopped_reason=None)
    ).rowcount
    return bool(resumed or streams)


def stop_stream(connection: sa.Connection, of: Connection, stream: str, reason: str, now: datetime) -> None:
    """Stop reading and integrating a stream until a person resumes its connection."""
    values = {"stopped_at": now, "stopped_reason": reason}
    key = {"dossier_code": of.dossier, "source_code": cursor_source(of.connection_code), "stream": stream}
    statement = insert(source_cursor).values(**key, overlap_s=of.overlap_floor_s, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))
