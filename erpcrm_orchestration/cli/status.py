"""`erpcrm status`: the widget on the command line. It displays what is stored and changes nothing."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from erpcrm_orchestration.cli.listing import only_one
from erpcrm_orchestration.cli.session import open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.sheet import safe
from erpcrm_orchestration.domain.widget import WIDGET_FIELDS, Widget
from erpcrm_orchestration.languages import Language, Translator, chosen, from_environment, known
from erpcrm_orchestration.store.status import Defaults, read_defaults, read_widgets
from erpcrm_orchestration.widget_words import labels, shown, word_of


def status_command(
    dossier: Annotated[list[str] | None, typer.Option(help="Dossier code; default: general.default_dossier, else all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: field names, ISO instants.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets: separators of the language.")] = False,
    lang: Annotated[str | None, typer.Option(help="en, es, fr, pt or ru; default: the locale, else general.language.")] = None,
) -> None:
    """Show the stored interaction state: the ten values of the widget. Nothing is written, nothing is refreshed.

    Examples: erpcrm status; erpcrm status --dossier 998 --lang en; erpcrm status --csv > status.csv
    """
    if as_json and as_csv:
        raise InputError("E-CLI-050", "erpcrm status", "--json and --csv together", "choose one of them")
    asked = only_one(dossier, where="erpcrm status --dossier")
    spoken = chosen(lang, where="erpcrm status --lang")
    now = SystemClock().now()
    with open_database() as engine, engine.connect().execution_options(postgresql_readonly=True) as connection:
        language = spoken or from_environment()
        defaults = read_defaults(connection) if asked is None or language is None else None
        wanted = asked or (defaults.dossier_code if defaults else None)
        widgets = read_widgets(connection, wanted)
    say = Translator(language or _default_language(defaults))
    if wanted is not None and not widgets:
        typer.echo(f"no data for dossier {wanted}", err=as_json or as_csv)
    if as_json:
        typer.echo(json.dumps([as_record(widget, now) for widget in widgets], ensure_ascii=False, indent=2))
    elif as_csv:
        typer.echo(as_sheet(widgets, say, now), nl=False)
    elif len(widgets) == 1 and wanted is not None:
        show_one(widgets[0], say, now)
    elif widgets:
        show_all(widgets, say, now)
    elif wanted is None:
        typer.echo(say.gettext("no dossier has a state yet"))


def as_record(widget: Widget, now: datetime) -> dict[str, object]:
    """Return the row for programs: stored values under their own names, instants in UTC, and its age."""
    record = {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(widget).items()
    }
    return record | {"age_min": widget.age_min(now)}


def as_sheet(widgets: Sequence[Widget], say: Translator, now: datetime) -> str:
    """Return CSV with a heading in the language; no cell can be taken for a formula."""
    _ = say.gettext
    text = io.StringIO()
    writer = csv.writer(text, delimiter=say.csv_delimiter, lineterminator="\r\n")
    writer.writerow([_("Dossier"), *labels(say).values(), _("Age in minutes")])
    for widget in widgets:
        cells = [_cell(widget, name, say) for name in WIDGET_FIELDS]
        writer.writerow([safe(widget.dossier_code), *cells, str(widget.age_min(now))])
    return text.getvalue()


def _cell(widget: Widget, name: str, say: Translator) -> str:
    value = getattr(widget, name)
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, int):
        return str(value)
    return safe(word_of(widget, name, say))


def show_one(widget: Widget, say: Translator, now: datetime) -> None:
    """Print one dossier as a list of ten values, and how old they are."""
    _ = say.gettext
    names, values = labels(say), shown(widget, say)
    title = f"{_('Dossier')} {widget.dossier_code}"
    age = _("refreshed {age}", age=say.ago(widget.age(now)))
    if sys.stdout.isatty():
        table = Table(title=title, caption=age, show_header=False)
        for name, label in names.items():
            table.add_row(label, values[name], style=_style(widget) if name == "sync_state_label" else None)
        _console().print(table)
        return
    width = max(len(label) for label in names.values())
    lines = [title, *(f"{label:<{width}}  {values[name]}" for name, label in names.items()), age]
    typer.echo("\n".join(lines))


def show_all(widgets: Sequence[Widget], say: Translator, now: datetime) -> None:
    """Print all dossiers as a table, one line each."""
    _ = say.gettext
    headings = [_("Dossier"), *labels(say).values(), _("Age")]
    rows = [[widget.dossier_code, *shown(widget, say).values(), say.duration(widget.age(now))] for widget in widgets]
    (_print_rich if sys.stdout.isatty() else _print_plain)(headings, rows, [_style(widget) for widget in widgets])


def _print_rich(headings: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str]) -> None:
    table = Table(*headings)
    for row, style in zip(rows, styles, strict=True):
        table.add_row(*row, style=style)
    _console().print(table)


def _print_plain(headings: Sequence[str], rows: Sequence[Sequence[str]], _styles: Sequence[str]) -> None:
    columns = list(zip(headings, *rows, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    for row in (headings, *rows):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _console() -> Console:
    """Return a console that takes what is stored as text, never as markup."""
    return Console(markup=False, emoji=False, highlight=False)


def _style(widget: Widget) -> str:
    return "bold red" if widget.is_alert else "green"


def _default_language(defaults: Defaults | None) -> Language:
    return (known(defaults.language) if defaults else None) or Language.FR
