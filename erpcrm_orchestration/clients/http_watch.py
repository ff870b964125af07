"""Connections that can be watched: whether a request has left, who answers, and an end to an exchange that takes too long.

The read timeout of a socket starts anew with every byte, so that a server that drips bytes is never ended by it.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


@dataclass
class Watch:
    """What is known of the request that is under way."""

    sent: bool = False
    """Whether anything of it was handed to the network."""
    expired: bool = False
    link_local: bool = False
    connection: HTTPConnection | None = field(default=None, repr=False)

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Cut the connection after so many seconds in total; what reads from it then ends at once."""
        self.sent = self.expired = self.link_local = False
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self.connection = None

    def _cut(self) -> None:
        self.expired = True
        wire = getattr(self.connection, "sock", None)
        if wire is not None:
            with suppress(OSError), socket.socket(fileno=os.dup(wire.fileno())) as copy:
                copy.shutdown(socket.SHUT_RDWR)


class WatchedAdapter(HTTPAdapter):
    """An adapter of requests whose connections tell the watch. It never repeats a request by itself."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        super().__init__(max_retries=0, pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  as in requests
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _pool_classes(self._watch)


def is_link_local(host: str) -> bool:
    """True for 169.254.0.0/16 and fe80::/10, where machines of a cloud keep their credentials."""
    try:
        address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool(address.is_link_local or (mapped is not None and mapped.is_link_local))


def _pool_classes(watch: Watch) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            watch.connection = self
            super().connect()
            _refuse_link_local(self, watch)

        def send(self, data: Any) -> None:  # noqa: ANN401  as in http.client
            _before_sending(self, watch)
            super().send(data)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            watch.connection = self
            super().connect()
            _refuse_link_local(self, watch)

        def send(self, data: Any) -> None:  # noqa: ANN401  as in http.client
            _before_sending(self, watch)
            super().send(data)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _before_sending(connection: HTTPConnection, watch: Watch) -> None:
    watch.connection = connection
    if connection.sock is None:
        connection.connect()
    watch.sent = True


def _refuse_link_local(connection: HTTPConnection, watch: Watch) -> None:
    """Close a connection that a name led to a link-local address: the look at the URL sees only the name."""
    wire = connection.sock
    if wire is not None and is_link_local(str(wire.getpeername()[0])):
        watch.link_local = True
        connection.close()
        raise OSError("link-local")
