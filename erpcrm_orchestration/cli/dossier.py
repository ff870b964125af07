"""`erpcrm dossier`: the dossiers, one at a time. The fields have the names of the YAML."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from erpcrm_orchestration.cli.session import actor, confirm, open_database
from erpcrm_orchestration.config.plain import plain
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.configuration import Dossier
from erpcrm_orchestration.services import dossier_edit

app = typer.Typer(help="The dossiers: add, list, set fields, deactivate.")

WIDTH_OF_PIPES = 240
"""Characters of a line when nobody looks at a screen: nothing is shortened."""

Code = Annotated[str, typer.Argument(help="The dossier code; 001 is not 1.")]
Words = Annotated[list[str], typer.Argument(help="field=value, for instance alert_delay_min=30 process.days=mon,tue")]


@app.command("add")
def add_command(code: Code, fields: Words) -> None:
    """Create a dossier; crm_project_code is required.

    Example: erpcrm dossier add 123 crm_project_code=SALES alert_delay_min=30 time_zone=Europe/Lisbon
    """
    with open_database() as engine:
        edited = dossier_edit.add(engine, code, fields, clock=SystemClock(), actor=actor())
    _tell(edited, f"dossier {code} added")


@app.command("set")
def set_command(code: Code, fields: Words) -> None:
    """Change fields of a dossier. An empty value takes an optional field away.

    Example: erpcrm dossier set 998 alert_delay_min=45 process.frequency_min=5
    """
    with open_database() as engine:
        edited = dossier_edit.change(engine, code, fields, clock=SystemClock(), actor=actor())
    _tell(edited, f"dossier {code} changed" if edited.changed else f"dossier {code}: nothing to change")


@app.command("list")
def list_command(as_json: Annotated[bool, typer.Option("--json", help="As JSON, with every field.")] = False) -> None:
    """Show every dossier, inactive ones too.

    Example: erpcrm dossier list --json
    """
    with open_database() as engine:
        dossiers = dossier_edit.listed(engine)
    if as_json:
        content = [plain(one, defaults=True) for one in dossiers]
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        console = Console()
        Console(width=console.width if console.is_terminal else WIDTH_OF_PIPES).print(_table(dossiers))


@app.command("deactivate")
def deactivate_command(code: Code, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Stop evaluating a dossier; its rows stay.

    Example: erpcrm dossier deactivate 998 --yes
    """
    with open_database() as engine:
        dossier = dossier_edit.find(engine, code)
        if dossier.active and not yes:
            confirm(f"Stop evaluating dossier {code} {dossier.name}?")
        edited = dossier_edit.deactivate(engine, code, clock=SystemClock(), actor=actor())
    _tell(edited, f"dossier {code} deactivated" if edited.changed else f"dossier {code}: nothing to change")


def _tell(edited: dossier_edit.Edited, text: str) -> None:
    for line in edited.warnings:
        typer.echo(f"warning: {line}", err=True)
    typer.echo(text)


def _table(dossiers: list[Dossier]) -> Table:
    table = Table("dossier", "name", "CRM project", "zone", "active", "delay", "window", "every", "process", "source", box=None)
    for one in dossiers:
        process = one.process
        table.add_row(
            one.dossier_code,
            one.name,
            one.crm_project_code,
            one.time_zone,
            "yes" if one.active else "no",
            f"{one.alert_delay_min} min" if one.alert_delay_min else "never",
            f"{process.start:%H:%M} + {process.duration_min} min",
            f"{process.frequency_min} min",
            process.state.value,
            one.source or "",
        )
    return table
