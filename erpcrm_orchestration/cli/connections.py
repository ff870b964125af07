"""`erpcrm connections`: how the connections stand. Resume one that stopped, accept new fields that a system sends."""

from __future__ import annotations

import os
import uuid
from typing import Annotated

import typer

from erpcrm_orchestration.cli.listing import AsCsv, AsJson, DossierOption, as_word, only_one, show_rows
from erpcrm_orchestration.cli.session import actor, open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.services.inbox_correction import Author
from erpcrm_orchestration.services.worklist import accept, listed_connections, resume
from erpcrm_orchestration.store.dossier import require_code
from erpcrm_orchestration.store.worklist import list_drift

app = typer.Typer(help="The connections to other systems: list, resume, drift.")

COLUMNS = (
    "connection_code", "dossier_code", "system", "active", "polled_at", "rest_until", "webhook_status", "stopped",
    "last_failure",
)  # fmt: skip
DRIFT = ("dossier_code", "connection_code", "stream", "path", "first_seen_at", "accepted_at", "example")

Reason = Annotated[str, typer.Option(help="Why; it is kept in the audit trail.")]


@app.command("list")
def list_command(dossier: DossierOption = None, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """Show every connection: when it was read, whether it is stopped and why, how its webhook stands.

    Example: erpcrm connections list --dossier 998
    """
    asked = only_one(dossier, where="erpcrm connections list --dossier")
    with open_database() as engine:
        with engine.connect() as connection:
            code = require_code(connection, asked)
        rows = listed_connections(engine, code)
    show_rows(rows, COLUMNS, as_json=as_json, as_csv=as_csv, empty="no connections")


@app.command("resume")
def resume_command(
    code: Annotated[str, typer.Argument(help="The connection.")],
    reason: Reason,
    accept_deletes: Annotated[
        int,
        typer.Option(min=0, metavar="RECORDS", help="Read what was stopped now; so many missing records may be deleted."),
    ] = 0,
) -> None:
    """Let a stopped connection go on, with all of its streams.

    Examples: erpcrm connections resume shop_998 --reason "new key"
              erpcrm connections resume shop_998 --accept-deletes 30 --reason "the shop dropped its old catalogue"
    """
    with open_database() as engine:
        done = resume(
            engine,
            code,
            Author(actor(), reason),
            accept_deletes=accept_deletes,
            clock=SystemClock(),
            environment=os.environ,
            run_id=f"cli-{uuid.uuid4()}",
        )
    typer.echo(f"connection {code} goes on" if done.resumed else f"connection {code} was not stopped")
    for stream, count in done.deleted.items():
        if stream not in done.stopped:
            typer.echo(f"{stream}: {count} missing records are deleted")
    for stream, why in done.stopped.items():
        typer.echo(f"{stream} is stopped again: {as_word(why)}", err=True)
    if done.stopped:
        raise typer.Exit(1)


@app.command("drift")
def drift_command(  # noqa: PLR0913  one parameter for each option
    *,
    dossier: DossierOption = None,
    connection_code: Annotated[str | None, typer.Option("--connection", metavar="CODE", help="Only this connection.")] = None,
    paths: Annotated[list[str] | None, typer.Option("--accept", metavar="PATH", help="This field is known now.")] = None,
    stream: Annotated[str | None, typer.Option(help="With --accept: only in this stream.")] = None,
    reason: Annotated[str, typer.Option(help="Why; --accept needs it, it is kept in the audit trail.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Those that were accepted too.")] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the new fields that a system sends and no mapping names, or accept one: it stays in the payload only.

    Example: erpcrm connections drift --connection shop_998 --accept loyalty_points --reason "not needed here"
    """
    asked = only_one(dossier, where="erpcrm connections drift --dossier")
    if paths and not connection_code:
        raise InputError("E-CLI-050", "erpcrm connections drift --accept", "no connection", "name it with --connection")
    with open_database() as engine:
        if paths and connection_code:
            author = Author(actor(), reason)
            for one in accept(engine, connection_code, paths, author, stream=stream, clock=SystemClock()):
                typer.echo(f"accepted: {one}")
            return
        with engine.connect() as connection:
            code = require_code(connection, asked)
            rows = list_drift(connection, dossier_code=code, connection_code=connection_code, accepted=everything)
    show_rows(rows, DRIFT, as_json=as_json, as_csv=as_csv, empty="no new fields")
