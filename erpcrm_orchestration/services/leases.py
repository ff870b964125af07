"""Hold leases while working: prolonged in the background, freed at the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.store import lease

TTL = timedelta(seconds=30)
"""A holder that dies or stands still loses its leases after this."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """`epochs`: dossier -> epoch of what was taken; `refused`: dossier -> who holds it."""

    epochs: dict[str, int]
    refused: dict[str, str]


@contextmanager
def hold(
    engine: sa.Engine, dossier_codes: Sequence[str], work: str, *, holder: str, clock: Clock, ttl: timedelta = TTL
) -> Iterator[Held]:
    """Take what is free, keep it alive while the block runs, free it at the end."""
    done = threading.Event()
    keeper = threading.Thread(target=_keep, args=(engine, holder, clock, ttl, done), name="lease-keeper", daemon=True)
    # Ctrl-C may come at any moment, right after the commit that takes the leases too.
    try:
        with engine.begin() as connection:
            epochs = lease.acquire(connection, dossier_codes, work, holder=holder, now=clock.now(), ttl=ttl)
            left = [code for code in dossier_codes if code not in epochs]
            refused = dict.fromkeys(left, "another run") | lease.holders(connection, left, work)
        keeper.start()
        yield Held(epochs, refused)
    finally:
        done.set()
        if keeper.ident is not None:
            keeper.join()
        with engine.begin() as connection:
            lease.release(connection, holders=[holder])


def _keep(engine: sa.Engine, holder: str, clock: Clock, ttl: timedelta, done: threading.Event) -> None:
    while not done.wait(ttl.total_seconds() / 3):
        try:
            with engine.begin() as connection:
                lease.renew(connection, holder=holder, now=clock.now(), ttl=ttl)
        except sa.exc.SQLAlchemyError as error:
            # The fence protects the data when the lease is lost; the next try may come in time.
            _log.warning("lease of %s was not prolonged: %s", holder, type(error).__name__)
