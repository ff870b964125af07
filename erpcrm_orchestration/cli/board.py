"""`erpcrm board`: the web board as a program of its own; `erpcrm up` starts it with everything else."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from erpcrm_orchestration.board.app import board_app, web_server
from erpcrm_orchestration.board.desk import Desk
from erpcrm_orchestration.board.settings import settings_from
from erpcrm_orchestration.cli.session import open_database
from erpcrm_orchestration.cli.up import PORT, first_link
from erpcrm_orchestration.cli.webhooks import listening
from erpcrm_orchestration.domain.clock import SystemClock


def board_command(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = PORT,
    host: Annotated[str, typer.Option(help="Address to listen on; a proxy with TLS stands before it.")] = "127.0.0.1",
    link: Annotated[bool, typer.Option(help="Print the link of the first administrator while there is none.")] = True,
) -> None:
    """Serve the web board until Ctrl-C. The first start prints a link that makes the first administrator.

    Example: erpcrm board --port 3000
    """
    with open_database() as engine, listening(host, port) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = settings_from(os.environ, default_url=address)
        typer.echo(f"board       {settings.public_url}")
        for line in first_link(engine, settings.public_url) if link else ():
            typer.echo(line)
        server = web_server(board_app(Desk(engine, SystemClock(), os.environ, settings)))
        server.run(sockets=[listener])
