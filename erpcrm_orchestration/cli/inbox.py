"""`erpcrm inbox`: what was received. See what is not integrated and why, correct it, relaunch it, follow one record."""

from __future__ import annotations

import json
import os
import uuid
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
import typer

from erpcrm_orchestration.cli.listing import AsCsv, AsJson, DossierOption, Limit, as_record, as_word, only_one, show_rows
from erpcrm_orchestration.cli.session import actor, confirm, open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.correction import Change, Link, assignment
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.errors import InputError, did_you_mean, one_line
from erpcrm_orchestration.services import inbox_correction
from erpcrm_orchestration.services.inbox_correction import RELAUNCHABLE, RELAUNCHED, Author, Correction, Proposal
from erpcrm_orchestration.services.journey import journey
from erpcrm_orchestration.store import journey as reading
from erpcrm_orchestration.store.connection_state import stopped_streams
from erpcrm_orchestration.store.dossier import require_code

app = typer.Typer(help="What was received: list, show, fix, relaunch, journey, audit.")

COLUMNS = (
    "message_id", "dossier_code", "system_code", "entity", "source_id", "version_at", "via", "state", "received_at",
    "waiting_for", "error",
)  # fmt: skip
STEPS = ("at", "system_code", "event", "subject", "detail", "run_id")
AUDIT = (
    "correction_id", "at", "actor", "action", "dossier_code", "message_id", "corrected_message_id", "dataset_number", "reason",
    "row_hash",
)  # fmt: skip
LONGEST_VALUE = 120
"""Characters of a value in a difference on the screen; --json shows all."""

Number = Annotated[int, typer.Argument(metavar="MESSAGE", min=1, max=2**63 - 1, help="Number of the message.")]
Dossier = Annotated[str, typer.Option("--dossier", metavar="CODE", help="The dossier of the message.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the audit trail.")]
EntityOption = Annotated[str | None, typer.Option("--entity", help="Only this entity: order, customer, product ...")]


class InboxState(StrEnum):
    NEW = "NEW"
    WAITING = "WAITING"
    TRANSFORMED = "TRANSFORMED"
    REJECTED = "REJECTED"
    SUPERSEDED = "SUPERSEDED"
    IGNORED = "IGNORED"
    DEAD = "DEAD"


