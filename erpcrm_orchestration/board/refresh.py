"""Refresh data: a request that a sensor turns into one run, however often it is asked for meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import RedirectResponse, Response

from erpcrm_orchestration.board.desk import REFRESHES, Anybody, Reader, authorize
from erpcrm_orchestration.board.faults import Denied, Refused
from erpcrm_orchestration.board.pages import page
from erpcrm_orchestration.config.kinds import DOSSIER_CODE
from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.services.dossier_edit import add
from erpcrm_orchestration.store.dossier import load_dossier
from erpcrm_orchestration.store.event import record_event
from erpcrm_orchestration.store.ledger import request_refresh
from erpcrm_orchestration.store.refresh_state import RequestState, read_requests
from erpcrm_orchestration.store.widget_page import codes_granted

MOST_DOSSIERS = 10_000

api = APIRouter(prefix="/api/v1", tags=["refresh"])
pages = APIRouter(include_in_schema=False)

Code = Annotated[str, Field(min_length=1, max_length=16)]


class RefreshWish(BaseModel):
    """`dossiers` None asks for every dossier that you may refresh."""

    dossiers: list[Code] | None = Field(None, max_length=MOST_DOSSIERS)


class RefreshRequest(BaseModel):
    """What became of a request; the same request is joined by everybody who asks while it is open."""

    request_id: int
    dossier_code: str
    state: Literal["REQUESTED", "RUNNING", "DONE", "FAILED"]
    requested_by: str
    requested_at: AwareDatetime
    closed_at: AwareDatetime | None
    run_id: str | None
    reason: str | None


class RefreshAnswer(BaseModel):
    """The open requests, by dossier code."""

    requests: list[RefreshRequest]


def ask(reader: Reader, codes: Sequence[str] | None) -> list[RefreshRequest]:
    """Ask for a refresh of these dossiers, by default of all that the reader may refresh; no mail is sent by it.

    Raises Denied when one of them is unknown or not the reader's to refresh; nothing is asked for then.
    """
    reader.desk.require_rate(REFRESHES, "refresh", reader.actor)
    now = reader.desk.clock.now()
    for code in codes or ():
        authorize(reader, Access.REFRESH, code)
    with reader.desk.engine.begin() as connection:
        allowed = codes_granted(connection, reader.person.person_id, Access.REFRESH)
        wanted = allowed if codes is None else sorted(set(codes))
        if not wanted or not set(wanted) <= set(allowed):
            raise Denied
        ids = request_refresh(connection, wanted, by=reader.actor, notify=False, now=now)
        details = {"dossiers": len(wanted), "requests": sorted(set(ids.values()))[:20]}
        only = wanted[0] if len(wanted) == 1 else None
        record_event(
            connection, at=now, actor=reader.actor, action="refresh", dossier_code=only, address=reader.address, details=details
        )
        found = read_requests(connection, reader.person.person_id, list(ids.values()))
    return [_answer(one) for one in found]


def states(reader: Reader, request_ids: Sequence[int]) -> list[RefreshRequest]:
    """Return what became of these requests; those of dossiers that the reader may not see are left out."""
    with reader.desk.engine.connect() as connection:
        return [_answer(one) for one in read_requests(connection, reader.person.person_id, request_ids)]


@api.post("/refreshes", status_code=202)
def post_refresh(reader: Anybody, wish: RefreshWish) -> RefreshAnswer:
    """Ask for a refresh; whoever asks for the same dossier while it is open joins the request."""
    return RefreshAnswer(requests=ask(reader, wish.dossiers))


@api.get("/refreshes")
def get_refreshes(reader: Anybody, request_id: Annotated[str, Query(max_length=2000)]) -> RefreshAnswer:
    """Return what became of requests; `request_id` is one number, or several with commas."""
    return RefreshAnswer(requests=states(reader, _numbers(request_id)))


@pages.post("/refresh", name="refresh")
def refresh_form(request: Request, reader: Anybody, dossier: Annotated[str, Form(max_length=16)] = "") -> Response:
    """Ask for a refresh of one dossier, or of all, and show its progress."""
    found = ask(reader, [dossier] if dossier else None)
    numbers = ",".join(str(one.request_id) for one in found[:200])
    return RedirectResponse(f"/refreshes?request_id={numbers}", 303)


@pages.get("/refreshes", name="refreshes")
def refreshes_page(request: Request, reader: Anybody, request_id: Annotated[str, Query(max_length=2000)]) -> Response:
    """Show the progress of a refresh, live, until it has ended."""
    found = states(reader, _numbers(request_id))
    if not found:
        raise Denied
    ended = [one for one in found if one.closed_at is not None]
    failed = [one for one in found if one.state == "FAILED"]
    values = {"requests": found, "ended": len(ended), "failed": failed, "is_over": len(ended) == len(found)}
    return page(request, "refreshes.html", values)


@pages.post("/dossiers", name="add_dossier")
def add_dossier(
    reader: Anybody,
    dossier: Annotated[str, Form(max_length=16)],
    crm_project_code: Annotated[str, Form(max_length=200)],
    name: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Create a dossier that is not there yet, and ask for its first refresh; needs the right `admin` for it."""
    if not DOSSIER_CODE.fullmatch(dossier):
        raise Refused(422, "E-DOS-091", "dossier", f"{dossier!a} is no code", "take up to 16 letters, digits, _ and -")
    authorize(reader, Access.ADMIN, dossier)
    with reader.desk.engine.connect() as connection:
        is_there = load_dossier(connection, dossier) is not None
    if not is_there:
        words = [f"crm_project_code={crm_project_code}", *([f"name={name}"] if name else [])]
        add(reader.desk.engine, dossier, words, clock=reader.desk.clock, actor=reader.actor)
    found = ask(reader, [dossier])
    return RedirectResponse(f"/refreshes?request_id={found[0].request_id}", 303)


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise Refused(422, "E-WEB-101", "request_id", "not numbers with commas", "give numbers")
    return [int(part) for part in parts]


def _answer(one: RequestState) -> RefreshRequest:
    return RefreshRequest(**vars(one))
