"""Processes to be killed: one that does a round as a run does, and a backfill. A seeded bug may be built into the first."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import GeneralParameters
from erpcrm_orchestration.domain.connection import Connection, Connector
from erpcrm_orchestration.domain.failpoint import VARIABLE
from erpcrm_orchestration.domain.received import Received, Via
from erpcrm_orchestration.services.replay import Replay, replay
from erpcrm_orchestration.services.round import Round, work_round
from erpcrm_orchestration.store.configuration import adapter
from erpcrm_orchestration.store.engine import create_engine
from erpcrm_orchestration.store.inbox import Arrival, StreamKey, receive
from tests.scenarios.seeded_bugs import plant

# A fork server imports once, and makes what reads the configuration once: for each of hundreds of deaths it would cost minutes.
for _kind in (GeneralParameters, Connector, Connection):
    adapter(_kind)
_processes = multiprocessing.get_context("forkserver")

FAILED, FENCED = 3, 4
"""The exit codes of a round that told failures, and of one that told that its lease was taken over."""


def start(
    url: str, now: datetime, run_id: str, environment: Mapping[str, str], *, failpoint: str = "", bug: str = "",
    stray: bool = False, reading: bool = True,
) -> BaseProcess:  # fmt: skip
    """Start a process that does one round of dossier 998.

    `stray`: an old version of an order comes in again first, as a late webhook would bring it. Without `reading` the round
    works the inbox only.
    """
    job = Round(FixedClock(now), dict(environment), run_id=run_id, reading=reading)
    return _started(_work, url, job, failpoint, bug, stray)


def start_replay(url: str, now: datetime, run_id: str, entities: Sequence[str], *, failpoint: str) -> BaseProcess:
    """Start a process that makes these entities of dossier 998 anew from the inbox."""
    return _started(_replay, url, Replay(FixedClock(now), run_id), list(entities), failpoint)


def _started(target: Callable[..., None], *arguments: object) -> BaseProcess:
    # Here, because only the last one who asks before the first process is heard: a kill is not to meet an import.
    _processes.set_forkserver_preload([__name__])
    made = _processes.Process(target=target, args=arguments, daemon=True)
    made.start()
    return made


def wait_until_stopped(process: BaseProcess) -> None:
    """Wait until the process stands still at its failpoint."""
    deadline = time.monotonic() + 60
    while Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline, "the process never stopped"
        time.sleep(0.02)


def go_to_next_stop(process: BaseProcess) -> None:
    """Let the process run on to the next failpoint at which it stands still."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGCONT)
    wait_until_stopped(process)


def go_on(process: BaseProcess) -> int | None:
    """Let the process run on to its end; it stops again wherever it comes by the failpoint once more."""
    deadline = time.monotonic() + 90
    while process.is_alive():
        assert time.monotonic() < deadline, "the process never ended"
        assert process.pid is not None
        os.kill(process.pid, signal.SIGCONT)
        process.join(0.1)
    return process.exitcode


def _work(url: str, job: Round, armed: str, bug: str, stray: bool) -> None:
    if bug:
        plant(bug, pytest.MonkeyPatch())
    engine = prepared(url, armed)
    if stray:
        receive_again(engine, job.clock.now())
    done = work_round(engine, ["998"], job)
    codes = {failure.code for one in done.values() for failure in one.failures}
    sys.exit(FENCED if "E-FENCE-001" in codes else FAILED if codes else 0)


def _replay(url: str, job: Replay, entities: Sequence[str], armed: str) -> None:
    replay(prepared(url, armed), ["998"], entities, job)


def prepared(url: str, armed: str) -> sa.Engine:
    """Arm failpoints, be silent, and return an engine of this process."""
    os.environ[VARIABLE] = armed
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), sys.stderr.fileno())
    return create_engine(url)


def receive_again(engine: sa.Engine, now: datetime) -> None:
    """Bring the first version of the order that has most of them once more, a blank longer."""
    oldest = sa.text(
        "SELECT source_id, payload, version_at FROM flow.inbox WHERE entity = 'order' AND system_code = 'shop'"
        " AND source_id = (SELECT source_id FROM flow.inbox WHERE entity = 'order' AND system_code = 'shop'"
        " GROUP BY source_id ORDER BY count(*) DESC, source_id LIMIT 1) ORDER BY message_id LIMIT 1"
    )
    with engine.begin() as connection:
        found = connection.execute(oldest).one_or_none()
        if found is not None:
            record = Received(found.source_id, f"{found.payload} ", found.version_at)
            key = StreamKey("998", "shop_998", "shop", "orders", "order")
            receive(connection, key, [record], Arrival(Via.WEBHOOK, now))
