"""What is wrong with this installation, and what to do: each finding is one line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from erpcrm_orchestration.clients.smtp import connect
from erpcrm_orchestration.clients.sql_source import SqlSource
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.errors import ErpcrmError
from erpcrm_orchestration.domain.secret import resolve
from erpcrm_orchestration.services.mail import server_of
from erpcrm_orchestration.services.observation import INSTALLATION_CHECKS
from erpcrm_orchestration.store import configuration
from erpcrm_orchestration.store.engine import place_of
from erpcrm_orchestration.store.schema import dossier
from erpcrm_orchestration.store.single import is_held

OLDEST_SERVER = 150000
CLOCK_TOLERANCE = timedelta(seconds=5)
LEAST_FREE_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `advice` is what to do when it is not well."""

    subject: str
    is_well: bool
    found: str
    advice: str = ""


Examination = Callable[[sa.Engine, Clock, Mapping[str, str]], Iterator[Finding]]


def examine(engine: sa.Engine, *, clock: Clock, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look at everything, also behind what is wrong; yields as it goes."""
    for look in (_database, _disk, _daemon, _facts, _sources, _folders, _mail_server):
        try:
            yield from look(engine, clock, environment)
        except ErpcrmError as error:
            yield Finding(error.where, False, error.found, error.remedy)


def _database(engine: sa.Engine, clock: Clock, _environment: Mapping[str, str]) -> Iterator[Finding]:
    with engine.connect() as connection:
        version = connection.execute(sa.text("SHOW server_version_num")).scalar_one()
        theirs = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    place = f"database {place_of(engine.url)}"
    yield Finding(place, int(version) >= OLDEST_SERVER, f"PostgreSQL {int(version) // 10000}", "use PostgreSQL 15 or later")
    apart = abs(theirs - clock.now())
    yield Finding(
        "clocks",
        apart <= CLOCK_TOLERANCE,
        f"{apart.total_seconds():.1f} s between this machine and the database",
        "synchronise both",
    )


def _disk(_engine: sa.Engine, _clock: Clock, environment: Mapping[str, str]) -> Iterator[Finding]:
    folder = Path(environment.get("ERPCRM_HOME") or ".erpcrm").absolute()
    standing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(standing).free
    yield Finding(
        "disk",
        free >= LEAST_FREE_BYTES,
        f"{free // 1_000_000} MB free at {folder.name}",
        "make room: a full disk stops everything",
    )


def _daemon(engine: sa.Engine, _clock: Clock, _environment: Mapping[str, str]) -> Iterator[Finding]:
    running = is_held(engine.url)
    yield Finding("daemon", running, "runs" if running else "does not run", "start it: erpcrm up")


def _facts(engine: sa.Engine, clock: Clock, _environment: Mapping[str, str]) -> Iterator[Finding]:
    now = clock.now()
    for check in INSTALLATION_CHECKS:
        with engine.connect() as connection:
            verdict = check.judge(connection, now)
        found = "holds" if verdict.passed else ", ".join(f"{name}: {value}" for name, value in verdict.metadata.items())
        yield Finding(check.name, verdict.passed, found, check.recovery)


def _sources(engine: sa.Engine, _clock: Clock, environment: Mapping[str, str]) -> Iterator[Finding]:
    with engine.connect() as connection:
        sources = configuration.load_sources(connection)
    for code, source in sorted(sources.items()):
        subject = f"source {code}"
        try:
            with closing(SqlSource(source, environment)) as opened, opened.session() as session:
                found = f"answers, its clock says {session.now():%Y-%m-%d %H:%M:%S %Z}"
        except ErpcrmError as error:
            yield Finding(subject, False, error.found, "check its url, its server and the network")
        else:
            yield Finding(subject, True, found)


def _folders(engine: sa.Engine, _clock: Clock, environment: Mapping[str, str]) -> Iterator[Finding]:
    with engine.connect() as connection:
        named = connection.execute(
            sa.select(dossier.c.dossier_code, dossier.c.hub_folder)
            .where(dossier.c.active, dossier.c.hub_folder.is_not(None))
            .order_by(dossier.c.dossier_code)
        ).all()
    for row in named:
        subject = f"pivot folder of dossier {row.dossier_code}"
        try:
            folder = Path(resolve(row.hub_folder, environment, where=subject))
        except ErpcrmError as error:
            yield Finding(subject, False, error.found, error.remedy)
            continue
        usable = folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK)
        yield Finding(
            subject, usable, "usable" if usable else f"{folder} is missing or not writable", "create it, or correct hub_folder"
        )


def _mail_server(engine: sa.Engine, _clock: Clock, environment: Mapping[str, str]) -> Iterator[Finding]:
    with engine.connect() as connection:
        server = server_of(configuration.load_general(connection).mail, environment)
    with connect(server):
        yield Finding(f"mail server {server.place}", True, "answers")
