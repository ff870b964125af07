"""`erpcrm audience` and `erpcrm classes`: what the routines would consider and do, without doing it."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from erpcrm_orchestration.cli.listing import AsCsv, AsJson, DossierOption, only_one, show_rows
from erpcrm_orchestration.cli.session import open_database
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.values import typed_day
from erpcrm_orchestration.services import audience as audiences
from erpcrm_orchestration.services.class_transition import MOST_DAYS, simulate

audience = typer.Typer(help="The audiences of routines: preview.")
classes = typer.Typer(help="The class transition rules: simulate.")

ACCOUNT = ("customer_id", "code", "company", "first_name", "last_name")
MOVE = ("on_date", "customer_id", "from_class", "to_class", "rule_code", "metric_value")


@audience.callback()
def _audience() -> None:
    """The audiences of routines."""


@classes.callback()
def _classes() -> None:
    """The class transition rules."""


@audience.command("preview")
def preview_command(
    code: Annotated[str, typer.Argument(help="The code of the audience.")],
    dossier: DossierOption = None,
    sample: Annotated[int, typer.Option("--sample", min=0, max=1000, help="So many of the accounts.")] = 20,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Say how many accounts an audience holds now, and show some of them.

    Example: erpcrm audience preview vip --dossier 998
    """
    with open_database() as engine:
        count, rows = audiences.preview(engine, _required(dossier), code, limit=sample)
    if not (as_json or as_csv):
        typer.echo(f"{count} accounts")
    show_rows(rows, ACCOUNT, as_json=as_json, as_csv=as_csv, empty="")


@classes.command("simulate")
def simulate_command(
    first: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="The first day.")],
    last: Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="The last day.")],
    dossier: DossierOption = None,
    step: Annotated[int, typer.Option("--every", min=1, max=366, help="Days between two runs.")] = 1,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=f"Also more than {MOST_DAYS} days, which may take long.")] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show who would have moved class, had the rules of today been applied then. Nothing is written.

    Example: erpcrm classes simulate --dossier 998 --from 2026-07-01 --to 2026-09-30
    """
    code, days = _required(dossier), (_day(first, "--from"), _day(last, "--to"))
    with open_database() as engine:
        found = simulate(engine, code, *days, step_days=step, most=None if yes else MOST_DAYS)
    show_rows([vars(one) for one in found], MOVE, as_json=as_json, as_csv=as_csv, empty="nobody would have moved")


def _required(dossier: list[str] | None) -> str:
    code = only_one(dossier, where="--dossier")
    if code is None:
        raise InputError("E-CLI-053", "--dossier", "none", "say of which dossier")
    return code


def _day(text: str, option: str) -> date:
    return typed_day(text, where=f"erpcrm classes simulate {option}")
