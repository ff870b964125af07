"""Find what is due, account for it, and request it again when its run was lost."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.ledger import TickState, classify
from erpcrm_orchestration.domain.schedule import next_tick, ticks_between
from erpcrm_orchestration.domain.supervision import PROCESS_CODE
from erpcrm_orchestration.store import configuration, lease, ledger

ATTEMPTS = 3
"""So many runs are requested for a tick before it counts as missed."""
LAUNCH_PATIENCE = timedelta(seconds=90)
"""A request without any run after this was lost between the ledger and Dagster."""

RunState = Literal["open", "ended", "unknown"]


@dataclass(frozen=True)
class Request:
    """One run to ask Dagster for: `batch` makes it unique and stands in its tags."""

    batch: str
    dossier_codes: tuple[str, ...]


def collect(engine: sa.Engine, *, clock: Clock) -> Request | None:
    """Write the ledger rows of everything that has become due; return the request for it, or None.

    The rows are committed before the request is made: a request that is lost is found by `reconcile`.
    """
    now = clock.now()
    batch = f"tick-{uuid.uuid4()}"
    with engine.begin() as connection:
        grace = timedelta(seconds=configuration.load_general(connection).tick_grace_s)
        ticks = []
        next_due = {}
        for process in ledger.lock_due_processes(connection, now=now):
            due = ticks_between(process.window, process.considered_until, now)
            ticks += classify(process, due, now=now, grace=grace)
            next_due[(process.dossier_code, process.process_code)] = next_tick(process.window, now)
        ledger.record_ticks(connection, ticks, batch=batch, now=now)
        ledger.set_considered(connection, next_due, now=now)
        failpoint("collect_before_commit")
    failpoint("collect_after_commit")
    wanted = sorted({tick.dossier_code for tick in ticks if tick.state is TickState.REQUESTED})
    return Request(batch, tuple(wanted)) if wanted else None


def take_refresh_requests(engine: sa.Engine) -> Request | None:
    """Return one request for every refresh that people asked for since the last look, or None."""
    batch = f"refresh-{uuid.uuid4()}"
    with engine.begin() as connection:
        codes = ledger.take_requests(connection, batch=batch)
    return Request(batch, tuple(codes)) if codes else None


def open_batches(engine: sa.Engine) -> list[str]:
    """Return the batches whose runs should be looked at."""
    with engine.connect() as connection:
        found = {one.batch for one in ledger.open_batches(connection, PROCESS_CODE)}
        return sorted(found | ledger.running_request_batches(connection))


def reconcile(engine: sa.Engine, runs: Mapping[str, RunState], *, clock: Clock) -> list[Request]:
    """Request again what was lost: the run of its batch ended without closing it, or never began.

    `runs` tells for each open batch what Dagster knows of its run.
    """
    now = clock.now()
    again: list[Request] = []
    with engine.begin() as connection:
        for one in ledger.open_batches(connection, PROCESS_CODE):
            state = runs.get(one.batch, "unknown")
            if state == "open" or (state == "unknown" and now - one.requested_at < LAUNCH_PATIENCE):
                continue
            if one.attempt >= ATTEMPTS:
                ledger.give_up(connection, batch=one.batch, reason=f"its run was lost {one.attempt} times", now=now)
                continue
            batch = f"again-{uuid.uuid4()}"
            codes = ledger.request_again(connection, batch=one.batch, new_batch=batch, now=now)
            again.append(Request(batch, tuple(codes)))
        for batch in ledger.running_request_batches(connection):
            if runs.get(batch) == "ended":
                ledger.reopen_requests(connection, batch=batch, attempts=ATTEMPTS, now=now)
    return again


def free_leases_of_ended_runs(engine: sa.Engine, ended: set[str]) -> int:
    """Free the leases of runs that Dagster knows to have ended, so that their work is redone at once; return how many."""
    if not ended:
        return 0
    with engine.begin() as connection:
        return lease.release(connection, holders=ended)


def lease_holders(engine: sa.Engine) -> set[str]:
    """Return the runs that hold leases."""
    with engine.connect() as connection:
        return lease.all_holders(connection)
