"""A process that evaluates dossiers as a run does, to be killed at failpoints."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from multiprocessing.process import BaseProcess

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.failpoint import VARIABLE
from erpcrm_orchestration.services import ledger
from erpcrm_orchestration.services.supervision import Refresh, refresh
from erpcrm_orchestration.store.engine import create_engine

# A fork server imports once: a fresh interpreter for each of a hundred deaths would cost minutes.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def start(url: str, now: datetime, run_id: str, codes: Sequence[str], *, failpoint: str) -> BaseProcess:
    """Start a process that collects what is due and evaluates; it exits with 3 when a dossier failed."""
    made = _processes.Process(target=_evaluate, args=(url, now, run_id, tuple(codes), failpoint), daemon=True)
    made.start()
    return made


def _evaluate(url: str, now: datetime, run_id: str, codes: Sequence[str], failpoint: str) -> None:
    os.environ[VARIABLE] = failpoint
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), sys.stderr.fileno())
    engine = create_engine(url)
    clock = FixedClock(now)
    ledger.collect(engine, clock=clock)
    result = refresh(engine, codes, Refresh(clock, {}, run_id=run_id))
    sys.exit(3 if result.failures else 0)
