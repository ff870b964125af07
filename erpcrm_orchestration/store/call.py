"""The outbox of calls: issued with their cause, claimed by one process at a time, closed with their answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.call import CLAIM_MARGIN_S, Call, CallCause, CallState, Verdict
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.schema import outbound_call

OVERLAP_S = 3600


def issue_mobility_calls(connection: sa.Connection, now: datetime) -> int:
    """Issue one call per new logbook line with the mobility action of its dossier; return how many."""
    return int(connection.scalar(load_sql("issue_mobility"), {"now": now, "overlap_s": OVERLAP_S}) or 0)


def issue_task_calls(connection: sa.Connection, now: datetime) -> int:
    """Issue the call of every active inter-company task; return how many are new or sent again."""
    return connection.execute(load_sql("issue_task_call"), {"now": now}).rowcount


def claim_calls(
    connection: sa.Connection, cause: CallCause, now: datetime, batch: int, resting: Sequence[str] = ()
) -> list[Call]:
    """Claim calls that are due, oldest first, but none for the `resting` targets."""
    rows = connection.execute(
        load_sql("claim_call"),
        {"cause": cause.value, "now": now, "batch": batch, "margin_s": CLAIM_MARGIN_S, "resting": list(resting)},
    )
    calls = [
        Call(row.call_id, row.dossier_code, row.target_code, row.idempotency_key, row.payload, row.attempts) for row in rows
    ]
    return sorted(calls, key=lambda call: call.call_id)


def close_call(connection: sa.Connection, call: Call, verdict: Verdict, now: datetime) -> bool:
    """Write what became of a claimed call; False when its claim had ended and another process took it."""
    closed = verdict.state in {CallState.DONE, CallState.FAILED}
    written = connection.execute(
        sa.update(outbound_call)
        .where(
            outbound_call.c.call_id == call.call_id,
            outbound_call.c.state == CallState.SENDING.value,
            outbound_call.c.attempts == call.attempts,
        )
        .values(
            state=verdict.state.value,
            not_before=verdict.not_before,
            last_error=verdict.last_error,
            closed_at=now if closed else None,
        )
    )
    return written.rowcount == 1


def give_back(connection: sa.Connection, calls: Sequence[Call], not_before: datetime) -> None:
    """Return claimed calls that were not tried; the attempt does not count."""
    connection.execute(
        sa.update(outbound_call)
        .where(
            outbound_call.c.call_id.in_([call.call_id for call in calls]),
            outbound_call.c.state == CallState.SENDING.value,
        )
        .values(state=CallState.PENDING.value, attempts=outbound_call.c.attempts - 1, not_before=not_before)
    )
