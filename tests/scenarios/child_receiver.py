"""A receiver of webhooks in a process of its own, to be killed."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Mapping
from datetime import datetime
from multiprocessing.process import BaseProcess

import uvicorn

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.webhooks.app import webhook_app
from tests.scenarios.child_round import prepared


def start_receiver(
    url: str, now: datetime, listener: socket.socket, environment: Mapping[str, str], *, failpoint: str
) -> BaseProcess:
    """Start a process that receives webhooks on a socket."""
    arguments = (url, FixedClock(now), listener, dict(environment), failpoint)
    made = multiprocessing.get_context("forkserver").Process(target=_receive, args=arguments, daemon=True)
    made.start()
    return made


def _receive(url: str, clock: FixedClock, listener: socket.socket, environment: Mapping[str, str], armed: str) -> None:
    app = webhook_app(prepared(url, armed), environment, clock)
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, lifespan="off")).run(sockets=[listener])
