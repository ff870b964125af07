"""`erpcrm webhooks`: the receiver of webhooks as a program of its own; `erpcrm up` starts it when a connection has a secret."""

from __future__ import annotations

import os
import socket
from typing import Annotated

import typer
import uvicorn

from erpcrm_orchestration.cli.session import open_database
from erpcrm_orchestration.cli.up import WEBHOOK_PORT
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.webhooks.app import webhook_app

app = typer.Typer(no_args_is_help=False, help="The receiver of webhooks.")


@app.callback()
def webhooks() -> None:
    """The receiver of webhooks."""


@app.command()
def serve(
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, envvar="ERPCRM_WEBHOOK_PORT", help="Port to listen on; 0 takes a free one."),
    ] = WEBHOOK_PORT,
    host: Annotated[str, typer.Option(help="Address to listen on; a proxy with TLS stands before it.")] = "127.0.0.1",
) -> None:
    """Receive webhooks at /webhooks/<connection> until Ctrl-C.

    Example: erpcrm webhooks serve --port 3080
    """
    with open_database() as engine, listening(host, port) as listener:
        typer.echo(f"webhooks  http://{host}:{listener.getsockname()[1]}/webhooks/<connection>")
        application = webhook_app(engine, os.environ, SystemClock())
        # The access log would hold addresses of shops and nothing that the inbox does not tell better.
        config = uvicorn.Config(application, log_level="warning", access_log=False, server_header=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listener])


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raise InputError E-RUN-007 when the place is taken or not ours."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reason = error.strerror or "not to be had"
        raise InputError("E-RUN-007", f"{host}:{port}", reason, "give another --port or --host") from error
