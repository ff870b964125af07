"""Rows as files: CSV that a spreadsheet opens without running formulas, in the separators of the language, and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from erpcrm_orchestration.board.desk import Reader
from erpcrm_orchestration.domain.errors import one_line
from erpcrm_orchestration.domain.sheet import safe
from erpcrm_orchestration.languages import Translator
from erpcrm_orchestration.store.event import record_event

MOST_ROWS = 50_000

Rows = Sequence[Mapping[str, Any]]


def as_csv(rows: Rows, columns: Sequence[str], say: Translator, name: str) -> Response:
    """Return the rows as a file; instants in UTC, every cell quoted."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=say.csv_delimiter, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    # The mark at the beginning tells spreadsheets that it is UTF-8.
    return _file("\ufeff" + text.getvalue(), "text/csv; charset=utf-8", f"{name}.csv")


def as_json(rows: Rows, columns: Sequence[str], name: str) -> Response:
    """Return the rows as a file for programs."""
    chosen = [{column: plain(row.get(column)) for column in columns} for row in rows]
    return _file(json.dumps(chosen, ensure_ascii=False), "application/json", f"{name}.json")


def note_export(reader: Reader, what: str, rows: int) -> None:
    """Note that somebody took data away."""
    with reader.desk.engine.begin() as connection:
        details = {"what": what, "rows": rows}
        now = reader.desk.clock.now()
        record_event(connection, at=now, actor=reader.actor, action="export", address=reader.address, details=details)


def plain(value: object) -> object:
    """Return a value as JSON knows it, an instant in UTC."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _cell(value: object) -> str:
    return safe(one_line("" if value is None else str(plain(value))))


def _file(content: str, kind: str, name: str) -> Response:
    return Response(content, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})
