"""`erpcrm order`: execution orders of background routines: schedule, look, cancel, retry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Annotated

import typer

from erpcrm_orchestration.cli.listing import AsCsv, AsJson, DossierOption, Limit, only_one, show_rows
from erpcrm_orchestration.cli.session import actor, open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.errors import InputError, did_you_mean
from erpcrm_orchestration.domain.routine import NewOrder, Order, OrderState
from erpcrm_orchestration.domain.values import typed_day
from erpcrm_orchestration.services import order as service
from erpcrm_orchestration.services.programs import known_programs, require_sound

app = typer.Typer(help="Execution orders of background routines: add, list, show, cancel, retry, programs.")

COLUMNS = (
    "number", "dossier", "program", "scheduled_at", "server", "state", "attempt", "considered", "changed", "unchanged",
    "skipped", "errors", "requested_by",
)  # fmt: skip
DETAILS = (
    "number", "dossier", "program", "parameters", "audience", "dry_run", "requested_by", "email", "scheduled_at", "server",
    "agenda", "depends_on", "state", "attempt", "run", "started_at", "ended_at", "failure", "considered", "changed",
    "unchanged", "skipped", "errors",
)  # fmt: skip
RESULTS = ("customer_id", "code", "name", "outcome", "message", "details")

Number = Annotated[int, typer.Argument(help="The number of the order.", min=1)]


@app.command("add")
def add_command(  # noqa: PLR0913 - what a person says of an order
    program: Annotated[str, typer.Argument(help="The program, for instance account_complement or crm338.")],
    *,
    dossier: DossierOption = None,
    on_date: Annotated[str, typer.Option("--date", metavar="YYYY-MM-DD", help="The local day; without it today.")] = "",
    hour: Annotated[str, typer.Option("--hour", metavar="HH:MM", help="The local time; without it now.")] = "",
    agenda: Annotated[bool, typer.Option("--agenda", help="Follow the program's agenda; no date, no hour.")] = False,
    server: Annotated[str, typer.Option("--server", metavar="CODE", help="Without it that of the dossier.")] = "",
    audience: Annotated[str, typer.Option("--audience", metavar="CODE", help="Without it all accounts.")] = "",
    parameters: Annotated[list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="Of the program.")] = None,
    after: Annotated[int | None, typer.Option("--after", metavar="NUMBER", help="Start only when that order is DONE.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be done, and do nothing.")] = False,
    email: Annotated[str, typer.Option("--email", help="Who gets the summary; without it you, if the board knows you.")] = "",
    summary: Annotated[bool | None, typer.Option("--summary/--no-summary", help="Mail a summary, or none.")] = None,
) -> None:
    """Schedule a routine: now, at a day and hour, or by the agenda of its program.

    Example: erpcrm order add crm338 --dossier 998 --date 2026-12-01 --hour 22:00 --server night
    """
    code = only_one(dossier, where="--dossier")
    if code is None:
        raise InputError("E-CLI-053", "--dossier", "none", "say of which dossier")
    clock = SystemClock()
    with open_database() as engine:
        at = None if agenda else service.local_time(engine, code, _day(on_date), _hour(hour), clock=clock)
        new = NewOrder(
            code, program, actor(), at, agenda, server or None, audience or None, _pairs(parameters or ()), after, dry_run,
            email or None, summary,
        )  # fmt: skip
        number = service.schedule(engine, new, clock=clock)
        order, _ = service.details(engine, number)
    typer.echo(f"order {number}: {order.program} of dossier {code} at {order.scheduled_at.astimezone():%Y-%m-%d %H:%M %z}")


@app.command("list")
def list_command(
    dossier: DossierOption = None,
    state: Annotated[str, typer.Option("--state", help="Only orders in this state.")] = "",
    limit: Limit = 50,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the newest orders.

    Example: erpcrm order list --dossier 998 --state FAILED
    """
    if state and state not in {one.value for one in OrderState}:
        raise InputError("E-CLI-050", "--state", f"no state {state!a}", did_you_mean(state, [one.value for one in OrderState]))
    with open_database() as engine:
        found = service.listed(engine, only_one(dossier, where="--dossier"), state or None, limit=limit)
    show_rows([_row(one) for one in found], COLUMNS, as_json=as_json, as_csv=as_csv, empty="no order")


