"""The tick ledger: exactly one row for every due tick of every process, and the requests that people make."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from erpcrm_orchestration.domain.ledger import DueProcess, Tick, TickState
from erpcrm_orchestration.domain.schedule import Window
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.schema import process, refresh_request, tick

Codes = Collection[str]


def lock_due_processes(connection: sa.Connection, *, now: datetime) -> list[DueProcess]:
    """Return the processes of active dossiers with a tick due at `now`, locked; another collector's are left out."""
    rows = connection.execute(load_sql("lock_due_processes"), {"now": now})
    return [
        DueProcess(
            dossier_code=row.dossier_code,
            process_code=row.process_code,
            state=row.state,
            window=Window(tuple(row.days), _time(row.start), row.duration_min, row.frequency_min, row.time_zone),
            missed_ticks=row.missed_ticks,
            missed_max=row.missed_max,
            considered_until=row.considered_until,
            has_open_tick=row.has_open_tick,
        )
        for row in rows
    ]


def record_ticks(connection: sa.Connection, ticks: Sequence[Tick], *, batch: str, now: datetime) -> None:
    """Write one row for each tick; a tick that has its row already keeps it."""
    rows = [
        {
            "dossier_code": one.dossier_code,
            "process_code": one.process_code,
            "due_at": one.due_at,
            "state": one.state,
            "reason": one.reason,
            "recorded_at": now,
            "requested_at": now if one.state is TickState.REQUESTED else None,
            "batch": batch if one.state is TickState.REQUESTED else None,
            "closed_at": None if one.state is TickState.REQUESTED else now,
        }
        for one in ticks
    ]
    if rows:
        connection.execute(insert(tick).on_conflict_do_nothing(), rows)


def set_considered(connection: sa.Connection, next_due: Mapping[tuple[str, str], datetime], *, now: datetime) -> None:
    """Remember for each (dossier, process) that every tick up to `now` has its row, and when the next one is due."""
    if not next_due:
        return
    connection.execute(
        sa.update(process)
        .where(process.c.dossier_code == sa.bindparam("code"), process.c.process_code == sa.bindparam("process"))
        .values(considered_until=now, next_due_at=sa.bindparam("due")),
        [{"code": code, "process": name, "due": due} for (code, name), due in next_due.items()],
    )


def close_ticks(
    connection: sa.Connection,
    dossier_codes: Codes,
    process_code: str,
    *,
    state: TickState,
    run_id: str | None,
    now: datetime,
    reasons: Mapping[str, str] | None = None,
) -> int:
    """Close every open tick of these dossiers that was due by `now`; return how many."""
    given = reasons or {}
    closed = connection.execute(
        load_sql("close_ticks"),
        {
            "dossier_codes": list(dossier_codes),
            "reasons": [given.get(code) for code in dossier_codes],
            "process_code": process_code,
            "state": state,
            "run_id": run_id,
            "now": now,
        },
    )
    return closed.rowcount


@dataclass(frozen=True)
class OpenBatch:
    """A request for a run that has not closed its ticks yet; `requested_at` is the latest of them, `attempt` the highest."""

    batch: str
    dossier_codes: tuple[str, ...]
    requested_at: datetime
    attempt: int


def open_batches(connection: sa.Connection, process_code: str) -> list[OpenBatch]:
    """Return the requests with open ticks."""
    rows = connection.execute(
        sa.select(
            tick.c.batch,
            sa.func.array_agg(sa.distinct(tick.c.dossier_code)).label("codes"),
            sa.func.max(tick.c.requested_at).label("requested_at"),
            sa.func.max(tick.c.attempt).label("attempt"),
        )
        .where(tick.c.state == TickState.REQUESTED, tick.c.process_code == process_code)
        .group_by(tick.c.batch)
    )
    return [OpenBatch(row.batch, tuple(sorted(row.codes)), row.requested_at, row.attempt) for row in rows]


def request_again(connection: sa.Connection, *, batch: str, new_batch: str, now: datetime) -> list[str]:
    """Give the open ticks of a lost request to a new one; return their dossiers."""
    moved = connection.execute(
        sa.update(tick)
        .where(tick.c.batch == batch, tick.c.state == TickState.REQUESTED)
        .values(batch=new_batch, requested_at=now, attempt=tick.c.attempt + 1)
        .returning(tick.c.dossier_code)
    )
    return sorted({row.dossier_code for row in moved})


