"""Rows of a table of tables as records, for the kinds `sql` and `files`: `shape: table_of_tables` in the query of a call."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from erpcrm_orchestration.clients.plain_json import record_text
from erpcrm_orchestration.clients.rest_record import faulty, received
from erpcrm_orchestration.domain.connection import Reading
from erpcrm_orchestration.domain.errors import InputError, PermanentFailure, did_you_mean
from erpcrm_orchestration.domain.reading_words import TABLE_OF_TABLES
from erpcrm_orchestration.domain.received import Received
from erpcrm_orchestration.domain.table_of_tables import COLUMNS, TableRow, assemble, row_of

KEY_FIELD = "record_key"


def is_shaped(reading: Reading, where: str) -> bool:
    """True when the rows are a table of tables; raise PermanentFailure E-SRC-062 for another shape or without its table."""
    shape = reading.pages.query.get("shape")
    if shape is not None and shape != TABLE_OF_TABLES:
        raise PermanentFailure("E-SRC-062", where, f"no shape {shape}", f"write {TABLE_OF_TABLES}")
    if shape is not None and not reading.pages.query.get("table"):
        raise PermanentFailure("E-SRC-062", where, f"shape {shape} without table", "name the table whose records are read")
    return shape is not None


def shaped(rows: Iterable[Mapping[str, object]], reading: Reading) -> Iterator[Received]:
    """Yield the records of the wanted table. What cannot be put together is refused with its reason, below its key."""
    query = reading.pages.query
    good: list[TableRow] = []
    for number, row in enumerate(rows, 1):
        try:
            good.append(row_of(row, f"$ row {number}"))
        except InputError as error:
            text = record_text(row)
            yield Received(f"?{hashlib.sha256(text).hexdigest()[:32]}", text.decode(), fault=_columns_told(row, error))
    for one in assemble(good, query["table"], key_field=query.get("key_field", KEY_FIELD)):
        if one.record is None:
            told = record_text({"table_name": query["table"], "record_key": one.key})
            yield faulty(Received(one.key, told.decode()), "E-SRC-063", "$", one.fault or "refused")
        else:
            yield received(record_text(one.record), reading)


def _columns_told(row: Mapping[str, object], error: InputError) -> str:
    """Return the refusal of a row; columns with other names are told by the nearest ones."""
    if "table_name" not in row:
        return str(InputError("E-SRC-061", error.where, "no column table_name", did_you_mean("table_name", [*row, *COLUMNS])))
    return str(error)
