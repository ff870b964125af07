"""The last resort against a source that accepted a statement and never answers: our side gives up by its own clock.

The server's statement timeout does not help when the server itself stands still, and SQLite has none.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import sqlalchemy as sa

MARGIN_S = 5
"""So much longer than the server's own deadline, which leaves the connection usable."""


@contextmanager
def deadline(connection: sa.Connection, seconds: float) -> Iterator[None]:
    """Interrupt what runs on the connection after so many seconds; the driver then raises an OperationalError."""
    timer = threading.Timer(seconds, _interrupt, (connection.connection.driver_connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _interrupt(driver: object) -> None:
    if isinstance(driver, sqlite3.Connection):
        driver.interrupt()
    elif isinstance(driver, psycopg.Connection):
        # A thread that waits in libpq wakes up when the socket ends; asking the server to cancel would wait for it.
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(driver.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)
