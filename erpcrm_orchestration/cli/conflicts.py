"""`erpcrm conflicts`: fields that two systems changed differently. See what both hold, decide what stands."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from erpcrm_orchestration.cli.listing import AsCsv, AsJson, DossierOption, Limit, as_record, as_word, only_one, show_rows
from erpcrm_orchestration.cli.session import actor, confirm, open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.services import conflict
from erpcrm_orchestration.services.conflict import Choice, Decided, Whose
from erpcrm_orchestration.services.inbox_correction import Author
from erpcrm_orchestration.store.conflict import Open
from erpcrm_orchestration.store.dossier import require_code

app = typer.Typer(help="Fields that two systems changed differently: list, show, decide.")

COLUMNS = (
    "conflict_id", "dossier_code", "system_code", "entity", "record_id", "field", "our_value", "their_value", "base_value",
    "opened_at", "resolution",
)  # fmt: skip

Number = Annotated[int, typer.Argument(metavar="CONFLICT", min=1, max=2**63 - 1, help="Number of the conflict.")]
Dossier = Annotated[str, typer.Option("--dossier", metavar="CODE", help="The dossier of the conflict.")]


@app.command("list")
def list_command(
    *,
    dossier: DossierOption = None,
    entity: Annotated[str | None, typer.Option(help="Only this entity: order, customer, product ...")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that are decided too.")] = False,
    limit: Limit = 100,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List conflicts, the newest first; those that nobody decided unless --all says otherwise.

    Example: erpcrm conflicts list --dossier 998 --entity customer
    """
    asked = only_one(dossier, where="erpcrm conflicts list --dossier")
    with open_database() as engine:
        with engine.connect() as connection:
            code = require_code(connection, asked)
        found = conflict.listed(engine, code, entity=entity, closed=everything, limit=limit)
    show_rows([vars(one) for one in found], COLUMNS, as_json=as_json, as_csv=as_csv, empty="no conflicts")


@app.command("show")
def show_command(number: Number, dossier: Dossier, as_json: AsJson = False) -> None:
    """Show a conflict: what both held when they last agreed, what we hold, what the system tells.

    Example: erpcrm conflicts show 3 --dossier 998
    """
    with open_database() as engine:
        with engine.connect() as connection:
            require_code(connection, dossier)
        found = as_record(vars(conflict.read(engine, dossier, number)))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    for name, value in found.items():
        if value is not None:
            typer.echo(f"{name}: {as_word(value)}")


@app.command("decide")
def decide_command(
    number: Number,
    dossier: Dossier,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the audit trail.")],
    ours: Annotated[bool, typer.Option("--ours", help="What we hold stays.")] = False,
    theirs: Annotated[bool, typer.Option("--theirs", help="What the system tells is taken.")] = False,
    value: Annotated[str | None, typer.Option(help="Another value; of an address the parts that differ, as JSON.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Decide what stands. The systems that hold something else are told by the next round.

    Example: erpcrm conflicts decide 3 --dossier 998 --theirs --reason "the customer wrote to the agency"
    """
    choice = _choice(ours, theirs, value)
    with open_database() as engine:
        with engine.connect() as connection:
            require_code(connection, dossier)
        seen = None if yes else conflict.read(engine, dossier, number)
        if seen:
            _ask(seen, choice)
        author = Author(actor(), reason)
        done = conflict.decide(engine, dossier, number, choice, author, clock=SystemClock(), seen=seen)
    _tell(done)


def _choice(ours: bool, theirs: bool, value: str | None) -> Choice:
    if [ours, theirs, value is not None].count(True) != 1:
        raise InputError("E-CLI-050", "erpcrm conflicts decide", "not one of --ours, --theirs, --value", "give one of them")
    if value is not None:
        return Choice(Whose.VALUE, value)
    return Choice(Whose.OURS if ours else Whose.THEIRS)


def _ask(found: Open, choice: Choice) -> None:
    typer.echo(
        f"{found.entity} {found.record_id} {found.field}: ours {_shown(found.our_value)}, "
        f"{found.system_code} {_shown(found.their_value)}, before {_shown(found.base_value)}"
    )
    stands = {Whose.OURS: found.our_value, Whose.THEIRS: found.their_value, Whose.VALUE: choice.text}[choice.whose]
    confirm(f"Let it be {_shown(stands)}?")


def _tell(done: Decided) -> None:
    found = done.conflict
    typer.echo(f"{found.entity} {found.record_id} {found.field} is {_shown(done.value)}")
    typer.echo(f"{done.queued} changes are queued; the next round sends them")
    if done.left:
        typer.echo(f"{found.system_code} is not written to and still holds {_shown(found.their_value)}")


def _shown(value: str | None) -> str:
    return "nothing" if value is None else as_word(value)
