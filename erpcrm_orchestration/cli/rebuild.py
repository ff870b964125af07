"""`erpcrm rebuild`: the tables of an entity made anew from the inbox, after its mapping was changed."""

from __future__ import annotations

import json
import uuid
from typing import Annotated

import typer

from erpcrm_orchestration.cli.listing import AsJson
from erpcrm_orchestration.cli.session import open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.errors import InputError, did_you_mean
from erpcrm_orchestration.domain.integration import Tally
from erpcrm_orchestration.services.replay import Replay, replay
from erpcrm_orchestration.store.dossier import require_code


def rebuild_command(
    entity: Annotated[str, typer.Argument(help="order, customer, product ...")],
    dossier: Annotated[str, typer.Option("--dossier", metavar="CODE", help="The dossier.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it; without it nothing is written.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the tables of an entity anew from the inbox; without --yes say what would change.

    No system is asked or told. What the mapping names no more keeps its value, what is refused keeps its rows.

    Examples: erpcrm rebuild order --dossier 998
              erpcrm rebuild order --dossier 998 --yes
    """
    if entity not in ENTITIES:
        raise InputError("E-COR-022", "erpcrm rebuild", f"no entity {entity!r}", did_you_mean(entity, ENTITIES))
    with open_database() as engine:
        with engine.connect() as connection:
            require_code(connection, dossier)
        job = Replay(SystemClock(), f"cli-{uuid.uuid4()}", dry=not yes)
        tally = replay(engine, [dossier], [entity], job).get((dossier, entity), Tally())
    if as_json:
        typer.echo(json.dumps({"written": yes, **vars(tally)}))
    else:
        _tell(tally, yes=yes)


def _tell(tally: Tally, *, yes: bool) -> None:
    typer.echo(f"{tally.messages} records are in the inbox, {tally.changed} {'changed' if yes else 'would change'}")
    for count, what in ((tally.rejected, "refused by the mapping"), (tally.waiting, "in want of a word or a parent")):
        if count:
            typer.echo(f"{count} are {what} and keep the rows they have")
    if not yes:
        typer.echo("nothing is written; repeat with --yes")
