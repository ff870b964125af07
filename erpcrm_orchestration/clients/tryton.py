"""The client of Tryton: records of a model with their lines in one call, changes by its dates, writes by its own methods.

A line's date counts for its record, because Tryton does not touch a sale when one of its lines changes. What is deleted
leaves no trace here: a nightly snapshot finds it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

from erpcrm_orchestration.clients.frame import ClientFrame
from erpcrm_orchestration.clients.rest_record import identity, is_deleted
from erpcrm_orchestration.clients.rest_session import Surroundings
from erpcrm_orchestration.clients.tryton_json import instant_in, payload, plain
from erpcrm_orchestration.clients.tryton_rpc import Result, TrytonSession
from erpcrm_orchestration.clients.tryton_write import TrytonWriter
from erpcrm_orchestration.domain.connection import ChangeMode, Connection, Connector, ConnectorEntity, Reading
from erpcrm_orchestration.domain.errors import InputError, PermanentFailure
from erpcrm_orchestration.domain.json_path import at
from erpcrm_orchestration.domain.received import Change, Page, Received, Span, Written
from erpcrm_orchestration.domain.values import instant

DATES = ("write_date", "create_date")
EVERYTHING: Mapping[str, object] = {"active_test": False}
"""The context in which archived records are read too."""


class TrytonClient(ClientFrame):
    """A ConnectorClient for the kind `tryton`. Nothing is sent before the first use."""

    def __init__(
        self,
        connector: Connector,
        connection: Connection,
        environment: Mapping[str, str],
        around: Surroundings | None = None,
    ) -> None:
        """Raise PermanentFailure E-SRC-042 or 051 for what the connection lacks, E-CFG-046 for a missing secret."""
        self._session = TrytonSession(connector, connection, environment, around)
        self.where = self._session.where

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def pages(self, entity: ConnectorEntity, span: Span) -> Iterator[Page]:
        """Yield the records of the span by growing id, so that a record that changes meanwhile moves no other one.

        A page that fails is tried three times.
        """
        reading = self._reading(entity)
        model, last = reading.pages.path, int(span.last_key or 0) if reading.mode is ChangeMode.APPEND else 0
        while True:
            before = self._session.requests
            lists = self._session.patiently(partial(self._lists, reading))
            domain = [*_domain(reading), *_changed(reading, span, lists), ["id", ">", last]]
            found = self._session.patiently(partial(self._search, model, domain, reading, lists))
            rows = _rows(found)
            records = [one for one in (received(row, reading, lists) for row in rows) if _is_in(one, span)]
            yield Page(records, found.answer.clock, self._session.requests - before)
            if len(rows) < reading.paging.size:
                return
            last = _greatest(rows, last, found)

    def fetch(self, entity: ConnectorEntity, source_id: str) -> Received | None:
        """Return one record as it is now, None when there is no such id."""
        reading, one = self._one(entity)
        is_number = source_id.isascii() and source_id.isdigit()
        if reading.record_id == "id" and not is_number:
            return None
        lists = self._lists(reading)
        wanted: object = int(source_id) if reading.record_id == "id" else source_id
        rows = _rows(self._search(one.path, [[reading.record_id, "=", wanted]], reading, lists))
        return received(rows[0], reading, lists) if rows else None

    def write(self, change: Change) -> Written:
        """Carry out a change once; raise UnknownOutcome when it was sent and its answer was lost."""
        return self._writer(change).write(change)

    def look(self, change: Change) -> str | None:
        """Return the id of the record that an earlier attempt to create it made, None when there is none."""
        return self._writer(change).look(change)

    def _writer(self, change: Change) -> TrytonWriter:
        return TrytonWriter(self._session, self._writing(change.entity), self._at(change.entity))

    def _lists(self, reading: Reading) -> tuple[str, ...]:
        """Return the dotted prefixes of the fields that are lists of rows which belong to the record."""
        prefixes = sorted({name.partition(".")[0] for name in _fields(reading) if "." in name})
        types = self._session.types(reading.pages.path, prefixes) if prefixes else {}
        return tuple(name for name in prefixes if types.get(name, {}).get("type") == "one2many")

    def _search(self, model: str, domain: list[object], reading: Reading, lists: Sequence[str]) -> Result:
        dates = [f"{name}.{date}" for name in lists for date in DATES]
        own = [name for name in (reading.record_id, reading.modified, reading.deleted, *reading.deleted_when) if name]
        names = [*dict.fromkeys([*_fields(reading), *own, *DATES, *dates])]
        arguments = [domain, 0, reading.paging.size, [["id", "ASC"]], names]
        return self._session.model(model, "search_read", arguments, EVERYTHING)


def received(row: object, reading: Reading, lists: Sequence[str]) -> Received:
    """Return a row as it is kept: plain JSON, its version the latest date of the record and of its lines."""
    record = plain(row)
    text = payload(record)
    number = str(at(record, "id"))
    try:
        return Received(
            identity(record, reading.record_id), text, _version(record, reading, lists), is_deleted(record, reading)
        )
    except InputError as error:
        return Received(number, text, fault=str(error))


def _version(record: object, reading: Reading, lists: Sequence[str]) -> datetime | None:
    if reading.modified is None:
        return None
    owners = [record, *(line for name in lists for line in _list(at(record, name)))]
    values = [at(record, reading.modified), *(at(owner, date) for owner in owners for date in DATES)]
    found = [instant(value, zone=reading.modified_zone, where="$") for value in values if isinstance(value, str) and value]
    return max(found, default=None)


def _fields(reading: Reading) -> list[str]:
    return [name.strip() for name in reading.pages.query.get("fields", "").split(",") if name.strip()]


def _domain(reading: Reading) -> list[object]:
    text = reading.pages.query.get("domain", "[]")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise PermanentFailure("E-SRC-051", reading.pages.path, "`domain` is no list in JSON", "correct the connector")
    return [found] if found else []


def _changed(reading: Reading, span: Span, lists: Sequence[str]) -> list[object]:
    """Return the condition for what changed at or after an instant.

    A record has no write_date before its first change.
    """
    if reading.mode is not ChangeMode.CURSOR or span.after is None:
        return []
    since = instant_in(span.after, reading.modified_zone)
    ways: list[object] = [["write_date", ">=", since], [["write_date", "=", None], ["create_date", ">=", since]]]
    ways += [[f"{name}.{date}", ">=", since] for name in lists for date in DATES]
    return [["OR", *ways]]


def _is_in(record: Received, span: Span) -> bool:
    return span.until is None or record.version_at is None or record.version_at <= span.until


def _rows(found: Result) -> list[object]:
    if not isinstance(found.value, list):
        raise PermanentFailure("E-SRC-015", found.answer.where, "no list of records", "check the version of the server")
    return found.value


def _greatest(rows: Sequence[object], last: int, found: Result) -> int:
    """Return the greatest id of a page; raise PermanentFailure E-SRC-043 when it does not grow."""
    greatest = max((number for number in (at(row, "id") for row in rows) if isinstance(number, int)), default=last)
    if greatest <= last:
        raise PermanentFailure("E-SRC-043", found.answer.where, "the same page again", "it would never end: check the server")
    return greatest


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
