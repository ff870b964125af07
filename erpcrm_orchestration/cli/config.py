"""`erpcrm config`: configuration as code."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from erpcrm_orchestration.cli.session import actor, open_database
from erpcrm_orchestration.config.diff import KINDS, SECRET_FIELDS, Plan
from erpcrm_orchestration.config.export import to_files, to_yaml
from erpcrm_orchestration.config.folder import Reading, read_folder
from erpcrm_orchestration.config.json_schema import schema_text
from erpcrm_orchestration.config.reference_rules import Known
from erpcrm_orchestration.config.rules import check
from erpcrm_orchestration.config.secrets import missing_variables
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.errors import Findings, InputError
from erpcrm_orchestration.services import configuration
from erpcrm_orchestration.services.programs import known_programs, require_sound

app = typer.Typer(help="Configuration as code: a folder of YAML, checked, compared, applied, written back.")

Folder = Annotated[Path, typer.Argument(help="The folder of the YAML files, or one file.")]
Prune = Annotated[bool, typer.Option("--prune", help="Remove what is in no file and what nothing refers to; never dossiers.")]


@app.command("check")
def check_command(
    folder: Folder = Path("config"),
    environment: Annotated[bool, typer.Option("--env", help="Also require that every ${env:NAME} is set here.")] = False,
) -> None:
    """Say everything that is wrong with the files. No database is needed.

    Example: erpcrm config check config
    """
    reading = read_folder(folder)
    require_sound()
    found = check(reading, replace(Known.nothing(), programs=known_programs().keys()))
    missing = tuple(one.error for one in missing_variables(reading, os.environ)) if environment else ()
    _warn(found.warnings)
    if found.errors or missing:
        raise Findings((*found.errors, *missing))
    typer.echo(f"{folder}: {_contents(reading)}; all is well")


@app.command("plan")
def plan_command(
    folder: Folder = Path("config"),
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 when something would change.")] = False,
    prune: Prune = False,
) -> None:
    """Show what `apply` would change, field by field. Nothing is written, no secret is read.

    Example: erpcrm config plan config --exit-code
    """
    reading = read_folder(folder)
    with open_database() as engine:
        outcome = configuration.plan(engine, reading, prune=prune)
    _warn(outcome.warnings)
    _show(outcome.plan, details=True)
    if exit_code and outcome.plan.changes:
        raise typer.Exit(1)


@app.command("apply")
def apply_command(folder: Folder = Path("config"), prune: Prune = False) -> None:
    """Bring the database to what the files say, all or nothing. Doing it again changes nothing.

    Example: erpcrm config apply config
    """
    reading = read_folder(folder)
    with open_database() as engine:
        outcome = configuration.apply(engine, reading, clock=SystemClock(), actor=actor(), prune=prune)
    _warn(outcome.warnings)
    _show(outcome.plan, details=False)


def _warn(lines: tuple[str, ...]) -> None:
    for line in lines:
        typer.echo(f"warning: {line}", err=True)


def _contents(reading: Reading) -> str:
    counts = {section: len(getattr(reading.configuration, section)) for section in KINDS if section != "general"}
    return ", ".join(f"{count} {section.replace('_', ' ')}" for section, count in counts.items() if count) or "nothing"


def _show(plan: Plan, *, details: bool) -> None:
    for change in plan.changes:
        typer.echo(
            f"{change.action:<7} {change.kind} {change.code}" if change.section != "general" else f"{change.action:<7} general"
        )
        for one in change.fields if details else ():
            typer.echo(f"          {one.field}: " + _old_and_new(one.field, one.old, one.new, is_new=change.before is None))
    for section, code in plan.kept:
        typer.echo(f"{'keep':<7} {KINDS[section]} {code} (in the database only)")
    counts = plan.counts
    typer.echo(f"{counts['add']} added, {counts['change']} changed, {counts['remove']} removed, {len(plan.kept)} kept")


def _old_and_new(field: str, old: object, new: object, *, is_new: bool) -> str:
    return _shown(field, new) if is_new else f"{_shown(field, old)} -> {_shown(field, new)}"


def _shown(field: str, content: object) -> str:
    text = json.dumps(content, ensure_ascii=False)
    if SECRET_FIELDS & set(field.split(".")) and content and "${env:" not in text:
        return "***"
    return text if len(text) <= 80 else text[:77] + "..."


@app.command("export")
def export_command(
    dossier: Annotated[str | None, typer.Option("--dossier", help="Only this dossier.")] = None,
    code: Annotated[str | None, typer.Option("--as", help="With --dossier: under this new code.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file *.yaml, or a folder.")] = None,
) -> None:
    """Write what the database holds as YAML that `apply` reads. Secrets stay ${env:NAME}.

    Example: erpcrm config export --dossier 998 --as 123 --output config/123.yaml
    """
    if code is not None and dossier is None:
        raise InputError("E-CLI-050", "erpcrm config export", "--as without --dossier", "name the dossier to copy")
    with open_database() as engine:
        found = configuration.export(engine, dossier=dossier, code=code)
    if output is None:
        typer.echo(to_yaml(found), nl=False)
    elif output.suffix in {".yaml", ".yml"}:
        _write(output, to_yaml(found))
    else:
        output.mkdir(parents=True, exist_ok=True)
        for name, text in (to_files(found) | {"schema.json": schema_text()}).items():
            _write(output / name, text)


@app.command("schema")
def schema_command(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write.")] = None,
) -> None:
    """Print the JSON Schema that editors check the files with.

    Example: erpcrm config schema --output config/schema.json
    """
    if output is None:
        typer.echo(schema_text(), nl=False)
    else:
        _write(output, schema_text())


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError("E-CLI-063", str(path), f"cannot be written ({error.strerror})", "name another file") from error
    typer.echo(f"wrote {path}")
