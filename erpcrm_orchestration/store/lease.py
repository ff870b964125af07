"""Leases: one writer per dossier and kind of work, with an epoch that the commit checks.

A holder that was stopped and comes back finds its epoch gone and writes nothing (FenceError), however late it comes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa

from erpcrm_orchestration.domain.errors import FenceError
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.schema import lease


def acquire(
    connection: sa.Connection, dossier_codes: Collection[str], work: str, *, holder: str, now: datetime, ttl: timedelta
) -> dict[str, int]:
    """Take the free or expired leases among these dossiers; return dossier -> epoch of what was taken. Never waits."""
    taken = connection.execute(
        load_sql("acquire_leases"),
        {"dossier_codes": list(dossier_codes), "work": work, "holder": holder, "now": now, "expires_at": now + ttl},
    )
    return {row.dossier_code: row.epoch for row in taken}


def holders(connection: sa.Connection, dossier_codes: Collection[str], work: str) -> dict[str, str]:
    """Return who holds the leases of these dossiers."""
    found = connection.execute(
        sa.select(lease.c.dossier_code, lease.c.holder).where(
            lease.c.dossier_code.in_(list(dossier_codes)), lease.c.work == work, lease.c.holder.is_not(None)
        )
    )
    return {row.dossier_code: row.holder for row in found}


def lock_held(connection: sa.Connection, epochs: Mapping[str, int], work: str, *, holder: str) -> set[str]:
    """Lock the lease rows until the end of the transaction; return the dossiers whose epoch is still ours.

    Call it first in the transaction that writes: nobody can take these leases before the commit.
    """
    held = connection.execute(
        load_sql("lock_leases"),
        {"dossier_codes": list(epochs), "epochs": list(epochs.values()), "work": work, "holder": holder},
    )
    return {row.dossier_code for row in held}


def fenced(dossier_code: str, work: str) -> FenceError:
    """Return the error for a writer that lost its lease."""
    return FenceError(
        "E-FENCE-001",
        f"dossier {dossier_code}",
        f"the lease of {work} was taken over",
        "nothing was written; the new holder does the work",
    )


def renew(connection: sa.Connection, *, holder: str, now: datetime, ttl: timedelta) -> int:
    """Prolong every lease of this holder; return how many it still has."""
    return connection.execute(sa.update(lease).where(lease.c.holder == holder).values(expires_at=now + ttl)).rowcount


def release(connection: sa.Connection, *, holders: Collection[str]) -> int:
    """Free every lease of these holders; the epochs stay. Return how many were freed."""
    freed = sa.update(lease).where(lease.c.holder.in_(list(holders))).values(holder=None, acquired_at=None, expires_at=None)
    return connection.execute(freed).rowcount


def all_holders(connection: sa.Connection) -> set[str]:
    """Return everybody who holds a lease."""
    return set(connection.scalars(sa.select(lease.c.holder).where(lease.c.holder.is_not(None)).distinct()))
