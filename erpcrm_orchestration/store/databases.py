"""Databases of a server: made when they are missing."""

from __future__ import annotations

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from erpcrm_orchestration.domain.errors import StoreError
from erpcrm_orchestration.store.engine import place_of


def ensure_database(url: URL, *, maintenance: str = "postgres") -> bool:
    """Create the database that the URL names when it is missing; return whether it was created."""
    try:
        with psycopg.connect(_dsn(url)):
            return False
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            raise _unreachable(url, error) from error
    try:
        with psycopg.connect(_dsn(url.set(database=maintenance)), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(sql.Identifier(str(url.database)))
            )
    except psycopg.errors.DuplicateDatabase:
        return False
    except psycopg.Error as error:
        raise _unreachable(url, error) from error
    return True


def _dsn(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _unreachable(url: URL, error: psycopg.Error) -> StoreError:
    text = str(error).strip().splitlines()[0] if str(error).strip() else "no answer"
    if url.password:
        text = text.replace(str(url.password), "***")
    return StoreError(
        "E-DB-001", place_of(url), text, "check that the server runs and that ERPCRM_DATABASE_URL is right, then repeat"
    )
