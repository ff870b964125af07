"""`erpcrm watchers`, `erpcrm ticks`, `erpcrm alerts`: what runs, what became of every due tick, what is wrong now."""

from __future__ import annotations

from typing import Annotated

import typer

from erpcrm_orchestration.cli.listing import AsCsv, AsJson, DossierOption, Limit, only_one, show_rows
from erpcrm_orchestration.cli.session import open_database
from erpcrm_orchestration.domain.errors import one_line
from erpcrm_orchestration.domain.ledger import TickState
from erpcrm_orchestration.store import mart
from erpcrm_orchestration.store.dossier import require_code

State = Annotated[
    TickState | None, typer.Option("--state", case_sensitive=False, help="Only ticks in this state, for instance missed.")
]


def watchers_command(as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """Show the watchers: ON while the heartbeat is at most two poll intervals old.

    Example: erpcrm watchers
    """
    with open_database() as engine, engine.connect() as connection:
        rows = mart.list_watchers(connection)
    show_rows(rows, mart.WATCHER, as_json=as_json, as_csv=as_csv, empty="no watchers: apply a configuration first")


def ticks_command(
    dossier: DossierOption = None, state: State = None, limit: Limit = 100, as_json: AsJson = False, as_csv: AsCsv = False
) -> None:
    """List the newest due ticks and what became of each.

    Example: erpcrm ticks --dossier 998 --state missed
    """
    asked = only_one(dossier, where="erpcrm ticks --dossier")
    with open_database() as engine, engine.connect() as connection:
        code = require_code(connection, asked)
        rows = mart.list_ticks(connection, dossier_code=code, state=state, limit=limit)
    show_rows(rows, mart.TICK, as_json=as_json, as_csv=as_csv, empty="no ticks")


def alerts_command(dossier: DossierOption = None, limit: Limit = 100, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List the checks that fail now, with what to do about each.

    Example: erpcrm alerts --dossier 998
    """
    asked = only_one(dossier, where="erpcrm alerts --dossier")
    with open_database() as engine, engine.connect() as connection:
        code = require_code(connection, asked)
        rows = mart.list_open_alerts(connection, dossier_code=code, limit=limit)
    if not as_json:
        rows = [{**row, "details": _in_words(row["details"])} for row in rows]
    show_rows(rows, mart.ALERT, as_json=as_json, as_csv=as_csv, empty="no open alerts")


def _in_words(details: dict[str, object]) -> str:
    return ", ".join(f"{name}: {one_line(str(value))}" for name, value in details.items())
