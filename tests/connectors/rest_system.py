"""A small system with a REST and a GraphQL face, in four flavours, that can be told to misbehave at the next request."""

from __future__ import annotations

import gzip
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

API_KEY = "canary-api-key-5d1f"
START = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    """`raw` is sent as it is instead of a JSON body. `headers` replace the usual ones."""

    content: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None


Route = Callable[[Seen], Reply]
Fault = Callable[["Handler", Callable[[], Reply]], None]


class RestSystem:
    """`records` by entity and id; `texts` overrides the JSON of single records. `faults` are taken one per request."""

    def __init__(self) -> None:
        self.records: dict[str, dict[int, dict[str, Any]]] = {"orders": {}, "events": {}, "accounts": {}}
        self.texts: dict[tuple[str, int], str] = {}
        self.keys: dict[str, int] = {}
        self.creates = 0
        self.seen: list[Seen] = []
        self.faults: deque[Fault] = deque()
        self.routes: dict[str, Route] = {}
        self.before_page: Callable[[int], None] = lambda page: None
        self.released = threading.Event()
        self.shows_total = True
        self._next = 1
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"system": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> RestSystem:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/api"

    def add(self, entity: str, at: datetime = START, **values: Any) -> int:
        number = self._next
        self._next += 1
        self.records[entity][number] = {"id": number, "modified": _shown(at), "status": "pending", "total": "10.00", **values}
        return number

    def change(self, entity: str, number: int, at: datetime, **values: Any) -> None:
        self.records[entity][number] |= {"modified": _shown(at), **values}

    def text(self, entity: str, number: int) -> str:
        return self.texts.get((entity, number)) or json.dumps(self.records[entity][number])

    def lists(self, path: str = "") -> list[Seen]:
        return [one for one in self.seen if path in one.path]

    def answer(self, seen: Seen) -> Reply:
        if seen.headers.get("X-Api-Key") != API_KEY:
            return Reply({"message": f"key {seen.headers.get('X-Api-Key')} refused"}, 401)
        own = self.routes.get(f"{seen.method} {seen.path}")
        if own is not None:
            return own(seen)
        name, _, number = seen.path.removeprefix("/api/").partition("/")
        if name == "graphql":
            return self._graphql(seen)
        if name not in self.records:
            return Reply({"message": "no route"}, 404)
        if seen.method == "POST":
            return self._create(name, seen)
        return self._one(name, int(number), seen) if number else self._list(name, seen)

    def _list(self, name: str, seen: Seen) -> Reply:
        if "key" in seen.query:
            found = [number for key, number in self.keys.items() if key == seen.query["key"]]
            return self._records(name, found, {})
        page, size = int(seen.query.get("page", 1)), int(seen.query.get("size", 100))
        offset = int(seen.query.get("offset", (page - 1) * size))
        self.before_page(offset // size + 1)
        numbers = self._selected(name, seen.query)
        total = {"X-WP-Total": str(len(numbers))} if self.shows_total else {}
        return self._records(name, numbers[offset : offset + size], total)

    def _selected(self, name: str, query: Mapping[str, str]) -> list[int]:
        after, until = query.get("after", ""), query.get("until", "9")
        rows = self.records[name]
        if name == "events":
            return sorted(rows, reverse=True)
        if name == "accounts":
            return sorted(rows)
        chosen = [number for number, row in rows.items() if after <= str(row["modified"]) <= until]
        return sorted(chosen, key=lambda number: (str(rows[number]["modified"]), number))

    def _records(self, name: str, numbers: list[int], headers: Mapping[str, str]) -> Reply:
        body = "[" + ", ".join(self.text(name, number) for number in numbers) + "]"
        wrapped = {"events": '{"results": %s}', "accounts": '{"open": {"accounts": %s}}'}.get(name, "%s")
        return Reply(raw=wrapped.replace("%s", body).encode("utf-8", "surrogateescape"), headers=headers)

    def _one(self, name: str, number: int, seen: Seen) -> Reply:
        if number not in self.records[name]:
            return Reply({"message": "not found"}, 404)
        if seen.method in {"PUT", "PATCH"}:
            self.records[name][number] |= seen.body
        return Reply(raw=self.text(name, number).encode())

    def _create(self, name: str, seen: Seen) -> Reply:
        key = seen.headers.get("Idempotency-Key", "")
        if key not in self.keys:
            self.creates += 1
            self.keys[key] = self.add(name, **seen.body)
        return Reply({"id": self.keys[key]}, 201)

    def _graphql(self, seen: Seen) -> Reply:
        variables = seen.body["variables"]
        numbers = self._selected("orders", {name: value for name, value in variables.items() if value})
        first = int(variables.get("cursor") or 0)
        nodes = ", ".join(self.text("orders", number) for number in numbers[first : first + variables["size"]])
        end = first + variables["size"]
        info = json.dumps({"endCursor": str(end), "hasNextPage": end < len(numbers)})
        return Reply(raw=f'{{"data": {{"orders": {{"nodes": [{nodes}], "pageInfo": {info}}}}}}}'.encode())


class Handler(BaseHTTPRequestHandler):
    """Answers with what the system says, or lets the next fault do so."""

    system: RestSystem
    protocol_version = "HTTP/1.1"
    timeout = 10

    def _any(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.title(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        seen = Seen(self.command, parts.path, query, headers, json.loads(body) if body else None)
        self.system.seen.append(seen)
        fault = self.system.faults.popleft() if self.system.faults else None
        if fault is not None:
            fault(self, lambda: self.system.answer(seen))
        else:
            self.reply(self.system.answer(seen))

    do_GET = do_POST = do_PUT = do_PATCH = _any

    def reply(self, reply: Reply) -> None:
        body = reply.raw if reply.raw is not None else json.dumps(reply.content).encode()
        usual = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        self.head(reply.status, {**usual, **reply.headers})
        self.wfile.write(body)

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def drop(self) -> None:
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing is written to the terminal."""


def status(code: int, **headers: str) -> Fault:
    """The next answer has this status, and nothing is carried out."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.reply(Reply({"message": f"status {code}"}, code, named))


def raw(body: bytes, content_type: str = "application/json", code: int = 200) -> Fault:
    """The next answer is these bytes."""
    return lambda handler, _: handler.reply(Reply(raw=body, status=code, headers={"Content-Type": content_type}))


def lost(handler: Handler, answer: Callable[[], Reply]) -> None:
    """The request is carried out and the connection closed without an answer."""
    answer()
    handler.drop()


def cut_by_length(handler: Handler, answer: Callable[[], Reply]) -> None:
    """The body is shorter than its Content-Length."""
    body = answer().raw or b'{"id": 1}'
    handler.head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
    handler.wfile.write(body[: len(body) // 2])
    handler.drop()


def cut_chunked(handler: Handler, answer: Callable[[], Reply]) -> None:
    """The connection closes before the last chunk."""
    body = answer().raw or b'{"id": 1}'
    handler.head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(body) // 2, body[: len(body) // 2]))
    handler.drop()


def cut_by_close(handler: Handler, answer: Callable[[], Reply]) -> None:
    """An answer without length ends in the middle: HTTP itself does not tell."""
    body = answer().raw or b'{"id": 1}'
    handler.head(200, {"Content-Type": "application/json", "Connection": "close"})
    handler.wfile.write(body[: len(body) // 2])
    handler.drop()


def drip(handler: Handler, answer: Callable[[], Reply]) -> None:
    """One byte each 0.05 s, far beyond every deadline of the test, or until the test is over."""
    handler.head(200, {"Content-Type": "application/json", "Content-Length": "100000"})
    _bytes_slowly(handler, b" ")


def drip_head(handler: Handler, answer: Callable[[], Reply]) -> None:
    """The headers come byte by byte and never end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _bytes_slowly(handler, b"x")


def silence(handler: Handler, answer: Callable[[], Reply]) -> None:
    """The request is carried out, and no answer comes."""
    answer()
    handler.system.released.wait(10)
    handler.drop()


def bomb(handler: Handler, answer: Callable[[], Reply]) -> None:
    """A few kilobytes that unpack to 20 MB."""
    packed = gzip.compress(b"[" + b" " * 20_000_000 + b"]")
    handler.head(200, {"Content-Type": "application/json", "Content-Encoding": "gzip", "Content-Length": str(len(packed))})
    handler.wfile.write(packed)


def _bytes_slowly(handler: Handler, byte: bytes) -> None:
    try:
        while not handler.system.released.wait(0.05):
            handler.wfile.write(byte)
            handler.wfile.flush()
    except OSError:
        handler.drop()


def _shown(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
