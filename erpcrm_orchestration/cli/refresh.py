"""`erpcrm refresh`: bring the interaction state of dossiers up to date now."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Annotated

import sqlalchemy as sa
import typer

from erpcrm_orchestration.cli.session import actor, open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.errors import SourceError, StoreError
from erpcrm_orchestration.services import dossier_edit
from erpcrm_orchestration.services.supervision import Refresh, refresh
from erpcrm_orchestration.store import ledger
from erpcrm_orchestration.store.dossier import dossier_codes, unknown_dossier
from erpcrm_orchestration.store.single import is_held

LOOK_EVERY_S = 0.5


def refresh_command(
    dossiers: Annotated[list[str], typer.Argument(help="Dossier codes.")],
    notify: Annotated[bool, typer.Option("--notify", help="Send alert mails too; without it a refresh never mails.")] = False,
    create: Annotated[
        str, typer.Option("--create", metavar="CRM_PROJECT", help="Create what is missing, for this project.")
    ] = "",
    timeout: Annotated[int, typer.Option(min=0, help="Seconds to wait for the daemon's run.")] = 120,
) -> None:
    """Refresh dossiers now. With a daemon one run does it for all who ask at the same time; without one it is done here.

    Examples: erpcrm refresh 998 001
              erpcrm refresh 777 --create CRM-777
    """
    with open_database() as engine:
        _require(engine, dossiers, create)
        if is_held(engine.url) and not notify:
            problems = _ask_the_daemon(engine, dossiers, timeout)
        else:
            problems = _here(engine, dossiers, notify=notify)
    for code in dossiers:
        typer.echo(f"{code}: {problems.get(code, 'refreshed')}", err=code in problems)
    if problems:
        raise typer.Exit(SourceError.exit_code)


def _require(engine: sa.Engine, codes: Sequence[str], crm_project: str) -> None:
    with engine.connect() as connection:
        known = dossier_codes(connection)
    missing = sorted(set(codes) - set(known))
    if missing and not crm_project:
        raise unknown_dossier(missing[0], known)
    for code in missing:
        dossier_edit.add(engine, code, [f"crm_project_code={crm_project}"], clock=SystemClock(), actor=actor())


def _here(engine: sa.Engine, codes: Sequence[str], *, notify: bool) -> dict[str, str]:
    result = refresh(engine, codes, Refresh(SystemClock(), os.environ, notify=notify))
    return result.skipped | {code: str(error) for code, error in result.failures.items()}


def _ask_the_daemon(engine: sa.Engine, codes: Sequence[str], timeout: int) -> dict[str, str]:
    """Join or make the request for each dossier and wait until all are closed."""
    with engine.begin() as connection:
        requests = ledger.request_refresh(connection, codes, by=actor(), notify=False, now=SystemClock().now())
    limit = time.monotonic() + timeout
    while True:
        with engine.connect() as connection:
            states = ledger.request_states(connection, requests.values())
        if all(state in {"DONE", "FAILED"} for state, _ in states.values()):
            return {code: states[number][1] or "failed" for code, number in requests.items() if states[number][0] == "FAILED"}
        if time.monotonic() > limit:
            waiting = [code for code, number in requests.items() if states[number][0] not in {"DONE", "FAILED"}]
            raise StoreError(
                "E-RUN-004",
                f"refresh of {', '.join(waiting)}",
                f"not done after {timeout} s",
                "look at the run in the Dagster UI",
            )
        time.sleep(LOOK_EVERY_S)
