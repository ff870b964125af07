"""A small web server for the simulated systems: one system behind one port of loopback, with a log of its requests."""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from erpcrm_orchestration.demo.faults import FAULTS, Cut, Delivery, Faults
from erpcrm_orchestration.demo.message import Answer, Refused, Request, json_answer
from erpcrm_orchestration.domain.clock import Clock, SystemClock


@dataclass
class RequestLog:
    """What was asked, in order, and how often per method and path."""

    requests: list[Request] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, request: Request) -> None:
        self.requests.append(request)
        self.counts[request.method, request.path] += 1

    def count(self, method: str | None = None, path: str = "") -> int:
        """Return how many requests of the method there were whose path contains the text."""
        return sum(number for (verb, place), number in self.counts.items() if method in {None, verb} and path in place)

    def clear(self) -> None:
        self.requests.clear()
        self.counts.clear()


Handler = Callable[..., Answer]


class WebSystem:
    """A system with routes. One lock guards its state: a request sees and changes it alone.

    Subclasses set `routes`: method, pattern of the whole path, handler; the pattern's groups are the handler's arguments
    after the request.
    """

    def __init__(self, *, clock: Clock | None = None, seed: int = 998) -> None:
        self.clock = clock or SystemClock()
        self.lock = threading.RLock()
        self.log = RequestLog()
        self.faults = Faults(seed)
        self.routes: list[tuple[str, re.Pattern[str], Handler]] = []

    def route(self, method: str, pattern: str, handler: Handler) -> None:
        """Add a route."""
        self.routes.append((method, re.compile(pattern), handler))

    def authorize(self, request: Request) -> None:
        """Raise Refused (401) unless the request may come in."""

    def stop(self) -> None:
        """End what the system does in the background."""

    def disturb(self) -> None:
        """Change a record that was listed already, so that the pages behind it shift."""

    def refusal(self, refused: Refused) -> Answer:
        """Return how this system words a refusal."""
        return json_answer(refused.status, {"error": refused.code, "message": refused.message, **refused.more})

    def answer(self, request: Request) -> Answer:
        """Return the answer to a request, without faults."""
        try:
            self.authorize(request)
            with self.lock:
                return self._routed(request)
        except Refused as refused:
            return self.refusal(refused)

    def _routed(self, request: Request) -> Answer:
        known = False
        for method, pattern, handler in self.routes:
            match = pattern.fullmatch(request.path)
            known = known or match is not None
            if match is not None and method == request.method:
                return handler(request, *match.groups())
        if known:
            raise Refused(405, "method_not_allowed", f"{request.method} is not allowed here")
        raise Refused(404, "no_route", "No route was found matching the URL and request method.")

    def deliver(self, request: Request) -> Delivery:
        """Return the answer and how it is sent: as it is, or as an armed fault spoils it."""
        if request.path == FAULTS:
            return Delivery(_armed(self.faults, request))
        with self.lock:
            self.log.add(request)
        return self.faults.deliver(request.method, request.path, lambda: self.answer(request), self.disturb)


def _armed(faults: Faults, request: Request) -> Answer:
    if request.method == "DELETE":
        faults.clear()
    elif request.method == "POST":
        try:
            faults.arm(**request.json())
        except (TypeError, ValueError, Refused) as error:
            return json_answer(400, {"error": str(error)})
    return json_answer(200, {"armed": faults.armed(), "fired": dict(faults.fired)})


class WebServer:
    """One system on one port of 127.0.0.1; 0 takes a free port, which stays the same over stop and start."""

    def __init__(self, system: WebSystem, port: int = 0) -> None:
        self.system = system
        self.port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base address, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen; requests that come from now on are answered."""
        self._server = _Server(self.system, self.port)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and cut the open connections; requests are refused from now on."""
        if self._server is None or self._thread is None:
            return
        self._server.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.cut()
        self._server.server_close()
        self.system.stop()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


_Sent = socket.socket | tuple[bytes, socket.socket]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Waiting for the threads is done in server_close, after their connections were cut.
    block_on_close = True
    request_queue_size = 128

    def __init__(self, system: WebSystem, port: int) -> None:
        self.system = system
        self.stopping = threading.Event()
        self._open: set[_Sent] = set()
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", port), _Conversation)

    def process_request_thread(self, request: _Sent, client_address: object) -> None:
        with self._guard:
            self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._open.discard(request)

    def cut(self) -> None:
        with self._guard:
            for connection in self._open:
                _shut(connection)

    def handle_error(self, request: _Sent, client_address: object) -> None:
        """Leave silent what a client does when it goes away in the middle of an answer."""


def _shut(connection: _Sent) -> None:
    if not isinstance(connection, socket.socket):
        return
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def _converse(self) -> None:
        address = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            self.command,
            address.path,
            dict(parse_qsl(address.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length) if length else b"",
        )
        self._send(self.server.system.deliver(request))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _converse

    def _send(self, delivery: Delivery) -> None:
        if self.server.stopping.wait(delivery.wait_s) or delivery.cut is Cut.BEFORE:
            self.close_connection = True
            return
        answer = delivery.answer
        self.send_response_only(answer.status, _phrase(answer.status))
        self.send_header("Date", format_datetime(self.server.system.clock.now(), usegmt=True))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self._send_body(answer.body, delivery)

    def _send_body(self, body: bytes, delivery: Delivery) -> None:
        self.close_connection = self.close_connection or delivery.cut is not None or delivery.pace_s > 0
        if delivery.cut is Cut.CHUNKED:
            half = body[: len(body) // 2]
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(f"{len(half):x}\r\n".encode() + half + b"\r\n")
            return
        if delivery.cut is not Cut.CLOSE:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if delivery.cut is not None:
            body = body[: len(body) // 2]
        if not delivery.pace_s:
            self.wfile.write(body if self.command != "HEAD" else b"")
            return
        for position in range(len(body)):
            self.wfile.write(body[position : position + 1])
            self.wfile.flush()
            if self.server.stopping.wait(delivery.pace_s):
                return

    def log_message(self, format: str, *args: object) -> None:
        """Keep requests in the system's log, not on the terminal."""


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else "Unknown"
