"""What goes wrong with a request, and what the person reads: one line and a number, never a trace."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg import DataError, OperationalError
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from erpcrm_orchestration.domain.errors import (
    ErpcrmError,
    FenceError,
    Findings,
    InputError,
    SourceError,
    StoreError,
    one_line,
)

_log = logging.getLogger(__name__)

STATUS: tuple[tuple[type[ErpcrmError], int], ...] = (
    (Findings, 422),
    (InputError, 422),
    (FenceError, 409),
    (StoreError, 503),
    (SourceError, 502),
)
STALE = frozenset({"E-COR-002", "E-COR-003", "E-COR-031", "E-COR-032", "E-COR-034", "E-ORD-010", "E-ORD-011"})
"""Somebody or something was faster: the same request is right again after a look."""
MISSING = frozenset({"E-COR-001", "E-CLI-057", "E-HUB-020", "E-COR-020"})
NOT_THERE = "E-WEB-404 board: there is nothing here that you may see; go back to the dossiers"
UNSTORABLE = "E-WEB-422 request: a value of it cannot be stored, as NUL or a number without end; correct it"
AWAY = "E-DB-001 database: it does not answer; the board comes back by itself when it does"

Answer = Callable[[Request, int, tuple[str, ...]], Response]


class Fault(BaseModel):
    """What went wrong, a line each: `E-AREA-nnn where: what was found; what to do`."""

    errors: list[str]


ANSWERS: dict[int | str, dict[str, Any]] = {
    400: {"model": Fault, "description": "The request is not readable"},
    401: {"model": Fault, "description": "Nobody is signed in"},
    403: {"model": Fault, "description": "The token is missing, or the request comes from another site"},
    404: {"model": Fault, "description": "There is nothing here that you may see"},
    409: {"model": Fault, "description": "Somebody was faster: look again"},
    413: {"model": Fault, "description": "The request is too large"},
    415: {"model": Fault, "description": "The content is not JSON"},
    422: {"model": Fault, "description": "A value is refused"},
    429: {"model": Fault, "description": "Too often: wait a few minutes"},
    503: {"model": Fault, "description": "The database is away"},
}
"""What every address of the API may answer beside its own."""


class SignInNeeded(Exception):
    """Nobody is signed in."""


class Denied(Exception):
    """The person has no right to it: answered like what is not there."""


class Refused(Exception):
    """A request that is refused before any work, with its status."""

    def __init__(self, status: int, code: str, where: str, found: str, remedy: str) -> None:
        self.status = status
        super().__init__(one_line(f"{code} {where}: {found}; {remedy}"))


def is_api(request: Request) -> bool:
    """True for requests of programs: they read JSON."""
    return request.url.path.startswith("/api/")


def as_json(_request: Request, status: int, lines: tuple[str, ...]) -> Response:
    """Return the error as the API says it."""
    return JSONResponse({"errors": list(lines)}, status)


def add_handlers(app: FastAPI, as_page: Answer) -> None:
    """Let the application answer every error: JSON under /api, a page elsewhere."""
    faults = Faults(as_page)
    app.add_middleware(Rescue, answer=faults.unexpected)
    for kind, handler in (
        (SignInNeeded, faults.sign_in_needed),
        (Denied, faults.refused),
        (Refused, faults.refused),
        (ErpcrmError, faults.ours),
        (HTTPException, faults.http),
        (RequestValidationError, faults.invalid),
        (DBAPIError, faults.database),
        (PoolTimeout, faults.database),
    ):
        app.add_exception_handler(kind, handler)


class Rescue:
    """Answers what nobody expected, inside of what sets the headers; the framework's own place for it is outside."""

    def __init__(self, app: ASGIApp, *, answer: Callable[[Request, Exception], Response]) -> None:
        self.app, self.answer = app, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception as error:
            if has_begun or scope["type"] != "http":
                raise
            answer = await run_in_threadpool(self.answer, Request(scope, receive), error)
            await answer(scope, receive, send)


class Faults:
    """Answers errors, each kind in its way."""

    def __init__(self, as_page: Answer) -> None:
        self._as_page = as_page

    def answer(self, request: Request, status: int, *lines: str) -> Response:
        """Return the lines as JSON or as a page."""
        return (as_json if is_api(request) else self._as_page)(request, status, lines)

    def sign_in_needed(self, request: Request, _error: Exception) -> Response:
        """Send a person who reads to the door; a program, or a form that came too late, is told."""
        if is_api(request) or request.method != "GET":
            return self.answer(request, 401, "E-WEB-401 board: nobody is signed in; sign in at /sign-in")
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?{urlencode({'next': target})}", 303)

    def refused(self, request: Request, error: Exception) -> Response:
        """Answer a request that is refused before any work."""
        return self.answer(request, error.status if isinstance(error, Refused) else 404, str(error) or NOT_THERE)

    def ours(self, request: Request, error: Exception) -> Response:
        """Answer an error of our own with its lines."""
        if not isinstance(error, ErpcrmError):
            raise TypeError(error)
        lines = error.lines if isinstance(error, Findings) else (str(error),)
        return self.answer(request, status_of(error), *lines)

    def http(self, request: Request, error: Exception) -> Response:
        """Answer what the framework refuses."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        words = {404: NOT_THERE, 405: "E-WEB-405 board: this address does not take that method; go back"}
        return self.answer(request, status, words.get(status, f"E-WEB-{status} board: the request is refused; go back"))

    def invalid(self, request: Request, error: Exception) -> Response:
        """Answer values that are none."""
        found = error.errors() if isinstance(error, RequestValidationError) else []
        return self.answer(request, 422, *lines_of(found, above=1))

    def database(self, request: Request, error: Exception) -> Response:
        """Answer while the database is away, or cannot hold a value; everything else of it is unexpected."""
        if is_away(error):
            return self.answer(request, 503, AWAY)
        if isinstance(error, DBAPIError) and isinstance(error.orig, DataError):
            return self.answer(request, 422, UNSTORABLE)
        return self.unexpected(request, error)

    def unexpected(self, request: Request, error: Exception) -> Response:
        """Answer a fault of ours with a number that stands in the log, and nothing else."""
        number = secrets.token_hex(4)
        _log.error("error %s of %s %s", number, request.method, request.url.path, exc_info=error)
        return self.answer(request, 500, f"E-WEB-500 board: error {number}; tell an administrator this number")


def status_of(error: ErpcrmError) -> int:
    """Return the HTTP status of one of our errors."""
    if error.code in MISSING:
        return 404
    if error.code in STALE:
        return 409
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def is_away(error: BaseException) -> bool:
    """True when the database cannot be reached, and not our statement is wrong."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error.orig, OperationalError)
    return isinstance(error, PoolTimeout)


def lines_of(faults: Sequence[Mapping[str, Any]], *, above: int = 0) -> tuple[str, ...]:
    """Return values that are none as lines; `above`: so many parts of their places say only where the request holds them."""
    return tuple(_line(one, above) for one in faults[:20])


def _line(fault: Mapping[str, Any], above: int) -> str:
    place = fault.get("loc")
    where = ".".join(str(part) for part in place[above:]) if isinstance(place, tuple) else ""
    return one_line(f"E-WEB-422 {where or 'request'}: {fault.get('msg')}; correct it")
