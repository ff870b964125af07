"""`erpcrm mapping`: what words and units of the systems mean here, and the worklist of what is missing."""

from __future__ import annotations

import os
import uuid
from datetime import date, datetime
from typing import Annotated

import sqlalchemy as sa
import typer

from erpcrm_orchestration.cli.listing import AsCsv, AsJson, DossierOption, only_one, show_rows
from erpcrm_orchestration.cli.session import actor, open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.values import typed_day
from erpcrm_orchestration.services.inbox_correction import Author, integrate_now
from erpcrm_orchestration.services.worklist import Ratio, Word, causes, exact, forget_word, map_word, set_ratio
from erpcrm_orchestration.store.dossier import require_code
from erpcrm_orchestration.store.worklist import list_ratios, list_words

app = typer.Typer(help="Words and units of the systems: worklist, set, list, remove, ratio.")
ratio_app = typer.Typer(help="How many of one unit another is, exactly, from a day on. Example: erpcrm mapping ratio list")
app.add_typer(ratio_app, name="ratio")

WORKLIST = ("dossier_code", "system_code", "cause", "blocks", "given_up", "since", "entities", "state", "to_do")
WORDS = ("dossier_code", "system_code", "kind", "external_value", "our_value", "updated_at")
RATIOS = ("dossier_code", "sku", "unit", "base_unit", "valid_from", "numerator", "denominator")

Dossier = Annotated[str, typer.Option("--dossier", metavar="CODE", help="The dossier.")]
System = Annotated[str, typer.Option("--system", help="The system whose word it is: shop, crm, erp.")]
Kind = Annotated[str, typer.Argument(metavar="KIND", help="The kind of word, for instance unit.")]
Theirs = Annotated[str, typer.Argument(metavar="WORD", help="The word as the system sends it.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the audit trail.")]
Unit = Annotated[str, typer.Argument(metavar="UNIT", help="The unit, for instance box.")]
BaseUnit = Annotated[str, typer.Argument(metavar="BASE", help="The unit that it is counted in, for instance pcs.")]
Sku = Annotated[str, typer.Option("--sku", help="Only for this product; without it for every product.")]
Day = Annotated[str, typer.Option("--valid-from", metavar="DAY", help="The first day, as 2026-01-31.")]


