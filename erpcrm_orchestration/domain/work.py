"""Work items: requests of ours that are tried again, given up, or put back.

QUEUED -> LEASED -> DONE | DEAD | CONFLICT          SUPERSEDED: a newer change of the same record takes its place
   ^        |-> RETRY (waits) -> LEASED             DEAD -> QUEUED: a person puts it back, attempts begin anew
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from erpcrm_orchestration.domain.errors import CredentialsRefused, SourceError, TransientFailure

ATTEMPTS = 6
FIRST_WAIT = timedelta(minutes=1)
JITTER = 0.2
LONGEST_RETRY_AFTER_S = 900
LEASE_MARGIN_S = 60
"""A lease holds for the connector's timeout and this; after that its process is taken for dead."""


class WorkState(StrEnum):
    QUEUED = "QUEUED"
    LEASED = "LEASED"
    RETRY = "RETRY"
    DONE = "DONE"
    DEAD = "DEAD"
    SUPERSEDED = "SUPERSEDED"
    CONFLICT = "CONFLICT"


@dataclass(frozen=True)
class Outcome:
    """What becomes of an item after an attempt. `counts` False gives the attempt back: the system was not asked."""

    state: WorkState
    not_before: datetime
    error: str | None = None
    counts: bool = True


def wait(work_id: int, attempts: int, retry_after_s: int | None = None) -> timedelta:
    """Return how long to wait after so many attempts: 1, 2, 4, 8, 16 minutes, each up to 20 % more or less.

    The shift follows from the item, so that items that failed together do not come back together. The other side's wish
    counts when it is longer, up to 15 minutes.
    """
    digits = hashlib.sha256(f"{work_id}/{attempts}".encode()).hexdigest()[:8]
    shift = (int(digits, 16) / 0xFFFFFFFF * 2 - 1) * JITTER
    doubled: timedelta = FIRST_WAIT * (float(2 ** (attempts - 1)) * (1 + shift))
    return max(doubled, timedelta(seconds=min(retry_after_s or 0, LONGEST_RETRY_AFTER_S)))


def outcome_of_failure(work_id: int, attempts: int, failure: SourceError, now: datetime) -> Outcome:
    """Return what a failure makes of an item: tried again, put back while its connection is stopped, or given up."""
    if isinstance(failure, CredentialsRefused):
        return Outcome(WorkState.QUEUED, now, str(failure), counts=False)
    if isinstance(failure, TransientFailure) and attempts < ATTEMPTS:
        return Outcome(WorkState.RETRY, now + wait(work_id, attempts, failure.retry_after_s), str(failure))
    return Outcome(WorkState.DEAD, now, str(failure))
