"""One `erpcrm up` for one database: Dagster does not fence a second daemon, which would start everything twice."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy.engine import URL

from erpcrm_orchestration.domain.errors import InputError, StoreError
from erpcrm_orchestration.store.engine import CONNECT_TIMEOUT_S, dsn, unreachable

KEY = 0x4552504D
"""Key of the advisory lock ("ERPM")."""


class SoleDaemon:
    """The lock of one database. It belongs to a session: it goes when the process or the server dies, however it dies."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._connection: psycopg.Connection[TupleRow] | None = None

    def take(self) -> None:
        """Take the lock; InputError E-CLI-060 names pid and host of another holder."""
        connection = _connected(self._url, f"erpcrm up pid {os.getpid()} host {socket.gethostname()}"[:63])
        taken = connection.execute("SELECT pg_try_advisory_lock(%s)", (KEY,)).fetchone()
        if not taken or not taken[0]:
            holder = connection.execute(
                "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                " WHERE l.locktype = 'advisory' AND l.objid = %s AND l.granted"
                " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                (KEY,),
            ).fetchone()
            connection.close()
            raise InputError(
                "E-CLI-060",
                f"database {self._url.database}",
                f"a daemon runs already: {holder[0] if holder else 'another session'}",
                "use that one, or stop it first",
            )
        self._connection = connection

    def keep(self) -> bool:
        """Take the lock again after the server was away; False while it is. InputError E-CLI-060 when another was faster."""
        try:
            if self._connection is not None:
                self._connection.execute("SELECT 1")
                return True
            self.take()
        except (psycopg.Error, StoreError):
            self.release()
            return False
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def only_one(url: URL) -> Iterator[SoleDaemon]:
    """Hold the lock of this database for the block; InputError E-CLI-060 names pid and host of another holder."""
    sole = SoleDaemon(url)
    sole.take()
    try:
        yield sole
    finally:
        sole.release()


def is_held(url: URL) -> bool:
    """True while somebody runs `erpcrm up` on this database."""
    with _connected(url, "erpcrm") as connection:
        found = connection.execute(
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            (KEY,),
        ).fetchone()
    return found is not None


def _connected(url: URL, name: str) -> psycopg.Connection[TupleRow]:
    try:
        return psycopg.connect(dsn(url), application_name=name, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
    except psycopg.Error as error:
        raise unreachable(url, error) from error
