"""Time partitions: made ahead, dropped when all of their rows are older than what is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from psycopg import sql

from erpcrm_orchestration.store.engine import load_sql

MONTHS_BEHIND = 14
MONTHS_AHEAD = 3


@dataclass(frozen=True)
class TimePartitioned:
    """A table that is partitioned by month of `column`."""

    schema: str
    table: str
    column: str


PARTITIONED = (
    TimePartitioned("flow", "logbook_entry", "at"),
    TimePartitioned("supervision", "interaction_state_history", "last_refreshed_at"),
)


def ensure_partitions(connection: sa.Connection, now: datetime, *, behind: int = MONTHS_BEHIND) -> int:
    """Create the monthly partitions from `behind` months before to 3 after `now` and the one for the rest; return how many."""
    existing = _existing(connection)
    months = [_month(now, offset) for offset in range(-behind, MONTHS_AHEAD + 1)]
    made = 0
    for table in PARTITIONED:
        for first in months:
            name = f"{table.table}_{first:%Y_%m}"
            if (table.schema, name) not in existing:
                _execute(connection, _partition_of(table, name, first, _month(first, 1)))
                made += 1
        if (table.schema, f"{table.table}_rest") not in existing:
            _execute(connection, _rest_of(table))
            made += 1
    return made


def drop_expired(connection: sa.Connection, table: TimePartitioned, *, keep_from: datetime) -> tuple[str, ...]:
    """Drop the partitions that end before `keep_from` and delete what is older in the others; return the dropped names."""
    dropped = []
    for schema, name in sorted(_existing(connection)):
        suffix = name.removeprefix(f"{table.table}_")
        if schema != table.schema or suffix in (name, "rest"):
            continue
        first = datetime.strptime(suffix, "%Y_%m").replace(tzinfo=UTC)
        if _month(first, 1) <= keep_from:
            _execute(connection, sql.SQL("DROP TABLE {}").format(sql.Identifier(schema, name)))
            dropped.append(name)
    _execute(
        connection,
        sql.SQL("DELETE FROM {} WHERE {} < {}").format(
            sql.Identifier(table.schema, table.table), sql.Identifier(table.column), sql.Literal(keep_from)
        ),
    )
    return tuple(dropped)


def _existing(connection: sa.Connection) -> set[tuple[str, str]]:
    return {(row.schema_name, row.table_name) for row in connection.execute(load_sql("time_partitions"))}


def _month(at: datetime, offset: int) -> datetime:
    index = at.astimezone(UTC).year * 12 + at.astimezone(UTC).month - 1 + offset
    return datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC)


def _partition_of(table: TimePartitioned, name: str, first: datetime, after: datetime) -> sql.Composed:
    return sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
        sql.Identifier(table.schema, name), sql.Identifier(table.schema, table.table), sql.Literal(first), sql.Literal(after)
    )


def _rest_of(table: TimePartitioned) -> sql.Composed:
    return sql.SQL("CREATE TABLE {} PARTITION OF {} DEFAULT").format(
        sql.Identifier(table.schema, f"{table.table}_rest"), sql.Identifier(table.schema, table.table)
    )


def _execute(connection: sa.Connection, statement: sql.Composed) -> None:
    """Run DDL whose names cannot be bound parameters; psycopg quotes them."""
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    driver.execute(statement)


def keep_from(now: datetime, days: int) -> datetime:
    """Return the oldest instant that is kept."""
    return now - timedelta(days=days)
