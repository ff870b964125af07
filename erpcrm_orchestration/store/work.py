"""Work that needs a request of ours: records to be fetched, changes to be delivered. Claimed by one process at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from erpcrm_orchestration.domain.work import Outcome, WorkState
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.inbox import StreamKey
from erpcrm_orchestration.store.integration_schema import cross_reference, work_item

PRIORITY_OUTBOUND, PRIORITY_EVENT, PRIORITY_ON_DEMAND = 0, 5, 9
OPEN = {WorkState.QUEUED, WorkState.LEASED, WorkState.RETRY}

Event = Literal["on_demand", "outbound"]


@dataclass(frozen=True)
class Item:
    """A claimed item. `attempts` counts this one, `leased_until` tells this claim from a later one.

    `in_doubt`: an earlier attempt was sent, and may have been carried out.
    """

    work_id: int
    connection_code: str
    stream: str
    entity: str
    source_id: str | None
    record_id: int | None
    dedup_key: str
    values: Any
    values_hash: str | None
    attempts: int
    in_doubt: bool
    cause: str
    leased_until: datetime


def queue_fetches(
    connection: sa.Connection, keys: Iterable[tuple[StreamKey, str]], *, cause: str, urgent: bool, now: datetime
) -> int:
    """Queue the fetch of records, each at most once at a time; return how many are new."""
    rows: list[dict[str, Any]] = [
        {
            "dossier_code": key.dossier_code,
            "connection_code": key.connection_code,
            "system_code": key.system_code,
            "event": "on_demand",
            "stream": key.stream,
            "entity": key.entity,
            "source_id": source_id,
            "dedup_key": f"{key.connection_code}/{key.stream}/{source_id}",
            "priority": PRIORITY_EVENT if urgent else PRIORITY_ON_DEMAND,
            "urgent": urgent,
            "not_before": now,
            "created_at": now,
            "cause": cause,
        }
        for key, source_id in keys
    ]
    if not rows:
        return 0
    queued = connection.execute(insert(work_item).values(rows).on_conflict_do_nothing().returning(work_item.c.work_id))
    return len(queued.all())


@dataclass(frozen=True)
class Turn:
    """What is claimed at once: at most `limit` items of these connections that are due at `now`, `but` not these."""

    event: Event
    connections: Sequence[str]
    now: datetime
    leased_until: datetime
    limit: int
    urgent_only: bool = False
    but: Collection[int] = ()


def claim_work(connection: sa.Connection, dossier_code: str, turn: Turn) -> list[Item]:
    """Lease what is due, most urgent and oldest first; of one record only the oldest change."""
    rows = connection.execute(load_sql("claim_work"), {"dossier_code": dossier_code, **vars(turn), "but": list(turn.but)})
    return sorted((Item(*row) for row in rows), key=lambda item: item.work_id)


def close_work(
    connection: sa.Connection,
    dossier_code: str,
    item: Item,
    outcome: Outcome,
    *,
    now: datetime,
    run_id: str | None,
    in_doubt: bool = False,
) -> bool:
    """Write what became of a leased item; False when its lease had ended and another process has it."""
    written = connection.execute(
        sa.update(work_item)
        .where(*_leased(dossier_code, item))
        .values(
            state=outcome.state.value,
            attempts=item.attempts if outcome.counts else item.attempts - 1,
            not_before=outcome.not_before,
            last_error=outcome.error,
            in_doubt=in_doubt,
            leased_until=None,
            closed_at=None if outcome.state in OPEN else now,
            run_id=run_id,
        )
    )
    return written.rowcount == 1


def note_sending(connection: sa.Connection, dossier_code: str, item: Item) -> bool:
    """Keep what a leased change tells before it is sent: from here on it is in doubt. False when its lease has ended."""
    written = connection.execute(
        sa.update(work_item)
        .where(*_leased(dossier_code, item))
        .values(values=item.values, values_hash=item.values_hash, dedup_key=item.dedup_key, in_doubt=True)
    )
    return written.rowcount == 1


def give_back(connection: sa.Connection, dossier_code: str, items: Sequence[Item]) -> None:
    """Put leased items back that were not tried; one that was closed, or that another process has, stays as it is."""
    columns = work_item.c
    for until in {item.leased_until for item in items}:
        connection.execute(
            sa.update(work_item)
            .where(
                columns.dossier_code == dossier_code,
                columns.work_id.in_([item.work_id for item in items]),
                columns.state == WorkState.LEASED.value,
                columns.leased_until == until,
            )
            .values(state=WorkState.QUEUED.value, attempts=columns.attempts - 1, leased_until=None)
        )


def _leased(dossier_code: str, item: Item) -> tuple[sa.ColumnElement[bool], ...]:
    """Return that an item is still leased by the claim that gave it out."""
    columns = work_item.c
    return (
        columns.dossier_code == dossier_code,
        columns.work_id == item.work_id,
        columns.state == WorkState.LEASED.value,
        columns.leased_until == item.leased_until,
    )


def of_known_record() -> sa.ColumnElement[bool]:
    """Return that a work item and a row of the cross-reference are of the same record and system."""
    work, known = work_item.c, cross_reference.c
    return sa.and_(
        work.dossier_code == known.dossier_code,
        work.system_code == known.system_code,
        work.entity == known.entity,
        work.record_id == known.record_id,
    )


def requeue(
    connection: sa.Connection, dossier_code: str, work_ids: Collection[int], now: datetime, *, not_done: bool = False
) -> int:
    """Put items back that were given up: QUEUED, attempts from zero. Return how many.

    `not_done`: it is known that they were not carried out, so that none of them is in doubt any more.
    """
    certain = {"in_doubt": False} if not_done else {}
    return connection.execute(
        sa.update(work_item)
        .where(_given_up(dossier_code, work_ids))
        .values(state="QUEUED", attempts=0, not_before=now, closed_at=None, last_error=None, **certain)
    ).rowcount


def drop(connection: sa.Connection, dossier_code: str, work_ids: Collection[int]) -> int:
    """Close items that were given up or forbidden as not to be done any more; return how many."""
    return connection.execute(
        sa.update(work_item).where(_given_up(dossier_code, work_ids)).values(state="SUPERSEDED", in_doubt=False)
    ).rowcount


def _given_up(dossier_code: str, work_ids: Collection[int]) -> sa.ColumnElement[bool]:
    """Return that a work item is one of these and was given up or forbidden."""
    columns = work_item.c
    return sa.and_(columns.dossier_code == dossier_code, columns.work_id.in_(work_ids), columns.state.in_(["DEAD", "CONFLICT"]))