@app.command("show")
def show_command(number: Number, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """Show an order, and what it says of single accounts, errors first.

    Example: erpcrm order show 12
    """
    with open_database() as engine:
        order, results = service.details(engine, number)
    if as_json or as_csv:
        show_rows(results, RESULTS, as_json=as_json, as_csv=as_csv, empty="")
        return
    row = _row(order)
    show_rows([{"": name, "value": row[name]} for name in DETAILS], ("", "value"), as_json=False, as_csv=False, empty="")
    if results:
        typer.echo("")
        show_rows(results, RESULTS, as_json=False, as_csv=False, empty="")


@app.command("cancel")
def cancel_command(number: Number) -> None:
    """Cancel an order that has not started.

    Example: erpcrm order cancel 12
    """
    with open_database() as engine:
        service.cancel(engine, number, clock=SystemClock(), actor=actor())
    typer.echo(f"order {number} cancelled")


@app.command("retry")
def retry_command(number: Number) -> None:
    """Let a failed order start again, as a new attempt that goes on after the accounts that were handled.

    Example: erpcrm order retry 12
    """
    with open_database() as engine:
        service.retry(engine, number, clock=SystemClock(), actor=actor())
    typer.echo(f"order {number} starts again")


@app.command("programs")
def programs_command() -> None:
    """List the programs that can be ordered, and say what is wrong with those of ERPCRM_ROUTINES.

    Example: erpcrm order programs
    """
    rows = [
        {
            "program": one.code,
            "original": one.original,
            "parameters": ", ".join(name if needed else f"[{name}]" for name, needed in one.parameters.items()),
            "description": one.description,
        }
        for one in known_programs().values()
    ]
    show_rows(rows, ("program", "original", "parameters", "description"), as_json=False, as_csv=False, empty="no program")
    require_sound()


def _day(text: str) -> date | None:
    return typed_day(text, where="erpcrm order add --date") if text else None


def _hour(text: str) -> time | None:
    try:
        return datetime.strptime(text, "%H:%M").time() if text else None  # noqa: DTZ007 - a time of day
    except ValueError:
        raise InputError("E-CLI-055", "erpcrm order add --hour", f"{text!a} is no time", "write 22:00") from None


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        name, found, value = word.partition("=")
        if not found or not name:
            raise InputError("E-CLI-050", "--param", f"{word!a} is no NAME=VALUE", "write template=birthday")
        if name in pairs:
            raise InputError("E-CLI-053", "--param", f"{name} is given twice", "give it once")
        pairs[name] = value
    return pairs


def _row(order: Order) -> dict[str, object]:
    counts = order.counts
    return {
        "number": order.order_number,
        "dossier": order.dossier_code,
        "program": order.program,
        "parameters": " ".join(f"{name}={value}" for name, value in order.parameters.items()),
        "audience": order.audience_code or "all accounts",
        "dry_run": "yes" if order.dry_run else "no",
        "requested_by": order.requested_by,
        "email": order.email,
        "scheduled_at": order.scheduled_at,
        "server": order.server_code,
        "agenda": "yes" if order.auto_agenda else "no",
        "depends_on": order.depends_on,
        "state": order.state.value,
        "attempt": order.attempt,
        "run": order.run_id,
        "started_at": order.started_at,
        "ended_at": order.ended_at,
        "failure": order.failure,
        "considered": counts.considered,
        "changed": counts.changed,
        "unchanged": counts.unchanged,
        "skipped": counts.skipped,
        "errors": counts.errors,
    }