def give_up(connection: sa.Connection, *, batch: str, reason: str, now: datetime) -> int:
    """Close the open ticks of a request as missed; return how many."""
    return connection.execute(
        sa.update(tick)
        .where(tick.c.batch == batch, tick.c.state == TickState.REQUESTED)
        .values(state=TickState.MISSED, reason=reason, closed_at=now)
    ).rowcount


@dataclass(frozen=True)
class Missed:
    dossier_code: str
    count: int
    first_due_at: datetime
    last_due_at: datetime


def take_unalerted(connection: sa.Connection, *, now: datetime) -> list[Missed]:
    """Mark the missed ticks nobody was told of as alerted, and return them by dossier: mail them in the same transaction."""
    rows = connection.execute(load_sql("take_unalerted_ticks"), {"now": now})
    return [Missed(row.dossier_code, row.ticks, row.first_due_at, row.last_due_at) for row in rows]


def request_refresh(connection: sa.Connection, dossier_codes: Codes, *, by: str, notify: bool, now: datetime) -> dict[str, int]:
    """Ask for a refresh of these dossiers; one that is open already is joined. Return dossier -> request id."""
    rows = [{"dossier_code": code, "requested_by": by, "requested_at": now, "notify": notify} for code in sorted(dossier_codes)]
    if rows:
        connection.execute(
            insert(refresh_request).on_conflict_do_nothing(
                index_elements=[refresh_request.c.dossier_code],
                # Literal: with bound words a prepared statement does not match the partial index any more.
                index_where=sa.text("state IN ('REQUESTED', 'RUNNING')"),
            ),
            rows,
        )
    found = connection.execute(
        sa.select(refresh_request.c.dossier_code, refresh_request.c.request_id).where(
            refresh_request.c.dossier_code.in_(list(dossier_codes)), refresh_request.c.state.in_(("REQUESTED", "RUNNING"))
        )
    )
    return {row.dossier_code: row.request_id for row in found}


def take_requests(connection: sa.Connection, *, batch: str) -> list[str]:
    """Move the waiting requests to RUNNING under this batch; return their dossiers."""
    waiting = (
        sa.select(refresh_request.c.request_id)
        .where(refresh_request.c.state == "REQUESTED")
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    taken = connection.execute(
        sa.update(refresh_request)
        .where(refresh_request.c.request_id.in_(waiting))
        .values(state="RUNNING", batch=batch)
        .returning(refresh_request.c.dossier_code)
    )
    return sorted(row.dossier_code for row in taken)


def reopen_requests(connection: sa.Connection, *, batch: str, attempts: int, now: datetime) -> int:
    """Put the requests of a lost run back, or close them as failed after so many attempts; return how many wait again."""
    connection.execute(
        sa.update(refresh_request)
        .where(refresh_request.c.batch == batch, refresh_request.c.state == "RUNNING", refresh_request.c.attempt >= attempts)
        .values(state="FAILED", closed_at=now, reason=f"its run was lost {attempts} times")
    )
    return connection.execute(
        sa.update(refresh_request)
        .where(refresh_request.c.batch == batch, refresh_request.c.state == "RUNNING")
        .values(state="REQUESTED", attempt=refresh_request.c.attempt + 1)
    ).rowcount


def running_request_batches(connection: sa.Connection) -> set[str]:
    """Return the batches of refreshes that run."""
    return set(connection.scalars(sa.select(refresh_request.c.batch).where(refresh_request.c.state == "RUNNING").distinct()))


def close_requests(
    connection: sa.Connection, dossier_codes: Codes, *, run_id: str | None, now: datetime, failures: Mapping[str, str]
) -> None:
    """Close the open refreshes of these dossiers as done, or failed with the reason."""
    connection.execute(
        load_sql("close_requests"),
        {
            "dossier_codes": list(dossier_codes),
            "reasons": [failures.get(code) for code in dossier_codes],
            "run_id": run_id,
            "now": now,
        },
    )


def request_states(connection: sa.Connection, request_ids: Collection[int]) -> dict[int, tuple[str, str | None]]:
    """Return request id -> (state, reason)."""
    rows = connection.execute(
        sa.select(refresh_request.c.request_id, refresh_request.c.state, refresh_request.c.reason).where(
            refresh_request.c.request_id.in_(list(request_ids))
        )
    )
    return {row.request_id: (row.state, row.reason) for row in rows}


def _time(value: time) -> time:
    return value.replace(tzinfo=None)
