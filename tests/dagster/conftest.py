"""A Dagster instance as it is deployed: our dagster.yaml, storage in PostgreSQL, definitions from the package."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa

from erpcrm_orchestration.dagster_storage import pool
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.store.embedded import EmbeddedServer
from tests.company import Company

_numbers = itertools.count()


@pytest.fixture(scope="session")
def dagster_template(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with Dagster's tables."""
    with psycopg.connect(server.url(driver="postgresql").render_as_string(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE dagster_template")
    home = tmp_path_factory.mktemp("dagster-template")
    with pytest.MonkeyPatch.context() as patch, _instance(home, server.url("dagster_template"), patch):
        pass
    return "dagster_template"


@pytest.fixture
def instance(
    server: EmbeddedServer, dagster_template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance on a fresh database."""
    name = f"dagster_{next(_numbers)}"
    with psycopg.connect(server.url(driver="postgresql").render_as_string(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{dagster_template}"')
    with _instance(tmp_path / "dagster", server.url(name), monkeypatch) as made:
        yield made


@pytest.fixture
def company(engine: sa.Engine, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> Company:
    """A company whose database is the one the definitions use."""
    monkeypatch.setenv("ERPCRM_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    return Company(engine, clock)


@contextmanager
def _instance(home: Path, url: sa.URL, patch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    home.mkdir(exist_ok=True)
    settings = files("erpcrm_orchestration.deploy").joinpath("dagster.yaml").read_text(encoding="utf-8")
    (home / "dagster.yaml").write_text(settings, encoding="utf-8")
    patch.setenv("DAGSTER_HOME", str(home))
    storage = url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    patch.setenv("DAGSTER_PG_URL", storage)
    with dg.DagsterInstance.get() as instance:
        yield instance
    pool(storage).dispose()
