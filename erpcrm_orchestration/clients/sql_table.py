"""The client of kind `sql`: any table or view of a database as a list of records, with the rows that belong to each.

`read.pages.path` is the table, its query the schema and the values of columns; `read.follow` puts the rows of another table
into a record. Nothing is ever written. The supervision reads its streams by the same statements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.clients.frame import ClientFrame
from erpcrm_orchestration.clients.plain_json import record_text
from erpcrm_orchestration.clients.rest_record import received
from erpcrm_orchestration.clients.sql_follow import Row, Table, link_values, linked, put_in, table_of
from erpcrm_orchestration.clients.sql_source import SourceSession, SourceUnreachable, SqlSource, columns_of
from erpcrm_orchestration.clients.sql_statement import DOSSIER, PLACE, Dialect, Statement, StreamReader
from erpcrm_orchestration.clients.table_shape import is_shaped, shaped
from erpcrm_orchestration.domain.configuration import Source
from erpcrm_orchestration.domain.connection import Call, ChangeMode, Connection, Connector, ConnectorEntity, Reading
from erpcrm_orchestration.domain.errors import CredentialsRefused, PermanentFailure, did_you_mean
from erpcrm_orchestration.domain.intake import FUTURE_ALLOWANCE, Stream, Window, limits
from erpcrm_orchestration.domain.received import Change, Page, Received, Span, Written
from erpcrm_orchestration.domain.values import FIRST_INSTANT

REFUSED = re.compile(r'authentication failed|Login failed|no password supplied|role "[^"]*" (does not exist|is not permitted)')
"""How PostgreSQL and SQL Server say that they do not let us in; at that moment the drivers know no code."""
UNPLACED_AT_ONCE = 1000
PARENTS_AT_ONCE = 500


class SqlClient(ClientFrame):
    """A ConnectorClient for the kind `sql`. Nothing is connected before the first use."""

    def __init__(self, connector: Connector, connection: Connection, environment: Mapping[str, str]) -> None:
        self._connector, self._connection, self._environment = connector, connection, environment
        self.where = f"connection {connection.connection_code}"
        self._opened: SqlSource | None = None
        self._readers: dict[tuple[object, ...], StreamReader] = {}

    def close(self) -> None:
        """Close the connection to the database."""
        if self._opened is not None:
            self._opened.close()

    def pages(self, entity: ConnectorEntity, span: Span) -> Iterator[Page]:
        """Yield the rows of the span in pages, in the order of change or key; on PostgreSQL all from one snapshot."""
        reading = self._reading(entity)
        with self._connected() as (source, connection):
            clock = SourceSession(source, connection).now()
            read = _Pass(self, source, connection, reading, f"{self.where} {entity.name}")
            if read.is_shaped:
                yield Page(list(read.shaped()), clock)
                return
            for rows in read.batches(span, clock):
                yield Page(read.records(rows), clock, 1 + len(reading.follow))

    def fetch(self, entity: ConnectorEntity, source_id: str) -> Received | None:
        """Return one record as it is now, None when the table has no such row."""
        reading = self._reading(entity)
        with self._connected() as (source, connection):
            read = _Pass(self, source, connection, reading, f"{self.where} {entity.name}")
            if read.is_shaped:
                return next((one for one in read.shaped() if one.source_id == source_id), None)
            rows = read.rows(read.main, read.main.keyed(self.dossier, [source_id]))
            return next(iter(read.records(rows[:1])), None)

    def write(self, change: Change) -> Written:
        """Refuse: an existing database is never written."""
        where = f"{self.where} {change.entity.name}"
        raise PermanentFailure("E-SRC-053", where, "a database is not written", "leave `write` out of the connector")

    def look(self, change: Change) -> str | None:
        """Refuse: nothing is ever created here."""
        self.write(change)
        return None

    @property
    def dossier(self) -> tuple[str, ...]:
        """The dossier of the connection: what `{dossier}` in the value of a column stands for."""
        return (self._connection.dossier,)

    def reader(self, connection: sa.Connection, table: Table, names: tuple[str, str], where: str) -> StreamReader:
        """Return the statements of a table whose key and ordering columns have these names; "" takes any column."""
        mark = (table.name, table.schema, tuple(table.where.items()), names)
        if mark not in self._readers:
            types = columns_of(table.name, table.schema, connection, where)
            for name in (*filter(None, names), *table.links, *table.order):
                if name not in types:
                    found = f"table {table.name} has no column {name}"
                    raise PermanentFailure("E-SRC-022", where, found, did_you_mean(name, types))
            key = names[0] or next(iter(types))
            stream = Stream(
                table.name, "tasks", table.name, table.schema, {"key": key, "order": names[1] or key}, table.where,
                "order" if names[1] else "key", (), tuple(types),
            )  # fmt: skip
            self._readers[mark] = StreamReader(stream, Dialect(connection.dialect.name), types, where)
        return self._readers[mark]

    @contextmanager
    def _connected(self) -> Iterator[tuple[SqlSource, sa.Connection]]:
        source = self._source()
        try:
            with source.connection() as connection:
                yield source, connection
        except SourceUnreachable as failure:
            if not REFUSED.search(failure.found):
                raise
            remedy = "correct the url of the connection"
            raise CredentialsRefused("E-SRC-049", failure.where, failure.found, remedy) from None

    def _source(self) -> SqlSource:
        if self._opened is None:
            one, connector = self._connection, self._connector
            described = Source(one.connection_code, one.url, one.time_zone, timeout_s=connector.timeout_s)
            self._opened = SqlSource(described, self._environment, self.where)
        return self._opened


class _Pass:
    """One reading of an entity on one connection."""

    def __init__(self, client: SqlClient, source: SqlSource, connection: sa.Connection, reading: Reading, where: str) -> None:
        self._client, self._source, self._connection, self._reading, self.where = client, source, connection, reading, where
        self._size = reading.paging.size
        self.is_shaped = is_shaped(reading, where)
        names = ("", "") if self.is_shaped else (reading.record_id, reading.modified or "")
        self.main = self._reader(reading.pages, *names)

    def shaped(self) -> Iterator[Received]:
        """Yield the records that a table of tables tells; it is read as a whole, in an order that is always the same."""
        order = [name for name in ("table_name", "record_key", "field", "seq") if name in self.main.types]
        return shaped(self.rows(self.main, self.main.everything(self._client.dossier, order)), self._reading)

    def batches(self, span: Span, clock: datetime) -> Iterator[list[Row]]:
        """Yield the rows of the span, and at the end those that have no place in it because key or instant is missing."""
        of = self._client.dossier
        if self._reading.mode is ChangeMode.CURSOR:
            yield from self._by_change(span, clock)
            unplaced = self.main.unplaced(of, UNPLACED_AT_ONCE)
        else:
            last_key = span.last_key if self._reading.mode is ChangeMode.APPEND else None
            yield from self._by_key(last_key)
            unplaced = self.main.keyless(of, UNPLACED_AT_ONCE)
        rows = self.rows(self.main, unplaced)
        if rows:
            yield rows

    def rows(self, reader: StreamReader, statement: Statement) -> list[Row]:
        """Return the rows of a statement by the names of their columns."""
        return [_row(reader, found) for found in self._found(statement)]

    def records(self, rows: Sequence[Row]) -> list[Received]:
        """Return the rows as records, with what belongs to them."""
        for follow in self._reading.follow:
            table = linked(follow, self.where)
            for at in range(0, len(rows), PARENTS_AT_ONCE):
                part = rows[at : at + PARENTS_AT_ONCE]
                put_in(part, follow, table, self._belonging(table, part))
        return [received(record_text(row), self._reading) for row in rows]

    def _belonging(self, table: Table, parents: Sequence[Row]) -> list[Row]:
        values = link_values(table, parents, self.where)
        if not values:
            return []
        reader = self._client.reader(self._connection, table, ("", ""), self.where)
        # Without an order the same rows would come as another text the next time.
        order = table.order or self._primary_key(table) or tuple(reader.types)
        return self.rows(reader, reader.among(self._client.dossier, values, order))

    def _primary_key(self, table: Table) -> tuple[str, ...]:
        with self._source.translated(self._connection):
            found = sa.inspect(self._connection).get_pk_constraint(table.name, schema=table.schema)
        return tuple(found.get("constrained_columns") or ())

    def _by_change(self, span: Span, clock: datetime) -> Iterator[list[Row]]:
        window = Window(span.after or FIRST_INSTANT, span.until or clock + FUTURE_ALLOWANCE, clock)
        ends = limits(window, self.main.clocking, self._reading.modified_zone)
        after: tuple[str, object, object] | None = None
        while True:
            found = self._found(self.main.page(self._client.dossier, ends, after, self._size))
            if found:
                yield [_row(self.main, one) for one in found]
            if len(found) < self._size:
                return
            after = (str(found[-1][PLACE]), found[-1]["c_key"], found[-1][DOSSIER])

    def _by_key(self, last_key: str | None) -> Iterator[list[Row]]:
        after: object = last_key
        while True:
            found = self._found(self.main.after_key(self._client.dossier, after, self._size))
            if found:
                yield [_row(self.main, one) for one in found]
            if len(found) < self._size:
                return
            after = found[-1]["c_key"]

    def _reader(self, call: Call, key: str, order: str) -> StreamReader:
        with self._source.translated(self._connection):
            return self._client.reader(self._connection, table_of(call), (key, order), self.where)

    def _found(self, statement: Statement) -> list[Mapping[Any, Any]]:
        with self._source.translated(self._connection):
            return list(self._connection.execute(statement).mappings())


def _row(reader: StreamReader, found: Mapping[Any, Any]) -> Row:
    """Return a row by the names of its columns; instants, which come as the database writes them, in the form of ISO."""
    return {name: _iso(found[f"p_{at}"], reader.types[name]) for at, name in enumerate(reader.stream.payload)}


def _iso(value: object, kind: object) -> object:
    return value.replace(" ", "T", 1) if isinstance(value, str) and isinstance(kind, sa.DateTime) else value
