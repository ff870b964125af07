"""`erpcrm tasks`: inter-company tasks. See what waits, hold them all, let them go on, try suspended ones again."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from erpcrm_orchestration.cli.listing import AsCsv, AsJson, DossierOption, Limit, only_one, show_rows
from erpcrm_orchestration.cli.session import actor, open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.services import inter_company
from erpcrm_orchestration.store.dossier import require_code
from erpcrm_orchestration.store.task import is_paused, list_tasks

app = typer.Typer(help="Inter-company tasks: list, pause, resume, reactivate.")

COLUMNS = ("dossier_code", "task_key", "at", "kind", "target_code", "state", "attempts", "done_at", "last_error")

Reason = Annotated[str, typer.Option(help="Why; it is kept in the audit trail.")]


class TaskState(StrEnum):
    ACTIVE = "ACTIVE"
    DONE = "DONE"
    SUSPENDED = "SUSPENDED"


@app.command("list")
def list_command(
    dossier: DossierOption = None,
    state: Annotated[TaskState | None, typer.Option(help="Only tasks in this state.")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List inter-company tasks, the newest first. Example: erpcrm tasks list --state SUSPENDED"""
    asked = only_one(dossier, where="erpcrm tasks list --dossier")
    with open_database() as engine, engine.connect() as connection:
        code = require_code(connection, asked)
        rows = list_tasks(connection, dossier_code=code, state=state.value if state else None, limit=limit)
        paused = is_paused(connection)
    show_rows(rows, COLUMNS, as_json=as_json, as_csv=as_csv, empty="no tasks")
    if paused:
        typer.echo("paused: tasks are recorded, none is executed", err=True)


@app.command("pause")
def pause_command(reason: Reason) -> None:
    """Stop executing tasks; they are still recorded. Example: erpcrm tasks pause --reason "CRM is being upgraded\""""
    with open_database() as engine:
        changed = inter_company.pause(engine, reason=reason, actor=actor(), clock=SystemClock())
    typer.echo("inter-company tasks are paused" if changed else "inter-company tasks were paused already")


@app.command("resume")
def resume_command(reason: Reason) -> None:
    """Execute tasks again. Example: erpcrm tasks resume --reason "CRM is back\""""
    with open_database() as engine:
        changed = inter_company.resume(engine, reason=reason, actor=actor(), clock=SystemClock())
    typer.echo("inter-company tasks go on" if changed else "inter-company tasks were not paused")


@app.command("reactivate")
def reactivate_command(
    dossier: Annotated[str, typer.Option(help="The dossier of the tasks.")],
    reason: Reason,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="These tasks; without any, all suspended ones.")
    ] = None,
) -> None:
    """Make suspended tasks active again. Example: erpcrm tasks reactivate T17 --dossier 001 --reason "article created\""""
    with open_database() as engine:
        with engine.connect() as connection:
            require_code(connection, dossier)
        done = inter_company.reactivate(engine, dossier, keys or None, reason=reason, actor=actor(), clock=SystemClock())
    typer.echo(f"active again: {', '.join(done)}")
