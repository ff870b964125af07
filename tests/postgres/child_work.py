"""One piece of work in a process of its own, so that a test may kill it."""

from __future__ import annotations

import multiprocessing
import os
import sys
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock, SystemClock
from erpcrm_orchestration.domain.failpoint import VARIABLE
from erpcrm_orchestration.services.data_hub import advance, take_pivot_files
from erpcrm_orchestration.services.intake import take_in
from erpcrm_orchestration.services.inter_company import execute
from erpcrm_orchestration.services.mail import deliver_due
from erpcrm_orchestration.services.mobility import deliver_calls, issue_calls
from erpcrm_orchestration.store.engine import create_engine

# A fork server imports once: a fresh interpreter for each death would cost seconds.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def start(work: str, url: sa.URL, failpoint: str = "") -> BaseProcess:
    """Start a process that does this work and ends."""
    written = url.render_as_string(hide_password=False)
    made = _processes.Process(target=_work, args=(work, written, failpoint), daemon=True)
    made.start()
    return made


def run(work: str, url: sa.URL, failpoint: str = "") -> int | None:
    """Return the exit code of a process that does this work."""
    process = start(work, url, failpoint)
    process.join(120)
    return process.exitcode


def _work(work: str, url: str, failpoint: str) -> None:
    os.environ[VARIABLE] = failpoint
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), sys.stderr.fileno())
    engine = create_engine(url)
    clock = FixedClock(datetime(2026, 11, 18, 12, 0, tzinfo=UTC))
    match work:
        case "take_in":
            take_in(engine, ["001"], clock=clock, environment={}, run_id=None)
        case "pivots":
            take_pivot_files(engine, ["001"], clock=clock, environment={}, run_id=None)
            advance(engine, ["001"], clock=clock, run_id=None)
        case "mobility":
            issue_calls(engine, clock=clock)
            deliver_calls(engine, clock=clock, environment={})
        case "tasks":
            execute(engine, clock=clock, environment={}, run_id=None)
        case "mails":
            deliver_due(engine, clock=SystemClock(), environment={})
    engine.dispose()
