"""`erpcrm doctor`: what is wrong with this installation, and what to do."""

from __future__ import annotations

import os

import typer

from erpcrm_orchestration.cli.session import open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.services.doctor import examine


def doctor_command() -> None:
    """Look at everything that may be wrong here; exit with 1 when something is.

    That is the database, both clocks, the disk, the daemon, states, watchers, ticks, configuration, sources, pivot folders
    and the mail server.

    Example: erpcrm doctor
    """
    wrong = 0
    with open_database() as engine:
        for finding in examine(engine, clock=SystemClock(), environment=os.environ):
            wrong += not finding.is_well
            advice = "" if finding.is_well or not finding.advice else f"; {finding.advice}"
            typer.echo(f"{'ok ' if finding.is_well else '!! '} {finding.subject}: {finding.found}{advice}")
    if wrong:
        typer.echo(f"{wrong} to look at")
        raise typer.Exit(1)