@app.command("worklist")
def worklist_command(dossier: DossierOption = None, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List words without a mapping and missing parents: what blocks most records first, with the command for it.

    In the command of a word OURS is what it means here, and the dots are the reason.

    Example: erpcrm mapping worklist --dossier 998
    """
    asked = only_one(dossier, where="erpcrm mapping worklist --dossier")
    with open_database() as engine:
        with engine.connect() as connection:
            code = require_code(connection, asked)
        rows = causes(engine, code)
    show_rows(_shown(rows), WORKLIST, as_json=as_json, as_csv=as_csv, empty="nothing waits")


@app.command("set")
def set_command(
    kind: Kind,
    word: Theirs,
    ours: Annotated[str, typer.Argument(metavar="OURS", help="What it means here.")],
    dossier: Dossier,
    system: System,
    reason: Reason,
) -> None:
    """Say what a word of a system means; the records that wait for it go on.

    Example: erpcrm mapping set unit PCE pcs --dossier 998 --system shop --reason "UN/ECE code"
    """
    with open_database() as engine:
        _require_dossier(engine, dossier)
        woken = map_word(engine, Word(dossier, system, kind, word), ours, Author(actor(), reason), clock=SystemClock())
        typer.echo(f"{kind} {word} of {system} is {ours}; {woken} records go on")
        if woken:
            _integrate(engine, dossier)


@app.command("list")
def list_command(
    dossier: DossierOption = None,
    system: Annotated[str | None, typer.Option(help="Only this system.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind.")] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List what words mean. Example: erpcrm mapping list --dossier 998 --kind unit"""
    asked = only_one(dossier, where="erpcrm mapping list --dossier")
    with open_database() as engine, engine.connect() as connection:
        code = require_code(connection, asked)
        rows = list_words(connection, dossier_code=code, system_code=system, kind=kind)
    show_rows(rows, WORDS, as_json=as_json, as_csv=as_csv, empty="no words are mapped")


@app.command("remove")
def remove_command(kind: Kind, word: Theirs, dossier: Dossier, system: System, reason: Reason) -> None:
    """Take the meaning of a word away: records that come with it wait again.

    Example: erpcrm mapping remove unit PCE --dossier 998 --system shop --reason "was wrong"
    """
    with open_database() as engine:
        _require_dossier(engine, dossier)
        forget_word(engine, Word(dossier, system, kind, word), Author(actor(), reason), clock=SystemClock())
    typer.echo(f"{kind} {word} of {system} has no meaning any more")


@ratio_app.command("set")
def set_ratio_command(
    unit: Unit,
    base: BaseUnit,
    ratio: Annotated[str, typer.Argument(metavar="RATIO", help="12, 1/12 or 0.75: so many BASE are one UNIT.")],
    dossier: Dossier,
    start: Day,
    reason: Reason,
    sku: Sku = "",
) -> None:
    """Say how many of a unit another one is, exactly, from a day on.

    Example: erpcrm mapping ratio set box pcs 12 --valid-from 2026-01-01 --dossier 998 --reason "price list"
    """
    key, (over, under) = Ratio(dossier, sku, unit, base, _day(start)), exact(ratio)
    with open_database() as engine:
        _require_dossier(engine, dossier)
        changed = set_ratio(engine, key, (over, under), Author(actor(), reason), clock=SystemClock())
    typer.echo(f"1 {unit} is {over}/{under} {base} from {key.valid_from}" + ("" if changed else "; nothing changed"))


@ratio_app.command("list")
def list_ratios_command(dossier: DossierOption = None, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List the ratios of units. Example: erpcrm mapping ratio list --dossier 998"""
    asked = only_one(dossier, where="erpcrm mapping ratio list --dossier")
    with open_database() as engine, engine.connect() as connection:
        rows = list_ratios(connection, dossier_code=require_code(connection, asked))
    show_rows(_shown(rows), RATIOS, as_json=as_json, as_csv=as_csv, empty="no ratios")


@ratio_app.command("remove")
def remove_ratio_command(unit: Unit, base: BaseUnit, dossier: Dossier, start: Day, reason: Reason, sku: Sku = "") -> None:
    """Take a ratio away. Example: erpcrm mapping ratio remove box pcs --valid-from 2026-01-01 --dossier 998 --reason x"""
    with open_database() as engine:
        _require_dossier(engine, dossier)
        key = Ratio(dossier, sku, unit, base, _day(start))
        set_ratio(engine, key, None, Author(actor(), reason), clock=SystemClock())
    typer.echo(f"the ratio of {unit} and {base} from {start} is gone")


def _day(text: str) -> date:
    return typed_day(text, where="erpcrm mapping ratio --valid-from")


def _shown(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return the rows with days as texts, which JSON has no word for."""
    return [
        {
            name: value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else value
            for name, value in row.items()
        }
        for row in rows
    ]


def _integrate(engine: sa.Engine, dossier: str) -> None:
    done = integrate_now(
        engine, dossier, clock=SystemClock(), environment=os.environ, run_id=f"cli-{uuid.uuid4()}"
    )  # fmt: skip
    if done is None:
        typer.echo("another run works on this dossier: its next round integrates them")
        return
    for failure in done.failures:
        typer.echo(str(failure), err=True)
    total = sum(tally.transformed for tally in done.tallies.values())
    typer.echo(f"{total} records are integrated")


def _require_dossier(engine: sa.Engine, dossier: str) -> None:
    with engine.connect() as connection:
        require_code(connection, dossier)
