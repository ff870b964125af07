"""Rows on the command line: a table for people, JSON for programs, CSV that a spreadsheet opens without running formulas."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from erpcrm_orchestration.domain.errors import InputError, one_line
from erpcrm_orchestration.domain.sheet import safe

Row = Mapping[str, object]

# A list, so that an option that is given twice is refused and the last one does not win unseen.
DossierOption = Annotated[list[str] | None, typer.Option("--dossier", metavar="CODE", help="Only this dossier.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="For spreadsheets.")]


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


def only_one(codes: Sequence[str] | None, *, where: str) -> str | None:
    """Return the one dossier code that was typed, or None; raise InputError E-CLI-053 for an empty or a second one."""
    if not codes:
        return None
    if len(codes) > 1:
        raise InputError(
            "E-CLI-053", where, f"given {len(codes)} times ({', '.join(codes)})", "give one dossier, or none for all"
        )
    if not codes[0]:
        raise InputError("E-CLI-053", where, "empty", "give a dossier code, or leave the option out")
    if not codes[0].isprintable():
        raise InputError("E-CLI-053", where, f"{codes[0]!a} is no dossier code", "give letters, digits, _ and -")
    return codes[0]


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
    return safe("" if value is None else str(value))
