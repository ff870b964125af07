"""Connections to our database, and the named SQL files.

`ERPCRM_DATABASE_URL` is `postgresql+psycopg://user:password@host:port/database`; a bare `postgresql://` is taken as the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from erpcrm_orchestration.domain.errors import InputError, StoreError

VARIABLE = "ERPCRM_DATABASE_URL"
DRIVER = "postgresql+psycopg"
CONNECT_TIMEOUT_S = 10
LOCK_TIMEOUT_S = 30.0
"""A statement waits for another session no longer; what stands still for good is told of instead of standing still too."""
IN_EACH_OTHERS_WAY = frozenset({"40001", "40P01", "55P03"})
"""SQLSTATE of a serialization failure, of a deadlock, and of a lock that was not granted in time: worth another attempt."""
FULL = ("too many clients", "too many connections", "remaining connection slots")
"""What a server says that has no connection left; a refused connection carries no SQLSTATE."""


def parse_url(text: str, *, where: str = VARIABLE) -> URL:
    """Return the URL with our driver; what is not PostgreSQL is refused without repeating the text: it may hold a password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # Without the cause: it repeats a part of the text.
        raise InputError(
            "E-DB-002", where, "not a database URL", "write postgresql+psycopg://user@host:5432/database"
        ) from None
    if url.get_backend_name() != "postgresql":
        raise InputError("E-DB-003", where, f"{url.get_backend_name()} is not PostgreSQL", "give a PostgreSQL 15 or later")
    return url.set(drivername=DRIVER)


def create_engine(
    url: str | URL, *, pool_size: int = 5, application_name: str = "erpcrm", lock_timeout_s: float = LOCK_TIMEOUT_S
) -> sa.Engine:
    """Return an engine whose sessions are in UTC and wait for locks so many seconds; nothing is connected yet."""
    parsed = parse_url(url) if isinstance(url, str) else url.set(drivername=DRIVER)
    options = f"-c timezone=UTC -c lock_timeout={round(lock_timeout_s * 1000)}"
    return sa.create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=10,
        pool_pre_ping=True,
        connect_args={"application_name": application_name, "options": options, "connect_timeout": CONNECT_TIMEOUT_S},
    )


def url_from_environment() -> str:
    """Return ERPCRM_DATABASE_URL; raise InputError when it is missing or empty."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        raise InputError(
            "E-DB-004", VARIABLE, "not set", 'start with `erpcrm up`, run `eval "$(erpcrm env)"`, or set it to your server'
        )
    return text


def dsn(url: URL) -> str:
    """Return the URL as psycopg itself reads it, password included."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def place_of(url: URL) -> str:
    """Return host:port/database of a URL, never its user or password."""
    host = url.host or url.query.get("host") or "local socket"
    return f"{host}:{url.port or url.query.get('port') or 5432}/{url.database or ''}"


@contextmanager
def reported(engine: sa.Engine) -> Iterator[None]:
    """Translate a lost or refused connection, and a lock that was not granted, into a StoreError without any password."""
    try:
        yield
    except PoolTimeout as error:
        raise full(engine.url, "all connections of this process are in use") from error
    except DBAPIError as error:
        if in_each_others_way(error):
            raise locked(engine.url, error.orig) from error
        refused = error.statement is None and isinstance(error.orig, psycopg.ProgrammingError)
        if not (refused or error.connection_invalidated or isinstance(error.orig, psycopg.OperationalError)):
            raise
        raise unreachable(engine.url, error.orig) from error


def unreachable(url: URL, cause: BaseException | None) -> StoreError:
    """Return the error of a server that does not let us in: host, port, and the first line of what was said."""
    first = _first_line(cause)
    if any(words in first for words in FULL):
        return full(url, first)
    return StoreError(
        "E-DB-001",
        place_of(url),
        first.replace(str(url.password), "***") if url.password else first,
        "check that the server runs and that ERPCRM_DATABASE_URL is right, then repeat",
    )


def full(url: URL, found: str) -> StoreError:
    """Return the error of a server that has no connection left."""
    return StoreError(
        "E-DB-005", place_of(url), found, "end sessions that nobody needs or raise max_connections; the next run goes on"
    )


def in_each_others_way(error: DBAPIError) -> bool:
    """True when another session stood in the way, so that the same statement may succeed when it is made again."""
    return getattr(error.orig, "sqlstate", None) in IN_EACH_OTHERS_WAY


def locked(url: URL, cause: BaseException | None) -> StoreError:
    """Return the error of a statement that another session stood in the way of, however often it was made."""
    return StoreError(
        "E-DB-006", place_of(url), _first_line(cause), "see in pg_stat_activity who holds the lock; the next run goes on"
    )


def _first_line(cause: BaseException | None) -> str:
    return next((line for line in str(cause or "").splitlines() if line.strip()), "no answer")


@cache
def load_sql(name: str) -> sa.TextClause:
    """Return the statement of `store/sql/<name>.sql` with `:name` parameters."""
    return sa.text(read_sql(name))


@cache
def read_sql(name: str) -> str:
    """Return the text of `store/sql/<name>.sql`."""
    return files("erpcrm_orchestration.store").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def run_script(connection: sa.Connection, name: str) -> None:
    """Run the statements of `store/sql/<name>.sql` one after the other, in the connection's transaction."""
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    driver.execute(read_sql(name))
