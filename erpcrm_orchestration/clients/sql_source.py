"""Reads the streams of an existing database by SQL, never writing: pages in keyset order, with deadlines.

PostgreSQL is read in one read-only snapshot per stream pass, SQLite through a read-only file. SQL Server needs
`pip install erpcrm-orchestration[mssql]`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, NoSuchTableError, SQLAlchemyError

from erpcrm_orchestration.clients.deadline import MARGIN_S, deadline
from erpcrm_orchestration.clients.sql_statement import DOSSIER, PLACE, Dialect, Statement, StreamReader
from erpcrm_orchestration.domain.configuration import Source
from erpcrm_orchestration.domain.errors import InputError, PermanentFailure, SourceError, TransientFailure, did_you_mean
from erpcrm_orchestration.domain.intake import RawRow, Stream, Window, limits
from erpcrm_orchestration.domain.secret import resolve
from erpcrm_orchestration.domain.values import instant

KEYS_AT_ONCE = 500
UNPLACED_AT_ONCE = 1000
DRIVERS = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite+pysqlite", "mssql": "mssql+pymssql"}

CLOCKS = {
    "postgresql": sa.select(sa.cast(sa.func.clock_timestamp(), sa.Text)),
    "sqlite": sa.select(sa.func.strftime("%Y-%m-%d %H:%M:%f+00:00", "now")),
    "mssql": sa.select(
        sa.func.convert(sa.literal_column("NVARCHAR(40)"), sa.func.sysdatetimeoffset(), sa.literal_column("121"))
    ),
}


class SourceUnreachable(TransientFailure):
    """No connection: every dossier of the source waits for the next pass."""


class SqlSource:
    """One database of the company. Use `session` around everything that is read together.

    `where` names it in errors, `source <code>` by itself.
    """

    def __init__(self, source: Source, environment: Mapping[str, str], where: str | None = None) -> None:
        self.source = source
        self.where = where or f"source {source.source_code}"
        self._url = _parsed(source, environment, self.where)
        self._engine = _engine(self._url, source.timeout_s, self.where)
        self._readers: dict[str, StreamReader] = {}

    @contextmanager
    def session(self) -> Iterator[SourceSession]:
        """Yield a session; raise SourceUnreachable when there is no connection to be had."""
        with self.connection() as connection:
            yield SourceSession(self, connection)

    @contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        """Yield a connection for statements of one's own; raise SourceUnreachable when there is none to be had."""
        try:
            connection = self._engine.connect()
        except DBAPIError as error:
            failure = self.failure(error)
            raise SourceUnreachable("E-SRC-020", failure.where, failure.found, "it is read again at the next pass") from None
        with connection:
            yield connection

    @contextmanager
    def translated(self, connection: sa.Connection) -> Iterator[None]:
        """Turn what the driver raises into a SourceError without any secret; give up when nobody answers in time."""
        try:
            with deadline(connection, self.source.timeout_s + MARGIN_S):
                yield
        except (DBAPIError, NoSuchTableError) as error:
            raise self.failure(error) from None

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def failure(self, error: SQLAlchemyError) -> SourceError:
        """Return the error as one line that repeats neither the URL nor the statement with its values."""
        cause = getattr(error, "orig", None) or error
        first = next((line for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
        if self._url.password:
            first = first.replace(str(self._url.password), "***")
        lost = isinstance(error, DBAPIError) and (error.connection_invalidated or _passes(cause))
        kind = TransientFailure if lost else PermanentFailure
        remedy = "it is read again at the next pass" if lost else "correct the source or its mapping"
        return kind("E-SRC-020" if lost else "E-SRC-024", self.where, first.strip(), remedy)

    def reader(self, stream: Stream, connection: sa.Connection) -> StreamReader:
        """Return the statements of a stream; the columns of its table are looked up once."""
        if stream.name not in self._readers:
            where = f"{self.where} stream {stream.name}"
            dialect = Dialect(connection.dialect.name)
            self._readers[stream.name] = StreamReader(
                stream, dialect, columns_of(stream.table, stream.schema, connection, where), where
            )
        return self._readers[stream.name]


class SourceSession:
    """A connection to a source."""

    def __init__(self, owner: SqlSource, connection: sa.Connection) -> None:
        self._owner = owner
        self._connection = connection
        self._page_size = owner.source.page_size

    def now(self) -> datetime:
        """Return the source's own clock."""
        with self._owner.translated(self._connection):
            shown = self._connection.execute(CLOCKS[self._connection.dialect.name]).scalar_one()
        return instant(shown, zone=None, where=f"{self._owner.where} clock")

    def pages(self, stream: Stream, dossier_codes: Sequence[str], span: Window) -> Iterator[list[RawRow]]:
        """Yield the rows of the window page by page, in the order (instant, key, dossier)."""
        reader = self._reader(stream)
        ends = limits(span, reader.clocking, self._owner.source.time_zone)
        after: tuple[str, object, object] | None = None
        while True:
            rows = self._rows(stream, reader.page(dossier_codes, ends, after, self._page_size))
            if rows:
                yield rows
            if len(rows) < self._page_size:
                return
            after = (str(rows[-1].place), rows[-1].values["key"], rows[-1].dossier)

    def unplaced(self, stream: Stream, dossier_codes: Sequence[str]) -> list[RawRow]:
        """Return rows that no window can hold, at most a thousand."""
        reader = self._reader(stream)
        return self._rows(stream, reader.unplaced(dossier_codes, UNPLACED_AT_ONCE))

    def keyed(self, stream: Stream, dossier_codes: Sequence[str], keys: Sequence[str]) -> Iterator[list[RawRow]]:
        """Yield the rows with these keys."""
        reader = self._reader(stream)
        for start in range(0, len(keys), KEYS_AT_ONCE):
            yield self._rows(stream, reader.keyed(dossier_codes, keys[start : start + KEYS_AT_ONCE]))

    def _reader(self, stream: Stream) -> StreamReader:
        with self._owner.translated(self._connection):
            return self._owner.reader(stream, self._connection)

    def _rows(self, stream: Stream, statement: Statement) -> list[RawRow]:
        with self._owner.translated(self._connection):
            return [_raw(stream, row) for row in self._connection.execute(statement).mappings()]


def _raw(stream: Stream, row: Mapping[Any, Any]) -> RawRow:
    values = {our: row[f"c_{our}"] for our in stream.columns}
    payload = {name: row[f"p_{at}"] for at, name in enumerate(stream.payload)}
    return RawRow(row[PLACE], row[DOSSIER], values, payload)


def _parsed(source: Source, environment: Mapping[str, str], where: str) -> URL:
    try:
        url = make_url(resolve(source.url, environment, where=f"{where} url"))
    except ArgumentError:
        raise PermanentFailure("E-SRC-025", where, "url is not a database URL", "write dialect://user@host/database") from None
    except InputError as error:
        raise PermanentFailure(error.code, error.where, error.found, error.remedy) from None
    backend = url.get_backend_name()
    if backend not in DRIVERS:
        raise PermanentFailure("E-SRC-026", where, f"{backend} cannot be read", f"use {', '.join(sorted(DRIVERS))}")
    return url.set(drivername=DRIVERS[backend]) if "+" not in url.drivername else url


def _engine(url: URL, timeout_s: int, where: str) -> sa.Engine:
    backend = url.get_backend_name()
    if backend == "sqlite":
        return _sqlite_engine(url, timeout_s, where)
    deadlines: dict[str, object] = {"login_timeout": timeout_s, "timeout": timeout_s}
    options: dict[str, Any] = {}
    if backend == "postgresql":
        milliseconds = timeout_s * 1000
        deadlines = {
            "connect_timeout": max(2, timeout_s),
            "tcp_user_timeout": milliseconds,
            "application_name": "erpcrm intake",
            "options": f"-c statement_timeout={milliseconds} -c timezone=UTC -c datestyle=ISO",
        }
        options = {"isolation_level": "REPEATABLE READ", "execution_options": {"postgresql_readonly": True}}
    try:
        return sa.create_engine(url, pool_size=1, max_overflow=0, connect_args=deadlines, **options)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise PermanentFailure(
            "E-SRC-027", where, f"no driver for {url.drivername}", "pip install erpcrm-orchestration[mssql]"
        ) from error


def _sqlite_engine(url: URL, timeout_s: int, where: str) -> sa.Engine:
    path = Path(url.database or "")
    if not path.is_file():
        raise SourceUnreachable("E-SRC-020", where, f"no database file {path}", "it is read again at the next pass")

    def connect() -> sqlite3.Connection:
        file = f"file:{quote(str(path.absolute()))}?mode=ro"
        connection = sqlite3.connect(file, uri=True, timeout=timeout_s, check_same_thread=False)
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        return connection

    return sa.create_engine("sqlite+pysqlite://", creator=connect, poolclass=sa.QueuePool, pool_size=1, max_overflow=0)


def columns_of(table: str, schema: str | None, connection: sa.Connection, where: str) -> dict[str, Any]:
    """Return the columns of a table or view with their types; raise PermanentFailure E-SRC-021 when there is none."""
    inspector = sa.inspect(connection)
    try:
        return {column["name"]: column["type"] for column in inspector.get_columns(table, schema=schema)}
    except NoSuchTableError:
        names = [*inspector.get_table_names(schema=schema), *inspector.get_view_names(schema=schema)]
        raise PermanentFailure("E-SRC-021", where, f"no table or view {table}", did_you_mean(table, names)) from None


def _passes(cause: BaseException) -> bool:
    """True for failures that pass by themselves: no connection, a deadline, a lock. SQLSTATE classes 08, 40, 53, 55, 57."""
    state = getattr(cause, "sqlstate", None)
    if state is None:
        return type(cause).__name__ in {"OperationalError", "InterfaceError"} and "no such" not in str(cause)
    return str(state)[:2] in {"08", "40", "53", "55", "57"}
