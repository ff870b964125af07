"""The real parts that tests run on: one PostgreSQL server per test session, one fresh database per test."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.engine import create_engine
from erpcrm_orchestration.store.migrate import migrate

NOON = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
"""A Wednesday, 13:00 in Paris."""

ROOM_IN_MEMORY = 4_000_000_000
"""Bytes that must be free in memory for the server of a test process."""

_database_numbers = itertools.count()

LONGEST_FIRST = (
    "scenarios/test_deployment.py",
    "scenarios/test_crash.py",
    "scenarios/test_crash_with_keys.py",
    "scenarios/test_celery_servers.py",
    "postgres/test_cursor_seeds.py",
    "board/test_accessibility.py",
    "board/test_rights.py",
    "real/test_round_trip.py",
    "scenarios/test_round_faults.py",
    "real/test_accounts_of_a_crm.py",
    "postgres/test_mail_crash.py",
    "postgres/test_cursor.py",
)
"""Files of more than a minute: one that begins last makes every other process wait for it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files begin first (with --no-loadscope-reorder)."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}

    def place(item: pytest.Item) -> int:
        return places.get("/".join(item.path.parts[-2:]), len(places))

    items.sort(key=place)


@pytest.fixture(scope="session")
def server(worker_id: str) -> Iterator[EmbeddedServer]:
    """A PostgreSQL server of this test process, on a Unix socket of its own."""
    with TemporaryDirectory(prefix=f"erpcrm-{worker_id}-", dir=_quick_folder()) as folder:
        running = EmbeddedServer(Path(folder) / "data", durable=False)
        running.start()
        yield running
        running.stop("immediate")


def _quick_folder() -> str | None:
    """Return a folder in memory when there is room: a fresh database is some hundred files, ten times slower on a disk."""
    memory = Path("/dev/shm")  # noqa: S108  a place, not a name that somebody could guess
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > ROOM_IN_MEMORY else None


@pytest.fixture(scope="session")
def migrated_template(server: EmbeddedServer) -> str:
    """The name of a migrated database that fresh ones are copied from."""
    with psycopg.connect(_dsn(server), autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated")
    engine = create_engine(server.url("migrated"))
    migrate(engine, now=NOON)
    engine.dispose()
    return "migrated"


@pytest.fixture
def database_url(server: EmbeddedServer, migrated_template: str) -> Iterator[sa.URL]:
    """The URL of a migrated, empty database of this test alone."""
    name = f"test_{next(_database_numbers)}"
    with psycopg.connect(_dsn(server), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{migrated_template}" STRATEGY file_copy')
    yield server.url(name)
    with psycopg.connect(_dsn(server), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def engine(database_url: sa.URL) -> Iterator[sa.Engine]:
    """An engine on a migrated, empty database."""
    made = create_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands at Wednesday 2026-11-18 12:00 UTC until the test sets `clock.at`."""
    return FixedClock(NOON)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the person's own installation."""
    for name in [name for name in os.environ if name.startswith(("ERPCRM_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ERPCRM_HOME", str(tmp_path / "erpcrm-home"))


def _dsn(server: EmbeddedServer) -> str:
    return server.url(driver="postgresql").render_as_string(hide_password=False)
