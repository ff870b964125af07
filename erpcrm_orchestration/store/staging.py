"""Bulk loading: rows go by COPY into a temporary table of the session, from which one statement merges them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql

from erpcrm_orchestration.store.engine import run_script


def copy_rows(
    connection: sa.Connection, script: str, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Create the staging table by its script if this session has none, and append the rows; it empties at the commit."""
    run_script(connection, script)
    copy_into(connection, table, columns, rows)


def copy_into(connection: sa.Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Append the rows to a temporary table of this session."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise RuntimeError("the connection is closed")
    statement = sql.SQL("COPY pg_temp.{} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
