"""`erpcrm work`: requests of ours, fetches and deliveries. See what is not done and why, put back or drop it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from erpcrm_orchestration.cli.listing import AsCsv, AsJson, DossierOption, Limit, only_one, show_rows
from erpcrm_orchestration.cli.session import actor, open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.work import WorkState
from erpcrm_orchestration.services.inbox_correction import Author
from erpcrm_orchestration.services.worklist import drop, requeue
from erpcrm_orchestration.store.dossier import require_code
from erpcrm_orchestration.store.worklist import list_work

app = typer.Typer(help="Requests of ours to the systems: list, requeue, drop.")

COLUMNS = (
    "work_id", "dossier_code", "connection_code", "event", "stream", "source_id", "record_id", "state", "urgent", "attempts",
    "not_before", "created_at", "cause", "last_error",
)  # fmt: skip


class Event(StrEnum):
    FETCH = "on_demand"
    DELIVERY = "outbound"


@app.command("list")
def list_command(
    dossier: DossierOption = None,
    state: Annotated[list[WorkState] | None, typer.Option(help="May be repeated; without it what is not done.")] = None,
    event: Annotated[Event | None, typer.Option(help="Only fetches (on_demand) or deliveries (outbound).")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List requests, the newest first; those that are not done unless --state says otherwise.

    Example: erpcrm work list --dossier 998 --state DEAD
    """
    asked = only_one(dossier, where="erpcrm work list --dossier")
    with open_database() as engine, engine.connect() as connection:
        rows = list_work(
            connection,
            dossier_code=require_code(connection, asked),
            states=[one.value for one in state or ()],
            event=event.value if event else None,
            limit=limit,
        )
    show_rows(rows, COLUMNS, as_json=as_json, as_csv=as_csv, empty="no work")


@app.command("requeue")
def requeue_command(
    numbers: Annotated[list[int], typer.Argument(metavar="WORK...", help="Numbers of work items.")],
    dossier: Annotated[str, typer.Option(metavar="CODE", help="Their dossier.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept in the audit trail.")],
    not_done: Annotated[
        bool, typer.Option("--not-done", help="You looked: the system did not carry them out. They are sent without looking.")
    ] = False,
) -> None:
    """Put requests back that were given up: their attempts begin anew with the next round.

    Example: erpcrm work requeue 12 13 --dossier 998 --reason "the shop is up again"
    """
    with open_database() as engine:
        with engine.connect() as connection:
            require_code(connection, dossier)
        author = Author(actor(), reason)
        done = requeue(engine, dossier, set(numbers), author, clock=SystemClock(), not_done=not_done)
    typer.echo(f"{done} put back; the next round tries them")


@app.command("drop")
def drop_command(
    numbers: Annotated[list[int], typer.Argument(metavar="WORK...", help="Numbers of work items.")],
    dossier: Annotated[str, typer.Option(metavar="CODE", help="Their dossier.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept in the audit trail.")],
) -> None:
    """Leave undone what was given up or what a system forbids: nothing is sent, and later changes of the record go on.

    Example: erpcrm work drop 14 --dossier 998 --reason "the order was cancelled by telephone"
    """
    with open_database() as engine:
        with engine.connect() as connection:
            require_code(connection, dossier)
        done = drop(engine, dossier, set(numbers), Author(actor(), reason), clock=SystemClock())
    typer.echo(f"{done} dropped")
