"""`erpcrm mails`: what is in the outbox, why a mail did not leave, and what a person decides about it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import sqlalchemy as sa
import typer

from erpcrm_orchestration.cli.session import actor, open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.errors import one_line
from erpcrm_orchestration.domain.mail import MailState
from erpcrm_orchestration.services.mail import deliver_due
from erpcrm_orchestration.store import mail as outbox

app = typer.Typer(help="The mail outbox.")

COLUMNS = ("mail_id", "dossier_code", "cause", "state", "attempts", "created_at", "sent_at", "subject", "last_error")


@app.command("list")
def list_command(
    dossier: Annotated[str | None, typer.Option(help="Only this dossier.")] = None,
    state: Annotated[MailState | None, typer.Option(help="Only mails in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the newest mails. Example: erpcrm mails list --state UNCERTAIN"""
    with open_database() as engine, engine.connect() as connection:
        rows = outbox.list_mails(connection, dossier_code=dossier, state=state, limit=limit)
    if as_json:
        typer.echo(json.dumps([_record(row) for row in rows], ensure_ascii=False, indent=2))
        return
    if not rows:
        typer.echo("no mails")
        return
    cells = [COLUMNS, *([_word(row[name]) for name in COLUMNS] for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    for row in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command("show")
def show_command(mail_id: Annotated[int, typer.Argument(metavar="ID", help="Number of the mail.")]) -> None:
    """Show one mail with its text and what the server said about each recipient. Example: erpcrm mails show 12"""
    with open_database() as engine, engine.connect() as connection:
        row, people = outbox.read_mail(connection, mail_id)
    for name, value in row.items():
        if name not in {"text", "html"}:
            typer.echo(f"{name}: {_word(value)}")
    for person in people:
        typer.echo(f"recipient {_word(person['address'])}: {person['state']} {_word(person['answer'])}".rstrip())
    typer.echo("")
    for line in row["text"].splitlines():
        typer.echo(one_line(line))


@app.command("release")
def release_command(mail_id: Annotated[int, typer.Argument(metavar="ID", help="Number of the mail.")]) -> None:
    """Let a held or failed mail leave once more; who did it is kept. Example: erpcrm mails release 12"""
    with open_database() as engine, engine.begin() as connection:
        outbox.release(connection, mail_id, now=SystemClock().now(), actor=actor())
    typer.echo(f"mail {mail_id} is released and leaves with the next delivery, or now with `erpcrm mails send`")


@app.command("send")
def send_command() -> None:
    """Deliver what is due now. Example: erpcrm mails send"""
    with open_database() as engine:
        report = deliver_due(engine, clock=SystemClock(), environment=os.environ)
    typer.echo(", ".join(f"{name} {count}" for name, count in asdict(report).items()))


def _record(row: sa.RowMapping) -> dict[str, object]:
    return {name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def _word(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone().isoformat(timespec="seconds")
        case _:
            return one_line(str(value))
