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

    dossier_code: str
    source_key: str
    reason: str
    payload: dict[str, str | None]


def keep_rejects(
    connection: sa.Connection,
    intake: str,
    rejects: Sequence[Reject],
    run_id: str | None,
    now: datetime,
    outcome: str = "REJECT",
) -> dict[str, int]:
    """Store the rejects and return how many are new by dossier; each new one is a logbook line with the outcome."""
    if not rejects:
        return {}
    written = json.dumps([asdict(reject) for reject in rejects])
    parameters = {"intake": intake, "rejects": written, "run_id": run_id, "now": now, "outcome": outcome}
    return {row.dossier_code: row.rejected for row in connection.execute(load_sql("merge_reject"), parameters)}


def rejected_keys(connection: sa.Connection, dossier_codes: Sequence[str], intake: str) -> list[tuple[str, str]]:
    """Return (dossier, key) of the rows to be read again, at most 5000, those that were seen last first."""
    rejected = intake_reject.c
    rows = connection.execute(
        sa.select(rejected.dossier_code, rejected.source_key)
        .where(rejected.dossier_code.in_(dossier_codes), rejected.intake == intake)
        .order_by(rejected.last_seen_at.desc(), rejected.dossier_code, rejected.source_key)
        .limit(READ_AGAIN_AT_ONCE)
    )
    return [(row.dossier_code, row.source_key) for row in rows]


def remove_rejects(connection: sa.Connection, intake: str, taken: Sequence[tuple[str, str]]) -> None:
    """Forget the rejects of rows that were taken, given as (dossier, key)."""
    if taken:
        codes, keys = zip(*taken, strict=True)
        parameters = {"intake": intake, "dossier_codes": list(codes), "source_keys": list(keys)}
        connection.execute(load_sql("remove_reject"), parameters)
