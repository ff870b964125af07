"""A process that does rounds as a run does, to be killed; a seeded bug may be built into it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping
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
from erpcrm_orchestration.services.round import Round, work_round
from erpcrm_orchestration.store.configuration import adapter
from erpcrm_orchestration.store.engine import create_engine
from erpcrm_orchestration.store.inbox import Arrival, StreamKey, receive
from tests.scenarios.seeded_bugs import plant

# A fork server imports once, and makes what reads the configuration once: for each of hundreds of deaths it would cost minutes.
for _kind in (GeneralParameters, Connector, Connection):
    adapter(_kind)
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def start(
    url: str, now: datetime, run_id: str, environment: Mapping[str, str], *, failpoint: str = "", bug: str = "",
    stray: bool = False,
) -> BaseProcess:  # fmt: skip
    """Start a process that does one round of dossier 998; it exits with 3 when something failed.

    `stray`: an old version of an order comes in again first, as a late webhook would bring it.
    """
    made = _processes.Process(target=_work, args=(url, now, run_id, dict(environment), failpoint, bug, stray), daemon=True)
    made.start()
    return made


def wait_until_stopped(process: BaseProcess) -> None:
    """Wait until the process stands still at its failpoint."""
    deadline = time.monotonic() + 60
    while Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline, "the process never stopped"
        time.sleep(0.02)


def go_on(process: BaseProcess) -> int | None:
    """Let the process run on to its end; it stops again wherever it comes by the failpoint once more."""
    deadline = time.monotonic() + 90
    while process.is_alive():
        assert time.monotonic() < deadline, "the process never ended"
        assert process.pid is not None
        os.kill(process.pid, signal.SIGCONT)
        process.join(0.1)
    return process.exitcode


def _work(url: str, now: datetime, run_id: str, environment: Mapping[str, str], failpoint: str, bug: str, stray: bool) -> None:
    os.environ[VARIABLE] = failpoint
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), sys.stderr.fileno())
    if bug:
        plant(bug, pytest.MonkeyPatch())
    engine = create_engine(url)
    if stray:
        receive_again(engine, now)
    done = work_round(engine, ["998"], Round(FixedClock(now), environment, run_id=run_id))
    sys.exit(3 if any(one.failures for one in done.values()) else 0)


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
