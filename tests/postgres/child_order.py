"""A process that executes one order as a run does, to be killed at failpoints."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.failpoint import VARIABLE
from erpcrm_orchestration.services.order import lost, retry, take_due
from erpcrm_orchestration.services.routine import RoutineRun, execute, fail
from erpcrm_orchestration.services.routines import routine_of
from erpcrm_orchestration.store.engine import create_engine
from tests.routine_company import RoutineCompany

# A fork server imports once: a fresh interpreter for each death would cost more than the order.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def start(url: str, now: datetime, order_number: int, run_id: str, *, slice_size: int, failpoint: str) -> BaseProcess:
    """Start a process that executes the order."""
    arguments = (url, now, order_number, run_id, slice_size, failpoint)
    made = _processes.Process(target=_execute, args=arguments, daemon=True)
    made.start()
    return made


def _execute(url: str, now: datetime, order_number: int, run_id: str, slice_size: int, failpoint: str) -> None:
    os.environ[VARIABLE] = failpoint
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), sys.stderr.fileno())
    run = RoutineRun(FixedClock(now), {}, run_id, slice_size)
    execute(create_engine(url), order_number, routine_of, run)


def run_to_its_end(company: RoutineCompany, failpoints: Sequence[str], *, slice_size: int) -> list[int | None]:
    """Let the order that is due be claimed and executed by processes that die at these failpoints; return how each ended.

    After the last of them a process without failpoint executes what is left. What was lost too often is retried by a person.
    """
    url = company.engine.url.render_as_string(hide_password=False)
    ends: list[int | None] = []
    for point in (*failpoints, ""):
        for request in take_due(company.engine, clock=company.clock):
            for _, number in request.orders:
                failpoint = f"{point}:kill" if point else ""
                child = start(url, company.clock.now(), number, request.batch, slice_size=slice_size, failpoint=failpoint)
                child.join(60)
                ends.append(child.exitcode)
                company.clock.at += timedelta(minutes=1)
            for order in lost(company.engine, {request.batch: "ended"}, clock=company.clock):
                fail(company.engine, order, "lost too often", RoutineRun(company.clock, {}, request.batch))
                retry(company.engine, order.order_number, clock=company.clock, actor="test")
    return ends
