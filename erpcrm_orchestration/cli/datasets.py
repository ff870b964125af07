"""`erpcrm datasets`: the supervisor of the data hub. List what is not OK, look at it, correct it, relaunch it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import sqlalchemy as sa
import typer

from erpcrm_orchestration.cli.listing import AsCsv, AsJson, DossierOption, Limit, as_record, as_word, only_one, show_rows
from erpcrm_orchestration.cli.session import actor, open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.configuration import DatasetCategory, StateGroup
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.services.data_hub import advance, fix, relaunch
from erpcrm_orchestration.store.dataset import find_dataset, list_datasets
from erpcrm_orchestration.store.dossier import require_code

app = typer.Typer(help="Datasets of the data hub: list, show, fix, relaunch.")

COLUMNS = (
    "dataset_number", "dossier_code", "type_code", "category", "origin", "state_number", "state_group", "attempts",
    "created_at", "updated_at", "source_key", "last_error",
)  # fmt: skip

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the dataset.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the audit trail.")]


@app.command("list")
def list_command(
    dossier: DossierOption = None,
    category: Annotated[DatasetCategory | None, typer.Option(help="Only this category.")] = None,
    state: Annotated[StateGroup | None, typer.Option(help="Only this state; without it all but CLOSED_OK.")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List datasets, the newest first; those that are not OK unless --state says otherwise.

    Examples: erpcrm datasets list --dossier 001 --category TIME; erpcrm datasets list --state ERROR --csv > errors.csv
    """
    asked = only_one(dossier, where="erpcrm datasets list --dossier")
    with open_database() as engine, engine.connect() as connection:
        code = require_code(connection, asked)
        rows = list_datasets(
            connection,
            dossier_code=code,
            category=category.value if category else None,
            state_group=state.value if state else None,
            limit=limit,
        )
    show_rows(rows, COLUMNS, as_json=as_json, as_csv=as_csv, empty="no datasets")


@app.command("show")
def show_command(number: Number, as_json: AsJson = False) -> None:
    """Show one dataset with its fields and the pivot file as it was received. Example: erpcrm datasets show 17"""
    with open_database() as engine, engine.connect() as connection:
        row = _find(connection, number)
    if as_json:
        typer.echo(json.dumps(as_record(row), ensure_ascii=False, indent=2))
        return
    for name, value in row.items():
        if name not in {"fields", "payload", "companions", "content_hash"}:
            typer.echo(f"{name}: {as_word(value)}")
    for companion in row["companions"]:
        typer.echo(f"companion {as_word(companion)}")
    for name, value in sorted(row["fields"].items()):
        typer.echo(f"field {as_word(name)}: {as_word(value)}")
    for line in (row["payload"] or "").splitlines():
        typer.echo(f"| {as_word(line)}")


@app.command("fix")
def fix_command(
    number: Number,
    assignments: Annotated[
        list[str], typer.Option("--set", metavar="FIELD=VALUE", help="May be repeated; an empty value removes.")
    ],
    reason: Reason,
) -> None:
    """Correct fields of a dataset; what was received stays as it is. Relaunch it afterwards.

    Example: erpcrm datasets fix 17 --set Jour=20261118 --reason "wrong date, asked the technician"
    """
    fields = _fields(assignments)
    with open_database() as engine:
        fix(engine, _dossier_of(engine, number), number, fields=fields, reason=reason, actor=actor(), clock=SystemClock())
    typer.echo(f"dataset {number} is corrected; `erpcrm datasets relaunch {number} --at STATE --reason ...` runs it again")


@app.command("relaunch")
def relaunch_command(
    number: Number, at: Annotated[int, typer.Option(metavar="STATE", help="The lower state to enter at.")], reason: Reason
) -> None:
    """Let a dataset enter again at a lower state, and run the automaton.

    Example: erpcrm datasets relaunch 17 --at 100 --reason "date corrected"
    """
    with open_database() as engine:
        code = _dossier_of(engine, number)
        relaunch(engine, code, number, state_number=at, reason=reason, actor=actor(), clock=SystemClock())
        advance(engine, [code], clock=SystemClock(), run_id=None)
        with engine.connect() as connection:
            row = _find(connection, number)
    typer.echo(f"dataset {number} is in state {row['state_number']} ({row['state_group']})" + _because(row))


def _because(row: dict[str, Any]) -> str:
    return f": {as_word(row['last_error'])}" if row["last_error"] else ""


def _find(connection: sa.Connection, number: int) -> dict[str, Any]:
    row = find_dataset(connection, number)
    if row is None:
        raise InputError("E-CLI-065", "erpcrm datasets", f"no dataset {number}", "see `erpcrm datasets list`")
    return row


def _dossier_of(engine: sa.Engine, number: int) -> str:
    with engine.connect() as connection:
        return str(_find(connection, number)["dossier_code"])


def _fields(assignments: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InputError(
                "E-CLI-066", "erpcrm datasets fix --set", f"{text!r} is not FIELD=VALUE", "write --set Jour=20261118"
            )
        if name in fields:
            raise InputError("E-CLI-066", "erpcrm datasets fix --set", f"field {name} is given twice", "give it once")
        fields[name] = value
    return fields
