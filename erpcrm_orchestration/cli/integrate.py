"""`erpcrm integrate`: do one round for dossiers here and now, as a run would."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Annotated

import sqlalchemy as sa
import typer

from erpcrm_orchestration.cli.session import open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.errors import InputError, one_line
from erpcrm_orchestration.domain.integration import Tally
from erpcrm_orchestration.services.connectors import connected
from erpcrm_orchestration.services.delivery import Deliveries
from erpcrm_orchestration.services.polling import StreamPoll
from erpcrm_orchestration.services.round import DossierRound, Round, work_round
from erpcrm_orchestration.store.connection_state import stopped_connections, stopped_streams
from erpcrm_orchestration.store.dossier import dossier_codes, unknown_dossier

LOOK = 1
"""The exit code when nothing failed, but something was left out."""


def integrate_command(
    dossiers: Annotated[list[str] | None, typer.Argument(help="Dossier codes; all that have connections without any.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="Read also what is not due yet.")] = False,
) -> None:
    """Do one round now: read the systems, integrate, fetch what is missing, deliver. One line for each stream.

    What a stopped connection or stream, or another run's dossier, leaves out is said; nothing is read twice at a time.

    Examples: erpcrm integrate 998
              erpcrm integrate --everything
    """
    with open_database() as engine:
        codes = _codes(engine, dossiers or [])
        rounds = work_round(engine, codes, Round(SystemClock(), os.environ, everything=everything))
        left_out = [*_left_out(engine, codes, rounds)]
    for code in sorted(rounds):
        for line in _lines(rounds[code]):
            typer.echo(line)
    failures = [(code, failure) for code in sorted(rounds) for failure in rounds[code].failures]
    for line in (*left_out, *(f"{code}: {failure}" for code, failure in failures)):
        typer.echo(one_line(line), err=True)
    if failures or left_out:
        raise typer.Exit(max((failure.exit_code for _, failure in failures), default=LOOK))


def _codes(engine: sa.Engine, asked: Sequence[str]) -> list[str]:
    """Return the dossiers to work on; raise InputError E-CLI-057 or E-CLI-067 for one that has nothing to be worked on."""
    with engine.connect() as connection:
        known = dossier_codes(connection)
        have = {one.connection.dossier for one in connected(connection)}
        active = set(dossier_codes(connection, active=True))
    for code in asked:
        if code not in known:
            raise unknown_dossier(code, known)
        if code not in have:
            raise InputError("E-CLI-067", f"dossier {code}", "no active connection", "add one below `connections` and apply it")
    return sorted(set(asked) or have & active)


def _lines(done: DossierRound) -> Iterator[str]:
    """Yield one line for each stream that was read or worked on, then one for each system that is written to."""
    for key in sorted(done.polls.keys() | done.tallies.keys()):
        poll, tally = done.polls.get(key, StreamPoll()), done.tallies.get(key, Tally())
        yield f"{done.dossier_code} {' '.join(key)}: {_read(poll)}, {_integrated(tally)}"
    if done.fetched:
        yield f"{done.dossier_code}: fetched {done.fetched} singly"
    for code, told in sorted(done.deliveries.items()):
        yield f"{done.dossier_code} {code}: {_delivered(told)}"
    if not done.polls and not done.tallies and not done.fetched and not done.failures:
        yield f"{done.dossier_code}: nothing was due to be read"


def _read(poll: StreamPoll) -> str:
    refused = f", unreadable {poll.receipt.refused}" if poll.receipt.refused else ""
    return f"received {poll.receipt.new}{refused}"


def _integrated(tally: Tally) -> str:
    counts = {"integrated": tally.transformed, "rejected": tally.rejected, "waiting": tally.waiting}
    seldom = {"deleted": tally.deleted, "not ours": tally.ignored, "warnings": tally.warned}
    return ", ".join(f"{name} {count}" for name, count in (counts | {name: one for name, one in seldom.items() if one}).items())


def _delivered(told: Deliveries) -> str:
    seldom = {"to be tried again": told.retried, "given up": told.dead, "in conflict": told.conflicts}
    counts = {"delivered": told.done} | {name: count for name, count in seldom.items() if count}
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _left_out(engine: sa.Engine, codes: Sequence[str], rounds: dict[str, DossierRound]) -> Iterator[str]:
    """Yield what was not worked on, and why."""
    with engine.connect() as connection:
        stopped, stopped_parts = stopped_connections(connection), stopped_streams(connection)
        for code in codes:
            if code not in rounds:
                yield f"{code}: another run works on it now"
        for one in connected(connection, codes):
            name = one.connection.connection_code
            if name in stopped:
                yield f"{one.connection.dossier} {name}: stopped: {stopped[name]}"
            for stream in one.streams:
                if (name, stream.name) in stopped_parts:
                    yield f"{one.connection.dossier} {name} {stream.name}: stopped: {stopped_parts[name, stream.name]}"
