"""Dagster's web pages behind the board: read-only for who may see the whole installation, full for who may operate it.

Dagster knows no login and no rights for a dossier, so whoever sees less than everything does not get there. What goes
through carries nothing of the board's session.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
from fastapi import APIRouter, Request, WebSocket
from fastapi_proxy_lib.core.http import ReverseHttpProxy
from fastapi_proxy_lib.core.websocket import ReverseWebSocketProxy
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Scope

from erpcrm_orchestration.board.desk import Reader, authorize, reader_of
from erpcrm_orchestration.board.faults import Denied, Refused, SignInNeeded
from erpcrm_orchestration.board.settings import BoardSettings
from erpcrm_orchestration.domain.access import EVERY_DOSSIER, Access

OWN_HEADERS = frozenset({b"cookie", b"authorization", b"x-forwarded-for", b"x-forwarded-host", b"forwarded"})
"""What Dagster has no use for, or must not believe."""
POLICY_VIOLATION = 1008
PATIENCE = httpx.Timeout(60, connect=5)

Way = TypeVar("Way", ReverseHttpProxy, ReverseWebSocketProxy)

router = APIRouter(include_in_schema=False)


class DagsterProxies:
    """The way to both of Dagster's web servers; None where none runs."""

    def __init__(self, settings: BoardSettings) -> None:
        self._addresses = {Access.VIEW: settings.dagster_read_url, Access.OPERATE: settings.dagster_url}
        self._http: dict[Access, ReverseHttpProxy] = {}
        self._sockets: dict[Access, ReverseWebSocketProxy] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hold the connections open for the block."""
        for access, address in self._addresses.items():
            if address:
                client = httpx.AsyncClient(timeout=PATIENCE, trust_env=False)
                self._http[access] = ReverseHttpProxy(client, base_url=f"{address}/")
                self._sockets[access] = ReverseWebSocketProxy(
                    httpx.AsyncClient(timeout=PATIENCE, trust_env=False), base_url=f"{address.replace('http', 'ws', 1)}/"
                )
        try:
            yield
        finally:
            for proxy in (*self._http.values(), *self._sockets.values()):
                await proxy.aclose()

    def http(self, reader: Reader) -> ReverseHttpProxy:
        """Return the way for this person; raise Denied where no Dagster runs."""
        return _chosen(self._http, reader)

    def socket(self, reader: Reader) -> ReverseWebSocketProxy:
        """Return the way for this person; raise Denied where no Dagster runs."""
        return _chosen(self._sockets, reader)


@router.api_route("/dagster", methods=["GET"], name="dagster")
@router.api_route("/dagster/{path:path}", methods=["GET", "HEAD", "POST"])
async def dagster(request: Request, path: str = "") -> Response:
    """Hand a request on to Dagster."""
    reader = await run_in_threadpool(_allowed, request)
    _refuse(request, path)
    proxies: DagsterProxies = request.app.state.dagster
    onward = Request(_without_session(request.scope), request.receive)
    answer = await proxies.http(reader).proxy(request=onward, path=request.url.path.removeprefix("/"))
    if answer.status_code == httpx.codes.BAD_GATEWAY:
        raise Refused(502, "E-WEB-502", "Dagster", "it does not answer", "the board goes on without it; try again later")
    if location := answer.headers.get("location"):
        # Dagster knows only its own address, to which nobody shall be sent.
        answer.headers["location"] = urlsplit(location)._replace(scheme="", netloc="").geturl()
    return answer


@router.websocket("/dagster/{path:path}")
async def dagster_socket(socket: WebSocket, path: str = "") -> None:
    """Hand a connection on to Dagster; its origin was checked before."""
    try:
        reader = await run_in_threadpool(_allowed, socket)
        proxy = socket.app.state.dagster.socket(reader)
    except (Denied, SignInNeeded):
        await socket.close(POLICY_VIOLATION)
        return
    onward = WebSocket(_without_session(socket.scope), socket.receive, socket.send)
    await proxy.proxy(websocket=onward, path=f"dagster/{path}")


def may_see_dagster(reader: Reader) -> bool:
    """True when Dagster runs and the person may see the whole installation."""
    return bool(reader.desk.settings.dagster_read_url) and reader.person.may(Access.VIEW, EVERY_DOSSIER)


def _allowed(request: Request | WebSocket) -> Reader:
    reader = reader_of(request)
    authorize(reader, Access.VIEW)
    return reader


def _refuse(request: Request, path: str) -> None:
    """Raise Refused for what would let a link or a stranger's page act: GraphQL by GET, reports, and forms."""
    first = path.partition("/")[0]
    if first.startswith("report_"):
        raise Denied
    if first == "graphql" and request.method != "POST":
        raise Refused(405, "E-WEB-405", "Dagster", "GraphQL by GET", "send it by POST")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and kind not in {"application/json", "multipart/form-data"}:
        raise Refused(415, "E-WEB-102", "content-type", kind or "none", "send application/json")


def _chosen(ways: Mapping[Access, Way], reader: Reader) -> Way:
    access = Access.OPERATE if reader.person.may(Access.OPERATE, EVERY_DOSSIER) else Access.VIEW
    if access not in ways:
        raise Denied
    return ways[access]


def _without_session(scope: Scope) -> Scope:
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name not in OWN_HEADERS]}
