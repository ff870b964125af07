"""A process that executes an order as a run does, to be killed at failpoints."""

from __future__ import annotations

import multiprocessing
import os
import sys
from datetime import datetime
from multiprocessing.process import BaseProcess

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.failpoint import VARIABLE
from erpcrm_orchestration.services.routine import RoutineRun, execute
from erpcrm_orchestration.services.routines import routine_of
from erpcrm_orchestration.store.engine import create_engine

# A fork server imports once: a fresh interpreter for each of a hundred deaths would cost minutes.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def start(url: str, now: datetime, order_number: int, run_id: str, *, slice_size: int, failpoint: str) -> BaseProcess:
    """Start a process that executes an order in slices of so many accounts."""
    made = _processes.Process(target=_execute, args=(url, now, order_number, run_id, slice_size, failpoint), daemon=True)
    made.start()
    return made


def _execute(url: str, now: datetime, order_number: int, run_id: str, slice_size: int, failpoint: str) -> None:
    os.environ[VARIABLE] = failpoint
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), sys.stderr.fileno())
    run = RoutineRun(FixedClock(now), {}, run_id, slice_size)
    execute(create_engine(url), order_number, routine_of, run)
