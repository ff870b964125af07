"""`erpcrm fetch`: one record, asked of its system now or at the end of its peak hours."""

from __future__ import annotations

import os
import uuid
from typing import Annotated

import typer

from erpcrm_orchestration.cli.listing import as_word
from erpcrm_orchestration.cli.session import actor, open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.errors import SourceError
from erpcrm_orchestration.services.fetch_request import Asked, Wish, ask
from erpcrm_orchestration.store.connection_state import stopped_connections
from erpcrm_orchestration.store.dossier import require_code


def fetch_command(
    entity: Annotated[str, typer.Argument(help="order, customer, product ..., or the system's own word.")],
    source_id: Annotated[str, typer.Argument(metavar="ID", help="The id that the system gives the record.")],
    dossier: Annotated[str, typer.Option(metavar="CODE", help="The dossier.")],
    system: Annotated[str | None, typer.Option(help="The system to ask, when several have such records.")] = None,
    urgent: Annotated[bool, typer.Option("--urgent", help="Ask now, also in the peak hours.")] = False,
) -> None:
    """Fetch one record of a system. It is asked at once, in its peak hours at their end unless it is urgent.

    Examples: erpcrm fetch order 1042 --dossier 998
              erpcrm fetch product 55 --dossier 998 --system shop --urgent
    """
    wish = Wish(dossier, entity, source_id, system, urgent)
    with open_database() as engine:
        with engine.connect() as connection:
            require_code(connection, dossier)
        asked = ask(
            engine, wish, actor=actor(), clock=SystemClock(), environment=os.environ, run_id=f"cli-{uuid.uuid4()}"
        )  # fmt: skip
        with engine.connect() as connection:
            stopped = stopped_connections(connection).get(asked.connection_code)
    typer.echo(_answer(wish, asked, stopped))
    if asked.item["state"] in {"RETRY", "DEAD"}:
        raise typer.Exit(SourceError.exit_code)


def _answer(wish: Wish, asked: Asked, stopped: str | None) -> str:
    what, state = f"{wish.entity} {wish.source_id} of {asked.connection_code}", asked.item["state"]
    again = "" if asked.new else " (it was asked for already)"
    if asked.deferred_to:
        end = asked.deferred_to.isoformat(timespec="minutes")
        return f"{what} is fetched from {end}, when the peak hours end{again}; --urgent fetches it now"
    if state == "DONE":
        return f"{what} is fetched"
    if state in {"RETRY", "DEAD"}:
        return f"{what} is not fetched: {as_word(asked.item['last_error'])}"
    if stopped:
        return f"{what} waits: the connection is stopped: {as_word(stopped)}"
    return f"{what} is fetched with the next round{again}"
