"""A TCP port in front of the test's PostgreSQL that cuts a connection where it is told to, as in a COPY or after a COMMIT."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

COMMIT = b"COMMIT\0"
COPY = b"COPY pg_temp."
CHUNK = 65_536

Where = Literal["request", "data", "reply"]


@dataclass
class Cut:
    """Cuts the connection at the nth time that a client sends these bytes.

    request: before the server gets them. data: within what the client sends next. reply: after the server did what they ask,
    before the client hears of it.
    """

    sent: bytes
    nth: int
    where: Where
    fired: bool = False


class DatabaseProxy:
    """Hands connections on to a server's Unix socket."""

    def __init__(self, url: sa.URL) -> None:
        self.target = f"{url.query['host']}/.s.PGSQL.{url.query['port']}"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.lock = threading.Lock()
        self.cut: Cut | None = None
        self.seen = 0
        query = {"sslmode": "disable", "gssencmode": "disable"}
        self.url = url.set(host="127.0.0.1", port=self.listener.getsockname()[1], query=query)
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, cut: Cut) -> None:
        """Cut one connection, once; what clients sent before does not count."""
        with self.lock:
            self.cut, self.seen = cut, 0

    def due(self, content: bytes) -> Cut | None:
        """Count what a client sends; return the cut whose moment has come."""
        with self.lock:
            if self.cut is None or self.cut.fired:
                return None
            self.seen += content.count(self.cut.sent)
            if self.seen < self.cut.nth:
                return None
            self.cut.fired = True
            return self.cut

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            link = _Link(self, client, server)
            for pump in (link.to_server, link.to_client):
                threading.Thread(target=pump, daemon=True).start()


class _Link:
    """One connection: two threads that hand on what either side sends."""

    def __init__(self, proxy: DatabaseProxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy, self.client, self.server = proxy, client, server
        self.swallows = False

    def to_server(self) -> None:
        """Hand on what the client sends until the cut."""
        cut: Cut | None = None
        with contextlib.suppress(OSError):
            while content := self.client.recv(CHUNK):
                if cut is not None:
                    self.server.sendall(content[: len(content) // 2])
                    break
                cut = self.proxy.due(content)
                if cut is not None and cut.where == "request":
                    break
                if cut is not None and cut.where == "reply":
                    self.swallows = True
                    cut = None
                self.server.sendall(content)
        self.end()

    def to_client(self) -> None:
        """Hand on what the server answers; the answer that is to be lost ends the connection."""
        with contextlib.suppress(OSError):
            while content := self.server.recv(CHUNK):
                if self.swallows:
                    break
                self.client.sendall(content)
        self.end()

    def end(self) -> None:
        """Reset both sides."""
        for one in (self.client, self.server):
            with contextlib.suppress(OSError):
                if one.family == socket.AF_INET:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextlib.contextmanager
def proxied(url: sa.URL) -> Iterator[DatabaseProxy]:
    """Run a proxy for a database that is reached through a Unix socket."""
    proxy = DatabaseProxy(url)
    try:
        yield proxy
    finally:
        proxy.listener.shutdown(socket.SHUT_RDWR)
        proxy.listener.close()