@app.command("list")
def list_command(  # noqa: PLR0913  one parameter for each option
    *,
    dossier: DossierOption = None,
    entity: EntityOption = None,
    state: Annotated[list[InboxState] | None, typer.Option(help="May be repeated; without it what is not integrated.")] = None,
    source_id: Annotated[str | None, typer.Option(help="Only the record that its system gives this id.")] = None,
    waiting_for: Annotated[str | None, typer.Option(help="Only what waits for this, for instance 'unit PCE'.")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List messages, the newest first; those that are not integrated unless --state says otherwise.

    Examples: erpcrm inbox list --dossier 998 --state REJECTED; erpcrm inbox list --waiting-for "unit PCE" --csv > waiting.csv
    """
    asked = only_one(dossier, where="erpcrm inbox list --dossier")
    equal = {"entity": entity, "source_id": source_id, "waiting_for": waiting_for}
    with open_database() as engine, engine.connect() as connection:
        code = require_code(connection, asked)
        rows = reading.list_messages(connection, dossier_code=code, limit=limit, states=_words(state), equal=equal)
    show_rows(rows, COLUMNS, as_json=as_json, as_csv=as_csv, empty="no messages")


@app.command("show")
def show_command(message: Number, dossier: Dossier, as_json: AsJson = False) -> None:
    """Show a message: its payload, what became of it, its corrections, and the rows that were made from it.

    Example: erpcrm inbox show 17 --dossier 998
    """
    with open_database() as engine, engine.connect() as connection:
        row = _read(connection, dossier, message)
        corrections = reading.corrections_of(connection, dossier, message)
        rows = reading.rows_of(connection, dossier, message)
    if as_json:
        whole = {**as_record(row), "corrections": [as_record(one) for one in corrections], "rows": rows}
        typer.echo(json.dumps(whole, ensure_ascii=False, indent=2, default=str))
        return
    for name, value in row.items():
        if name != "payload" and value is not None:
            typer.echo(f"{name}: {as_word(value)}")
    for one in corrections:
        typer.echo(f"{one['action']} of message {one['message_id']}: {_by(one)}")
        _show_changes([Change(each["path"], each["before"], each["after"]) for each in one["difference"]])
    for table, made in rows.items():
        for each in made:
            typer.echo(f"row {table}: {_as_line(each)}")
    for line in row["payload"].splitlines():
        typer.echo(f"| {one_line(line)}")


@app.command("fix")
def fix_command(
    message: Number,
    dossier: Dossier,
    reason: Reason,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="May be repeated; PATH:=JSON sets any JSON value.")
    ] = None,
    removed: Annotated[list[str] | None, typer.Option("--remove", metavar="PATH", help="Take a value away.")] = None,
    from_file: Annotated[Path | None, typer.Option(help="The corrected record as JSON.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Correct a message. The original stays as it is; the correction takes its place and is integrated.

    Example: erpcrm inbox fix 17 --dossier 998 --set billing.email=ana@example.com --reason "asked the customer"
    """
    wanted = Correction([assignment(one) for one in assignments or ()], removed or (), _file(from_file) if from_file else None)
    with open_database() as engine:
        _require_dossier(engine, dossier)
        proposal = inbox_correction.propose(engine, dossier, message, wanted, clock=SystemClock())
        _show_proposal(proposal)
        if not yes:
            confirm(f"Correct message {message}?")
        run_id = _run_id()
        author = Author(actor(), reason)
        made = inbox_correction.correct(engine, proposal, author, clock=SystemClock(), run_id=run_id)
        typer.echo(f"message {message} is corrected by message {made}")
        _integrate(engine, dossier, [made], run_id)


@app.command("relaunch")
def relaunch_command(
    dossier: Dossier,
    reason: Reason,
    messages: Annotated[list[int] | None, typer.Argument(metavar="[MESSAGE]...", help="Numbers of messages.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are the newest of their record.")] = False,
    entity: EntityOption = None,
    state: Annotated[
        list[InboxState] | None, typer.Option(help="With --all: only REJECTED, DEAD, WAITING; or IGNORED.")
    ] = None,
) -> None:
    """Let refused, given up or waiting messages enter again; only the newest of each record, so that none overtakes.

    Examples: erpcrm inbox relaunch 17 18 --dossier 998 --reason "mapping corrected"
              erpcrm inbox relaunch --all --dossier 998 --entity order --state DEAD --reason "products are there"
    """
    if bool(messages) == everything or (messages and (entity or state)):
        raise InputError("E-CLI-050", "erpcrm inbox relaunch", "messages or --all", "name messages, or --all with its filters")
    author, states = Author(actor(), reason), _words(state)
    unknown = sorted(set(states) - set(RELAUNCHABLE))
    if unknown:
        raise InputError("E-COR-003", "erpcrm inbox relaunch --state", unknown[0], f"choose of {', '.join(RELAUNCHABLE)}")
    with open_database() as engine:
        _require_dossier(engine, dossier)
        if messages:
            done = inbox_correction.relaunch(engine, dossier, author, message_ids=messages, clock=SystemClock())
        else:
            done = inbox_correction.relaunch_all(
                engine, dossier, author, states=states or RELAUNCHED, entity=entity, clock=SystemClock()
            )  # fmt: skip
        typer.echo(f"{len(done)} entered again" + (f": {', '.join(map(str, done[:20]))}" if done else ""))
        if done:
            _integrate(engine, dossier, done, _run_id())


@app.command("journey")
def journey_command(
    dossier: Dossier,
    entity: Annotated[str, typer.Option(help="order, customer, product, intervention ...")],
    source_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="The id that a system gives the record.")] = None,
    system: Annotated[str | None, typer.Option(help="The system whose id it is: shop, crm, erp.")] = None,
    record: Annotated[int | None, typer.Option(help="Our id of the record, in place of a system's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell one record's way through every system, in the order of time: messages, corrections, fetches, deliveries.

    Example: erpcrm inbox journey 1042 --dossier 998 --entity order --system shop
    """
    if entity not in ENTITIES:
        raise InputError("E-COR-022", "erpcrm inbox journey --entity", f"no entity {entity!r}", did_you_mean(entity, ENTITIES))
    if (source_id is None) == (record is None):
        raise InputError("E-CLI-050", "erpcrm inbox journey", "an id or --record", "give one of them")
    with open_database() as engine:
        _require_dossier(engine, dossier)
        found = journey(engine, dossier, entity, source_id=source_id, record_id=record, system_code=system)
    if as_json:
        typer.echo(json.dumps([as_record(step) for step in found.steps], ensure_ascii=False, indent=2))
        return
    names = ", ".join(f"{one.system_code} {one.source_id}" for one in found.known)
    typer.echo(f"{entity} {found.record_id or ''} of dossier {dossier}: {names}")
    for step in found.steps:
        typer.echo("  ".join(as_word(step[name]) for name in STEPS if step[name] not in (None, "")))


@app.command("audit")
def audit_command(
    check: Annotated[
        bool, typer.Option("--verify", help="Check that each row is as its hash says and follows the one before it.")
    ] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List who corrected, relaunched or decided what, or undid a deletion, and why, the oldest first.

    --verify does not see rows that were cut off at the end. Keep the last hash that it prints in another place: while a row has
    it as row_hash and --verify finds nothing, everything up to that row is as it was.

    Example: erpcrm inbox audit --verify
    """
    with open_database() as engine:
        if check:
            count, last = inbox_correction.verify(engine)
            typer.echo(f"{count} rows, each is as its hash says and follows the one before it; the last hash is {last}")
            return
        rows = [_audit_row(number, link) for number, link in inbox_correction.listed(engine)]
    show_rows(rows, AUDIT, as_json=as_json, as_csv=as_csv, empty="no corrections")


def _audit_row(number: int, link: Link) -> dict[str, Any]:
    changes = [vars(one) for one in link.entry.difference]
    return {"correction_id": number, **vars(link.entry), "difference": changes, "row_hash": link.row_hash}


def _integrate(engine: sa.Engine, dossier: str, message_ids: list[int], run_id: str) -> None:
    """Integrate now when nobody else does, and say what became of the messages."""
    done = inbox_correction.integrate_now(
        engine, dossier, clock=SystemClock(), environment=os.environ, run_id=run_id
    )  # fmt: skip
    if done is None:
        typer.echo("another run works on this dossier: its next round integrates them")
        return
    for failure in done.failures:
        typer.echo(str(failure), err=True)
    with engine.connect() as connection:
        stopped = stopped_streams(connection)
        for message_id in message_ids[:20]:
            row = _read(connection, dossier, message_id)
            because = _because(row, stopped.get((row["connection_code"], row["stream"])))
            typer.echo(f"message {message_id} is {row['state']}" + (f" {as_word(because)}" if because else ""))


def _because(row: dict[str, Any], stopped: str | None) -> str | None:
    if row["state"] == InboxState.NEW:
        return f"because its stream is stopped: {stopped}" if stopped else "until the next round"
    because = f"for {row['waiting_for']}" if row["waiting_for"] else row["error"] or row["warning"]
    return str(because) if because else None


def _show_proposal(proposal: Proposal) -> None:
    stored = proposal.stored
    typer.echo(
        f"message {stored.message_id}: {stored.key.entity} {stored.source_id} of {stored.key.system_code}, {stored.state}"
    )
    _show_changes(proposal.changes)
    if proposal.waiting_for:
        typer.echo(f"corrected like this it waits for {as_word(proposal.waiting_for)}")
    if proposal.warning:
        typer.echo(f"warning: {as_word(proposal.warning)}")


def _show_changes(changes: tuple[Change, ...] | list[Change]) -> None:
    for one in changes:
        typer.echo(f"  {as_word(one.path)}: {_cut(one.before)} -> {_cut(one.after)}")


def _cut(text: str | None) -> str:
    shown = "nothing" if text is None else as_word(text)
    return shown if len(shown) <= LONGEST_VALUE else f"{shown[:LONGEST_VALUE]}... ({len(shown)} characters)"


def _by(row: dict[str, Any]) -> str:
    now = f", now message {row['corrected_message_id']}" if row["corrected_message_id"] else ""
    return f"{as_word(row['at'])} by {as_word(row['actor'])}: {as_word(row['reason'])}{now}"


def _as_line(row: dict[str, Any]) -> str:
    return as_word(", ".join(f"{name}={as_word(value)}" for name, value in row.items() if value is not None))


def _read(connection: sa.Connection, dossier: str, message: int) -> dict[str, Any]:
    require_code(connection, dossier)
    row = reading.read_message(connection, dossier, message)
    if row is None:
        remedy = f"see `erpcrm inbox list --dossier {dossier}`"
        raise InputError("E-COR-001", f"message {dossier}/{message}", "no such message", remedy)
    return row


def _require_dossier(engine: sa.Engine, dossier: str) -> None:
    with engine.connect() as connection:
        require_code(connection, dossier)


def _words(states: list[InboxState] | None) -> list[str]:
    return [one.value for one in states or ()]


def _run_id() -> str:
    return f"cli-{uuid.uuid4()}"


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError("E-COR-013", f"{path}", error.strerror or "cannot be read", "give a readable file") from None
