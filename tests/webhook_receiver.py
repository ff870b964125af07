"""The receiver of webhooks as it runs: the real web server on a free port, in a thread of the test."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
import sqlalchemy as sa
import uvicorn

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.webhooks.app import webhook_app


@dataclass
class Receiver:
    """An address, and a sender that is not the shop."""

    url: str
    secret: str
    deliveries: int = field(default=0)

    def address(self, connection_code: str = "shop_998") -> str:
        """Return where a shop sends the webhooks of a connection."""
        return f"{self.url}/webhooks/{connection_code}"

    def post(
        self, body: bytes, topic: str | None = "order.updated", connection_code: str = "shop_998", **changes: str | None
    ) -> requests.Response:
        """Send a body as the shop would; `changes` are other headers, by their names with underscores, None leaves one out."""
        self.deliveries += 1
        headers: dict[str, str | None] = {
            "Content-Type": "application/json",
            "X-WC-Webhook-Topic": topic,
            "X-WC-Webhook-Signature": signature(self.secret, body),
            "X-WC-Webhook-Delivery-ID": f"hand-{self.deliveries}",
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        return send(self.address(connection_code), body, {name: value for name, value in headers.items() if value is not None})


def signature(secret: str, body: bytes) -> str:
    """Return what a sender with this secret writes into the header."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def send(address: str, body: Any, headers: Mapping[str, str]) -> requests.Response:
    """Return the answer to a POST."""
    with requests.Session() as session:
        session.trust_env = False
        return session.post(address, body, headers=dict(headers), timeout=30)


@contextmanager
def running_receiver(engine: sa.Engine, environment: Mapping[str, str], clock: Clock, secret: str) -> Iterator[Receiver]:
    """Run the receiver for the block; requests that come before it has started wait in the queue of its socket."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(webhook_app(engine, environment, clock), log_level="error", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Receiver(f"http://127.0.0.1:{listener.getsockname()[1]}", secret)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
