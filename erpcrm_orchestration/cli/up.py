"""`erpcrm up`: database, code server, daemon, web servers, board, receiver, until Ctrl-C; `erpcrm env` for Dagster itself."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import sqlalchemy as sa
import typer
from sqlalchemy.engine import URL

from erpcrm_orchestration.board.settings import settings_from
from erpcrm_orchestration.cli.deployment import Deployment, free_port
from erpcrm_orchestration.cli.processes import Child, Group, ProcessError
from erpcrm_orchestration.cli.session import DATABASE, embedded_server, home
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.services.sign_in import setup_token
from erpcrm_orchestration.store.configuration import load_connections
from erpcrm_orchestration.store.databases import ensure_database
from erpcrm_orchestration.store.engine import VARIABLE, create_engine, parse_url, reported
from erpcrm_orchestration.store.migrate import migrate
from erpcrm_orchestration.store.single import SoleDaemon, only_one

PORT = 3000
WEBHOOK_PORT = 3080
START_PATIENCE_S = 90

Say = Callable[[str], None]
Extra = Callable[[Deployment], dict[str, str]]


def up_command(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the board.")] = PORT,
    webhook_port: Annotated[
        int, typer.Option(min=0, max=65535, envvar="ERPCRM_WEBHOOK_PORT", help="Port of the receiver of webhooks.")
    ] = WEBHOOK_PORT,
) -> None:
    """Run everything on this machine until Ctrl-C: database, code server, daemon, Dagster UI, board, receiver of webhooks.

    People use the board; Dagster's UI is behind it, for those who may see the whole installation.

    The receiver runs when a connection has a webhook_secret at the start; systems send to /webhooks/<connection> of its port.

    Example: erpcrm up --port 3000
    """
    stop = stop_on_signals()
    with running(port, say=typer.echo, webhook_port=webhook_port) as (deployment, group):
        for line in addresses(deployment):
            typer.echo(line)
        typer.echo("Ctrl-C stops everything")
        tend_until(stop, group, say=typer.echo)
    typer.echo("stopped")


def addresses(deployment: Deployment) -> list[str]:
    """Return what a person needs to go on: where the board is, and the link of the first administrator while there is none."""
    engine = create_engine(deployment.database)
    try:
        with reported(engine):
            first = first_link(engine, deployment.url)
    finally:
        engine.dispose()
    return [
        f"board       {deployment.url}",
        f"Dagster UI  {deployment.dagster_url}  (this machine alone; for people {deployment.url}/dagster)",
        f"logs        {deployment.home / 'logs'}",
        *first,
    ]


def first_link(engine: sa.Engine, board_url: str) -> list[str]:
    """Return the line with the link that makes the first administrator; nothing when there is one."""
    token = setup_token(engine, clock=SystemClock())
    return [f"first administrator, once, within 24 hours: {board_url}/link/{token}"] if token else []


def env_command() -> None:
    """Print what Dagster's own commands need, for the shell.

    Example: eval "$(erpcrm env)" && dagster asset materialize -m erpcrm_orchestration.definitions --select '*' --partition 998
    """
    deployment = prepare(PORT)
    names = (VARIABLE, "DAGSTER_HOME", "DAGSTER_PG_URL", "ERPCRM_HOME")
    environment = deployment.environment()
    for name in names:
        typer.echo(f"export {name}={shlex.quote(environment[name])}")


def prepare(port: int) -> Deployment:
    """Start the embedded server unless ERPCRM_DATABASE_URL names one, make and migrate the databases, write Dagster's files."""
    database = _server_url()
    deployment = Deployment(home(), database, port)
    ensure_database(database)
    ensure_database(deployment.dagster_database)
    engine = create_engine(database)
    try:
        with reported(engine):
            migrate(engine, now=SystemClock().now())
    finally:
        engine.dispose()
    deployment.write_files()
    return deployment


@contextmanager
def running(
    port: int, *, say: Say, extra: Extra | None = None, webhook_port: int = WEBHOOK_PORT
) -> Iterator[tuple[Deployment, Group]]:
    """Run the deployment for the block; at its end everything is stopped, the embedded server too.

    The embedded server is ours once we hold the lock, also when an earlier command had left it running.

    `extra` may start more and return further environment variables for the programs.
    """
    port = free_port(port)
    # What the board would refuse is told here, and not in the log of a program that ends again and again.
    settings_from(os.environ, default_url=f"http://127.0.0.1:{port}")
    is_ours = _is_embedded() and not embedded_server().is_alive()
    try:
        say("database: starting")
        deployment = prepare(port)
        with only_one(deployment.database) as sole:
            is_ours = _is_embedded()
            added = extra(deployment) if extra else {}
            children = deployment.children()
            receivers = []
            if _expects_webhooks(deployment.database):
                webhook_port = free_port(webhook_port, option="--webhook-port")
                receivers = [deployment.receiver(webhook_port)]
            for child in (*children, *receivers):
                child.environment = {**child.environment, **added}
            say("code server: starting")
            deployment.code_socket.unlink(missing_ok=True)
            with Group(children[:1], keep=lambda: _keep(sole)) as group:
                _wait_for_socket(deployment, children[0])
                for child in children[1:]:
                    child.start()
                    group.children.append(child)
                _wait_for_port(deployment.dagster_port, children[2])
                _wait_for_port(deployment.port, children[-1])
                for child in receivers:
                    child.start()
                    group.children.append(child)
                    say(f"webhooks: http://127.0.0.1:{webhook_port}/webhooks/<connection>")
                yield deployment, group
    finally:
        if is_ours:
            embedded_server().stop()


def _expects_webhooks(database: URL) -> bool:
    """True when a connection is to be told of changes by its system."""
    engine = create_engine(database)
    try:
        with reported(engine), engine.connect() as connection:
            return any(one.active and one.webhook_secret for one in load_connections(connection).values())
    finally:
        engine.dispose()


def stop_on_signals() -> threading.Event:
    """Return an event that Ctrl-C and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def tend_until(stop: threading.Event, group: Group, *, say: Say) -> None:
    """Keep the children alive until the event is set."""
    while not stop.wait(1):
        for name in group.tend():
            say(f"{name}: had ended, started again")


def _keep(sole: SoleDaemon) -> None:
    """Keep the lock; bring the embedded server back when it is gone: nobody else would."""
    if not sole.keep() and _is_embedded():
        embedded_server().start()


def _is_embedded() -> bool:
    return not os.environ.get(VARIABLE)


def _server_url() -> URL:
    if not _is_embedded():
        return parse_url(os.environ[VARIABLE])
    server = embedded_server()
    server.start()
    return server.url(DATABASE)


def _wait_for_socket(deployment: Deployment, child: Child) -> None:
    def listens() -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(str(deployment.code_socket)) == 0

    _wait(listens, child)


def _wait_for_port(port: int, child: Child) -> None:
    def listens() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    _wait(listens, child)


def _wait(ready: Callable[[], bool], child: Child) -> None:
    limit = time.monotonic() + START_PATIENCE_S
    while not ready():
        if not child.is_running or time.monotonic() > limit:
            raise ProcessError("E-RUN-001", child.name, f"it did not start: {child.last_line()}", f"read {child.log_file}")
        time.sleep(0.1)
