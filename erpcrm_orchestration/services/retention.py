"""Retention: what is older than the general parameters keep goes away, and the coming months get their partitions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.store import configuration
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.retention import PARTITIONED, drop_expired, ensure_partitions, keep_from

AT_ONCE = 20_000
"""Messages of the inbox that one transaction deletes."""

__all__ = ["Purged", "apply_retention", "keep_from"]


@dataclass(frozen=True)
class Purged:
    """What was made and dropped, by name, and for how many days Dagster's runs are kept."""

    counts: dict[str, int]
    run_retention_days: int


def apply_retention(engine: sa.Engine, *, clock: Clock) -> Purged:
    """Drop expired partitions, closed ledger rows and superseded messages, make the coming partitions."""
    now = clock.now()
    with engine.begin() as connection:
        general = configuration.load_general(connection)
        days = {
            "logbook_entry": general.logbook_retention_days,
            "interaction_state_history": general.state_history_retention_days,
        }
        done = {"partitions_made": ensure_partitions(connection, now, behind=0)}
        for table in PARTITIONED:
            dropped = drop_expired(connection, table, keep_from=keep_from(now, days[table.table]))
            done[f"{table.table}_partitions_dropped"] = len(dropped)
        oldest = keep_from(now, general.state_history_retention_days)
        done["ticks_deleted"] = connection.execute(load_sql("delete_old_ticks"), {"oldest": oldest}).rowcount
    done["inbox_messages_deleted"] = _delete_superseded(engine, keep_from(now, general.inbox_retention_days))
    return Purged(done, general.run_retention_days)


def _delete_superseded(engine: sa.Engine, oldest: datetime) -> int:
    """Delete what a newer message took the place of, in short transactions; return how many."""
    total, after = 0, {"dossier_code": "", "message_id": 0}
    while True:
        with engine.begin() as connection:
            parameters = {"oldest": oldest, "limit": AT_ONCE, **after}
            last = connection.execute(load_sql("delete_superseded"), parameters).one_or_none()
        if last is None:
            return total
        total += last.deleted
        after = {"dossier_code": last.dossier_code, "message_id": last.message_id}
