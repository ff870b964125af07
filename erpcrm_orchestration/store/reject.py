"""Rows of a source that could not be taken: kept with their reason until a later pass takes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.schema import intake_reject

READ_AGAIN_AT_ONCE = 5000


@dataclass(frozen=True)
class Reject:
    """A row that is refused: its key, the reason as a message, and its raw values as text."""

    source_key: str
    reason: str
    payload: dict[str, str | None]


def keep_rejects(
    connection: sa.Connection,
    key: tuple[str, str],
    rejects: Sequence[Reject],
    run_id: str | None,
    now: datetime,
    outcome: str = "REJECT",
) -> int:
    """Store the rejects of (dossier, intake) and return how many are new; each new one is a logbook line with the outcome."""
    if not rejects:
        return 0
    found = connection.scalar(
        load_sql("merge_reject"),
        {
            "dossier_code": key[0],
            "intake": key[1],
            "outcome": outcome,
            "rejects": json.dumps([asdict(reject) for reject in rejects]),
            "run_id": run_id,
            "now": now,
        },
    )
    return int(found or 0)


def rejected_keys(connection: sa.Connection, dossier_code: str, intake: str) -> list[str]:
    """Return the keys to be read again, at most 5000, those that were seen last first."""
    rejected = intake_reject.c
    return list(
        connection.scalars(
            sa.select(rejected.source_key)
            .where(rejected.dossier_code == dossier_code, rejected.intake == intake)
            .order_by(rejected.last_seen_at.desc(), rejected.source_key)
            .limit(READ_AGAIN_AT_ONCE)
        )
    )


def remove_rejects(connection: sa.Connection, dossier_code: str, intake: str, source_keys: Sequence[str]) -> None:
    """Forget the rejects of rows that were taken."""
    if source_keys:
        connection.execute(
            load_sql("remove_reject"), {"dossier_code": dossier_code, "intake": intake, "source_keys": list(source_keys)}
        )
