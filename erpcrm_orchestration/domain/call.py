"""Calls that leave the house: when one is tried again, when it is given up, and what a status means.

PENDING -> SENDING -> DONE | FAILED
    ^---------'   a failure that may pass, or a process that was killed: again, with the same key
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from erpcrm_orchestration.domain.errors import PermanentFailure, SourceError, TransientFailure

FIRST_WAIT_S = 30
LONGEST_WAIT_S = 3600
LONGEST_RETRY_AFTER_S = 900
ATTEMPTS = 10
CLAIM_MARGIN_S = 60
"""A claim holds for the target's timeout and this; after that its process is taken for dead."""


class CallState(StrEnum):
    PENDING = "PENDING"
    SENDING = "SENDING"
    DONE = "DONE"
    FAILED = "FAILED"


class CallCause(StrEnum):
    MOBILITY = "mobility"
    INTER_COMPANY = "inter_company"


@dataclass(frozen=True)
class Call:
    """A claimed call. `attempts` counts this one."""

    call_id: int
    dossier_code: str
    target_code: str
    idempotency_key: str
    payload: Mapping[str, object]
    attempts: int


@dataclass(frozen=True)
class Verdict:
    """What becomes of a call after an attempt."""

    state: CallState
    not_before: datetime
    last_error: str | None = None


@dataclass(frozen=True)
class Deliveries:
    """What one pass over the calls did; `retried` are to be tried again later."""

    done: int = 0
    retried: int = 0
    failed: int = 0


def retry_wait(attempts: int, retry_after_s: int | None = None) -> timedelta:
    """Return how long to wait after so many attempts: doubled each time; the target's own wish wins, up to 15 minutes."""
    doubled = min(FIRST_WAIT_S * 2 ** min(attempts - 1, 20), LONGEST_WAIT_S)
    wished = min(retry_after_s or 0, LONGEST_RETRY_AFTER_S)
    return timedelta(seconds=max(doubled, wished) if retry_after_s is not None else doubled)


def judge(call: Call, failure: SourceError | None, now: datetime, retry_after_s: int | None = None) -> Verdict:
    """Return what becomes of a call: done, tried again for a failure that may pass, else failed."""
    if failure is None:
        return Verdict(CallState.DONE, now)
    if isinstance(failure, TransientFailure) and call.attempts < ATTEMPTS:
        return Verdict(CallState.PENDING, now + retry_wait(call.attempts, retry_after_s), str(failure))
    return Verdict(CallState.FAILED, now, str(failure))


def failure_of_status(status: int, where: str) -> SourceError | None:
    """Return None for a status of success, a TransientFailure for one that may pass, else a PermanentFailure.

    409 means that the first request with this key is still being worked on.
    """
    if 200 <= status < 300:
        return None
    if status in {408, 409, 425, 429} or status >= 500:
        return TransientFailure("E-CALL-002", where, f"status {status}", "it is tried again")
    if 300 <= status < 400:
        return PermanentFailure("E-CALL-003", where, f"status {status} leads elsewhere", "give the final url of the target")
    return PermanentFailure("E-CALL-003", where, f"status {status}", "correct the target or what it is sent")
