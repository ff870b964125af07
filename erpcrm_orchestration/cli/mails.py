"""`erpcrm mails`: what is in the outbox, why a mail did not leave, and what a person decides about it."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated

import typer

from erpcrm_orchestration.cli.listing import AsCsv, AsJson, DossierOption, Limit, as_word, only_one, show_rows
from erpcrm_orchestration.cli.session import actor, open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.errors import one_line
from erpcrm_orchestration.domain.mail import MailState
from erpcrm_orchestration.services.mail import deliver_due
from erpcrm_orchestration.store import mail as outbox
from erpcrm_orchestration.store.dossier import require_code

app = typer.Typer(help="The mail outbox.")

COLUMNS = ("mail_id", "dossier_code", "cause", "state", "attempts", "created_at", "sent_at", "subject", "last_error")


Number = Annotated[int, typer.Argument(metavar="ID", min=1, max=2**63 - 1, help="Number of the mail.")]


@app.command("list")
def list_command(
    dossier: DossierOption = None,
    state: Annotated[MailState | None, typer.Option(help="Only mails in this state.")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the newest mails. Example: erpcrm mails list --state UNCERTAIN"""
    asked = only_one(dossier, where="erpcrm mails list --dossier")
    with open_database() as engine, engine.connect() as connection:
        code = require_code(connection, asked)
        rows = outbox.list_mails(connection, dossier_code=code, state=state, limit=limit)
    show_rows(rows, COLUMNS, as_json=as_json, as_csv=as_csv, empty="no mails")


@app.command("show")
def show_command(mail_id: Number) -> None:
    """Show one mail with its text and what the server said about each recipient. Example: erpcrm mails show 12"""
    with open_database() as engine, engine.connect() as connection:
        row, people = outbox.read_mail(connection, mail_id)
    for name, value in row.items():
        if name not in {"text", "html"}:
            typer.echo(f"{name}: {as_word(value)}")
    for person in people:
        typer.echo(f"recipient {as_word(person['address'])}: {person['state']} {as_word(person['answer'])}".rstrip())
    typer.echo("")
    for line in row["text"].splitlines():
        typer.echo(one_line(line))


@app.command("release")
def release_command(mail_id: Number) -> None:
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
