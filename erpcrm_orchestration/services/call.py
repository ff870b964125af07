"""Delivers the calls of one cause: claim, send, close, each call in transactions of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import sqlalchemy as sa

from erpcrm_orchestration.clients.call import Answer, send
from erpcrm_orchestration.domain.call import Call, CallCause, CallState, Deliveries, judge, retry_wait
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.store.call import claim_calls, close_call, give_back
from erpcrm_orchestration.store.configuration import load_call_targets

CALLS_AT_ONCE = 20


def deliver(
    engine: sa.Engine,
    cause: CallCause,
    *,
    clock: Clock,
    environment: Mapping[str, str],
    may_go_on: Callable[[sa.Connection], bool] = lambda connection: True,
) -> Deliveries:
    """Send every call that is due. A target that cannot be reached rests until the next pass; its calls keep their attempts.

    `may_go_on` is asked before every batch is claimed.
    """
    with engine.connect() as connection:
        targets = load_call_targets(connection)
    result = Deliveries()
    resting: set[str] = set()
    while True:
        with engine.begin() as connection:
            if not may_go_on(connection):
                return result
            batch = claim_calls(connection, cause, clock.now(), CALLS_AT_ONCE, sorted(resting))
        failpoint("call.claimed")
        for call in batch:
            if call.target_code in resting:
                _give_back(engine, call, clock)
                continue
            answer = send(call, targets[call.target_code], environment)
            failpoint("call.sent")
            result = _close(engine, call, answer, clock, result)
            if answer.unreachable:
                resting.add(call.target_code)
        if not batch:
            return result


def _close(engine: sa.Engine, call: Call, answer: Answer, clock: Clock, result: Deliveries) -> Deliveries:
    now = clock.now()
    verdict = judge(call, answer.failure, now, answer.retry_after_s)
    with engine.begin() as connection:
        close_call(connection, call, verdict, now)
    failpoint("call.closed")
    match verdict.state:
        case CallState.DONE:
            return replace(result, done=result.done + 1)
        case CallState.FAILED:
            return replace(result, failed=result.failed + 1)
        case _:
            return replace(result, retried=result.retried + 1)


def _give_back(engine: sa.Engine, call: Call, clock: Clock) -> None:
    with engine.begin() as connection:
        give_back(connection, [call], clock.now() + retry_wait(1))
