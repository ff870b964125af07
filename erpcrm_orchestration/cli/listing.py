"""Rows on the command line: a table for people, JSON for programs, CSV that a spreadsheet opens without running formulas."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
import typer

from erpcrm_orchestration.domain.errors import InputError, nearest, one_line
from erpcrm_orchestration.store.schema import dossier

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")

Row = Mapping[str, object]


def show_rows(rows: Sequence[Row], columns: Sequence[str], *, as_json: bool, as_csv: bool, empty: str) -> None:
    """Print the rows; `empty` is what people read when there are none."""
    if as_json and as_csv:
        raise InputError("E-CLI-050", "erpcrm", "--json and --csv together", "choose one of them")
    if as_json:
        typer.echo(json.dumps([as_record(row) for row in rows], ensure_ascii=False, indent=2))
    elif as_csv:
        typer.echo(_sheet(rows, columns), nl=False)
    elif not rows:
        typer.echo(empty)
    else:
        cells = [tuple(columns), *(tuple(as_word(row[name]) for name in columns) for row in rows)]
        widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
        for line in cells:
            typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def as_record(row: Row) -> dict[str, object]:
    """Return the row as JSON knows it, instants in UTC."""
    return {name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def as_word(value: object) -> str:
    """Return a value on one line, an instant in the person's own zone."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().isoformat(timespec="seconds")
    return one_line(str(value))


def known_dossier(connection: sa.Connection, code: str) -> str:
    """Return the code; raise InputError E-CLI-057 with the nearest ones when no dossier has it."""
    codes = list(connection.scalars(sa.select(dossier.c.dossier_code).order_by(dossier.c.dossier_code)))
    if code in codes:
        return code
    close = nearest(code, codes, count=5) or tuple(codes[:5])
    remedy = f"nearest: {', '.join(close)}" if close else "there is no dossier yet"
    raise InputError("E-CLI-057", "erpcrm --dossier", f"unknown dossier {code}", remedy)


def _sheet(rows: Sequence[Row], columns: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in columns])
    return text.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
