"""What every request of the board works with, and who makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import HTTPConnection
from starlette.status import HTTP_429_TOO_MANY_REQUESTS

from erpcrm_orchestration.board.faults import Denied, Refused, SignInNeeded
from erpcrm_orchestration.board.settings import BoardSettings
from erpcrm_orchestration.domain.access import EVERY_DOSSIER, Access, Person
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.languages import Language, Translator, known
from erpcrm_orchestration.services.sign_in import Visit, visit
from erpcrm_orchestration.store.event import record_event

REFRESHES = RateLimitItemPerMinute(30)
SIGN_INS_OF_A_LOGIN = RateLimitItemPerMinute(10, 15)
SIGN_INS_OF_AN_ADDRESS = RateLimitItemPerMinute(60, 15)


@dataclass
class Desk:
    """One for each running board; every part of it may be used by several threads at once."""

    engine: sa.Engine
    clock: Clock
    environment: Mapping[str, str]
    settings: BoardSettings
    limiter: MovingWindowRateLimiter = field(default_factory=lambda: MovingWindowRateLimiter(MemoryStorage()))

    def require_rate(self, limit: RateLimitItem, *who: str) -> None:
        """Raise Refused 429 when this happened too often."""
        if not self.limiter.hit(limit, *who):
            raise Refused(
                HTTP_429_TOO_MANY_REQUESTS, "E-WEB-010", who[0], f"more than {limit.amount} times", "wait a few minutes"
            )


@dataclass(frozen=True)
class Reader:
    """Somebody who is signed in, at this desk, in this language: what the functions behind pages and API are given."""

    desk: Desk
    visit: Visit
    say: Translator
    address: str | None = None

    @property
    def person(self) -> Person:
        return self.visit.person

    @property
    def actor(self) -> str:
        """Return the name that stands in audit rows."""
        return self.person.login


def authorize(reader: Reader, access: Access, dossier_code: str = EVERY_DOSSIER) -> None:
    """Raise Denied unless the person has the right for this dossier, by default for the whole installation.

    A denial is noted and answered like something that is not there.
    """
    if reader.person.may(access, dossier_code):
        return
    with reader.desk.engine.begin() as connection:
        record_event(
            connection,
            at=reader.desk.clock.now(),
            actor=reader.actor,
            action=f"needs_{access.value}",
            outcome="denied",
            dossier_code=dossier_code if dossier_code.isprintable() else None,
            address=reader.address,
        )
    raise Denied


def authorize_named(reader: Reader, access: Access, dossier_code: str) -> None:
    """Raise Denied when a query names a dossier for which the person has not the right; without one rows are filtered."""
    if dossier_code:
        authorize(reader, access, dossier_code)


def desk_of(request: HTTPConnection) -> Desk:
    """Return the desk of the running board."""
    found: Desk = request.app.state.desk
    return found


def reader_of(request: HTTPConnection) -> Reader:
    """Return who makes the request; raise SignInNeeded when nobody is signed in."""
    desk = desk_of(request)
    token = request.cookies.get(desk.settings.cookie)
    found = visit(desk.engine, token, clock=desk.clock) if token else None
    if found is None:
        raise SignInNeeded
    say = Translator(language_of(request, found.person))
    reader = Reader(desk, found, say, request.client.host if request.client else None)
    request.state.reader = reader
    return reader


def language_of(request: HTTPConnection, person: Person | None = None) -> Language:
    """Return the person's language, else the first of the browser's that is ours, else English."""
    wanted = [person.language] if person and person.language else []
    wanted += [part.partition(";")[0].strip() for part in request.headers.get("accept-language", "").split(",")[:10]]
    return next((found for one in wanted if (found := known(one))), Language.EN)


def somewhere(access: Access) -> Callable[[Reader], Reader]:
    """Return a dependency that lets in whoever has the right for one dossier at least; rows are filtered in the SQL."""

    def allowed(reader: Annotated[Reader, Depends(reader_of)]) -> Reader:
        if not reader.person.may_somewhere(access):
            authorize(reader, access)
        return reader

    return allowed


def everywhere(access: Access) -> Callable[[Reader], Reader]:
    """Return a dependency that lets in whoever has the right for the whole installation."""

    def allowed(reader: Annotated[Reader, Depends(reader_of)]) -> Reader:
        authorize(reader, access)
        return reader

    return allowed


Anybody = Annotated[Reader, Depends(reader_of)]
Viewer = Annotated[Reader, Depends(somewhere(Access.VIEW))]
Operator = Annotated[Reader, Depends(somewhere(Access.OPERATE))]
InstallationViewer = Annotated[Reader, Depends(everywhere(Access.VIEW))]
InstallationOperator = Annotated[Reader, Depends(everywhere(Access.OPERATE))]
Administrator = Annotated[Reader, Depends(everywhere(Access.ADMIN))]
TheDesk = Annotated[Desk, Depends(desk_of)]
