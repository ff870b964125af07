"""The interaction state in its tables: evaluated and written in one statement, read back for checks and people."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.supervision import InteractionState, SyncState
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.schema import dossier, interaction_state

_FIELDS = tuple(field.name for field in fields(InteractionState))


def evaluate(
    connection: sa.Connection, epochs: Mapping[str, int], *, now: datetime, run_id: str | None
) -> dict[str, InteractionState]:
    """Evaluate and write the state of these dossiers (dossier -> lease epoch) at `now`; return what was written.

    The caller holds the leases and has locked them in this transaction (store.lease.lock_held).
    """
    rows = connection.execute(
        load_sql("refresh_interaction_state"),
        {"dossier_codes": list(epochs), "epochs": list(epochs.values()), "now": now, "run_id": run_id},
    )
    position = {name: index for index, name in enumerate(rows.keys())}
    order = [position[name] for name in _FIELDS]
    state_at = _FIELDS.index("sync_state")
    found: dict[str, InteractionState] = {}
    for row in rows:
        values = [row[index] for index in order]
        values[state_at] = SyncState(values[state_at])
        found[values[0]] = InteractionState(*values)
    return found


def mark_reported(connection: sa.Connection, dossier_codes: Collection[str], *, now: datetime, run_id: str | None) -> None:
    """Remember that Dagster knows the rows this run wrote; a row that another run has written since stays due."""
    connection.execute(
        sa.update(interaction_state)
        .where(interaction_state.c.dossier_code == sa.any_(sa.bindparam("codes", list(dossier_codes), sa.ARRAY(sa.Text))))
        .where(interaction_state.c.run_id.is_not_distinct_from(run_id))
        .values(reported_at=now)
    )


def activity_of(connection: sa.Connection, dossier_codes: Sequence[str]) -> dict[str, bool]:
    """Return dossier -> active for those that exist."""
    rows = connection.execute(
        sa.select(dossier.c.dossier_code, dossier.c.active).where(
            dossier.c.dossier_code == sa.any_(sa.bindparam("codes", list(dossier_codes), sa.ARRAY(sa.Text)))
        )
    )
    return {row.dossier_code: row.active for row in rows}
