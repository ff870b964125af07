"""A Dagster instance with its storage in the benchmark's server, set up as it is deployed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import sqlalchemy as sa

from erpcrm_orchestration.store.databases import ensure_database
from erpcrm_orchestration.store.engine import VARIABLE


@contextmanager
def deployed(engine: sa.Engine) -> Iterator[dg.DagsterInstance]:
    """Yield an instance, with the environment that its runs need."""
    storage = engine.url.set(database="bench_dagster")
    ensure_database(storage)
    with TemporaryDirectory(prefix="erpcrm-bench-dagster-") as home:
        settings = files("erpcrm_orchestration.deploy").joinpath("dagster.yaml").read_text(encoding="utf-8")
        Path(home, "dagster.yaml").write_text(settings, encoding="utf-8")
        added = {
            "DAGSTER_HOME": home,
            "DAGSTER_PG_URL": storage.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False),
            "DAGSTER_EVENT_BATCH_SIZE": "1000",
            "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1",
            VARIABLE: engine.url.render_as_string(hide_password=False),
        }
        os.environ.update(added)
        try:
            with dg.DagsterInstance.get() as instance:
                yield instance
        finally:
            for name in added:
                del os.environ[name]


def sweep_of(dossier_codes: Sequence[str]) -> dict[str, Any]:
    """Return the run configuration of a sweep that mails nobody."""
    return {"ops": {"refresh_dossiers": {"config": {"dossiers": list(dossier_codes), "notify": False}}}}


def run_job(module: str, job: str, config: Mapping[str, Any] | None = None) -> None:
    """Run a job in a process of its own, from its start to its end."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "run.yaml")
        file.write_text(json.dumps(config or {}), encoding="utf-8")
        command = [sys.executable, "-m", "dagster", "job", "execute", "-m", module, "-a", "defs", "-j", job]
        subprocess.run([*command, "-c", str(file)], check=True, capture_output=True)  # noqa: S603 - our own interpreter
