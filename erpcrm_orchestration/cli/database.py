"""`erpcrm migrate` and `erpcrm db`: the schema and the embedded server."""

from __future__ import annotations

import typer

from erpcrm_orchestration.cli.session import DATABASE, database_url, embedded_server, open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.store.databases import ensure_database
from erpcrm_orchestration.store.engine import VARIABLE
from erpcrm_orchestration.store.migrate import migrate
from erpcrm_orchestration.store.version import schema_version

app = typer.Typer(help="The embedded PostgreSQL server.")


def migrate_command() -> None:
    """Bring the database to this program's schema. Doing it again changes nothing.

    Example: erpcrm migrate
    """
    url = database_url()
    ensure_database(url)
    with open_database(current=False) as engine:
        before = migrate(engine, now=SystemClock().now())
        after = schema_version(engine)
    typer.echo(
        f"schema {after.known}: " + ("nothing to do" if before.is_current else f"migrated from {before.found or 'empty'}")
    )


@app.command("start")
def start() -> None:
    """Start the embedded server of ERPCRM_HOME. Example: erpcrm db start"""
    server = embedded_server()
    word = server.start()
    ensure_database(server.url(DATABASE))
    typer.echo(f"{word}: {server.data}")


@app.command("stop")
def stop() -> None:
    """Stop the embedded server of ERPCRM_HOME. Example: erpcrm db stop"""
    server = embedded_server()
    server.stop()
    typer.echo(f"stopped: {server.data}")


@app.command("url")
def url() -> None:
    """Print the database URL, without its password. Example: psql "$(erpcrm db url)\""""
    typer.echo(database_url().set(drivername="postgresql").render_as_string(hide_password=True))
    typer.echo(f"# for other programs: export {VARIABLE}=...", err=True)
