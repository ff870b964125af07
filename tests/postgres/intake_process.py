"""One piece of work in a process of its own, so that a test may kill it: `intake_process.py WORK DATABASE_URL [ARGUMENT]`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.services.data_hub import advance, take_pivot_files
from erpcrm_orchestration.services.intake import take_in
from erpcrm_orchestration.services.inter_company import execute
from erpcrm_orchestration.services.mobility import deliver_calls, issue_calls
from erpcrm_orchestration.store.engine import create_engine


def main(work: str, url: str) -> None:
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
    engine.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:3])
