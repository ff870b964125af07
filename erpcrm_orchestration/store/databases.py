"""Databases of a server: made when they are missing."""

from __future__ import annotations

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from erpcrm_orchestration.store.engine import dsn, unreachable


def ensure_database(url: URL, *, maintenance: str = "postgres") -> bool:
    """Create the database that the URL names when it is missing; return whether it was created."""
    try:
        with psycopg.connect(dsn(url)):
            return False
    except psycopg.Error as error:
        if "does not exist" not in str(error):
            raise unreachable(url, error) from error
    try:
        with psycopg.connect(dsn(url.set(database=maintenance)), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(sql.Identifier(str(url.database)))
            )
    except psycopg.errors.DuplicateDatabase:
        return False
    except psycopg.Error as error:
        raise unreachable(url, error) from error
    return True
