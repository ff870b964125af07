"""What stands before every route: which hosts, which origins, how much, and what a browser may do with the answer."""

from __future__ import annotations

import hashlib
import hmac
import json
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from erpcrm_orchestration.board.desk import desk_of
from erpcrm_orchestration.board.faults import Refused

LARGEST_BODY = 1_000_000
LARGEST_HEADERS = 32_000
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
TOKEN_FIELD = "csrf"  # noqa: S105  the name of a field
TOKEN_HEADER = "x-csrf-token"  # noqa: S105  the name of a header
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
TLS_ONLY = "max-age=31536000; includeSubDomains"
OTHER_RULES = ("/dagster",)
"""Dagster's pages bring inline code of their own; they get the headers that do not break them."""


class Guard:
    """Refuses what no route should see, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, *, host: str, is_secure: bool) -> None:
        self.app, self.host, self.is_secure = app, host, is_secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        fault = self._fault(scope)
        if fault and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif fault:
            await self._refuse(scope, send, *fault)
        elif scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await self.app(scope, _limited(receive), self._sender(scope, send))

    def _fault(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if sum(len(name) + len(value) for name, value in scope["headers"]) > LARGEST_HEADERS:
            return 431, "E-WEB-103 headers: too large; send less"
        if headers.get("host", "") != self.host:
            return 400, "E-WEB-103 host: another name than the board's; use its address"
        if _is_odd(scope):
            return 400, "E-WEB-103 path: not readable; go back"
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            return 413, "E-WEB-413 body: too large; send less"
        if (scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS) and not self._is_own(headers):
            return 403, "E-WEB-102 origin: the request comes from another site; use the board's own pages"
        return None

    def _is_own(self, headers: Headers) -> bool:
        """True when the browser says that the request comes from one of our own pages; what says nothing is refused."""
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return False
        origin = headers.get("origin")
        return origin is not None and urlsplit(origin).netloc == self.host

    def _sender(self, scope: Scope, send: Send) -> Send:
        foreign = scope["path"].startswith(OTHER_RULES)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    if not (foreign and name in {"content-security-policy", "cache-control"}):
                        headers.setdefault(name, value)
                if self.is_secure:
                    headers.setdefault("strict-transport-security", TLS_ONLY)
            await send(message)

        return with_headers

    async def _refuse(self, scope: Scope, send: Send, status: int, line: str) -> None:
        is_api = scope["path"].startswith("/api/")
        body = json.dumps({"errors": [line]}) if is_api else line
        headers = {**HEADERS, "content-type": "application/json" if is_api else "text/plain; charset=utf-8"}
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        await send({"type": "http.response.body", "body": body.encode()})


async def require_token(request: Request) -> None:
    """Raise Refused 403 when a request that changes something does not carry the token of its session.

    Forms carry it in a field, programs in a header; what is neither a form nor JSON is refused with 415.
    """
    if request.method in SAFE_METHODS:
        return
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_api = request.url.path.startswith("/api/")
    if kind not in (("application/json",) if is_api else FORMS):
        expected = "application/json" if is_api else "a form"
        raise Refused(415, "E-WEB-102", "content-type", f"{kind or 'none'}", f"send {expected}")
    session = request.cookies.get(desk_of(request).settings.cookie)
    given = request.headers.get(TOKEN_HEADER) if is_api else (await request.form()).get(TOKEN_FIELD)
    if not (session and isinstance(given, str) and hmac.compare_digest(given.encode(), csrf_token(session).encode())):
        raise Refused(403, "E-WEB-102", "token", "missing or of another session", "load the page again and repeat")


def csrf_token(session_token: str) -> str:
    """Return the token of a session's forms; it tells nothing about the session."""
    return hmac.new(session_token.encode(), b"csrf", hashlib.sha256).hexdigest()


def _is_odd(scope: Scope) -> bool:
    path: str = scope["path"]
    raw: bytes = scope.get("raw_path") or b""
    return not path.isprintable() or "\ufffd" in path or ".." in path.split("/") or b"%2e%2e" in raw.lower()


def _limited(receive: Receive) -> Receive:
    """Return a receiver that ends a body which is longer than it said."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > LARGEST_BODY:
            raise Refused(413, "E-WEB-413", "body", "too large", "send less")
        return message

    return counted
