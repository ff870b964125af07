"""What every command needs: the home folder, an engine on a current schema, and the person's name for the audit."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
import typer

from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.engine import VARIABLE, create_engine, parse_url, reported
from erpcrm_orchestration.store.version import require_current

DATABASE = "erpcrm"


def home() -> Path:
    """Return ERPCRM_HOME, by default `.erpcrm` in the current folder; everything we write is below it."""
    return Path(os.environ.get("ERPCRM_HOME") or ".erpcrm").absolute()


def embedded_server() -> EmbeddedServer:
    """Return the embedded server of this home; it may be stopped."""
    return EmbeddedServer(home() / "postgres")


def database_url() -> sa.URL:
    """Return the server that ERPCRM_DATABASE_URL names, else the embedded one, which is started when it is down."""
    text = os.environ.get(VARIABLE, "")
    if text:
        return parse_url(text)
    server = embedded_server()
    server.start()
    return server.url(DATABASE)


@contextmanager
def open_database(*, current: bool = True) -> Iterator[sa.Engine]:
    """Yield an engine; with `current` the schema must be this program's. Lost connections become one-line errors."""
    engine = create_engine(database_url())
    try:
        with reported(engine):
            if current:
                require_current(engine)
            yield engine
    finally:
        engine.dispose()


def actor() -> str:
    """Return who types, for the audit trail."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def confirm(question: str) -> None:
    """Ask a person, and end when the answer is no; raise InputError E-CLI-061 where nobody can be asked."""
    if not sys.stdin.isatty():
        raise InputError("E-CLI-061", "confirmation", "nobody can be asked here", "repeat with --yes")
    typer.confirm(question, abort=True)
