"""Fields that two systems changed differently: what both held, what each tells now, and the decision of a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse, Response

from erpcrm_orchestration.board.desk import Operator, Reader, Viewer, authorize, authorize_named
from erpcrm_orchestration.board.faults import Denied
from erpcrm_orchestration.board.pages import page
from erpcrm_orchestration.board.query import Number
from erpcrm_orchestration.board.records import Reason
from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.services import conflict as service
from erpcrm_orchestration.services.conflict import Choice, Decided, Whose
from erpcrm_orchestration.services.inbox_correction import Author
from erpcrm_orchestration.store.conflict import Open

MOST = 500

api = APIRouter(prefix="/api/v1", tags=["conflicts"])
pages = APIRouter(include_in_schema=False)


class ConflictQuery(BaseModel):
    """Which conflicts; `open` are those that nobody decided."""

    model_config = ConfigDict(extra="forbid")

    dossier: str = Field("", max_length=16)
    state: Literal["open", "all"] = "open"


class ConflictLine(BaseModel):
    """A field with the value that both held, ours and the system's; addresses as texts."""

    conflict_id: int
    dossier_code: str
    system_code: str
    entity: str
    record_id: int
    field: str
    base_value: str | None
    our_value: str | None
    their_value: str | None
    opened_at: AwareDatetime
    closed_at: AwareDatetime | None
    resolution: str | None
    external_id: str | None
    message_id: int | None


class DecisionForm(BaseModel):
    """Whose value stands, or which; and the values that were shown, so that nothing else is decided."""

    whose: Whose
    value: str = Field("", max_length=5_000)
    reason: str = Field("", max_length=500)
    our_value: str | None = None
    their_value: str | None = None


class Decision(DecisionForm):
    """A decision; it says why."""

    reason: Reason


class DecisionAnswer(BaseModel):
    """What stands now, and how many changes were queued; `left`: the system is not written to and keeps its value."""

    value: str | None
    queued: int
    left: bool


def find_conflicts(reader: Reader, query: ConflictQuery) -> list[ConflictLine]:
    """Return the conflicts that the reader may see, the newest first."""
    authorize_named(reader, Access.VIEW, query.dossier)
    found = service.listed(
        reader.desk.engine,
        query.dossier or None,
        closed=query.state == "all",
        limit=MOST,
        person_id=reader.person.person_id,
    )
    return [ConflictLine(**vars(one)) for one in found]


def find_conflict(reader: Reader, dossier: str, conflict_id: int, access: Access = Access.VIEW) -> Open:
    """Return one conflict; raise Denied when there is none."""
    authorize(reader, access, dossier)
    try:
        return service.read(reader.desk.engine, dossier, conflict_id)
    except InputError as error:
        raise Denied from error


def decide(reader: Reader, dossier: str, conflict_id: int, order: DecisionForm) -> Decided:
    """Let a value stand; raise InputError E-COR-031 to 034 when it is not what was shown any more."""
    found = find_conflict(reader, dossier, conflict_id, Access.OPERATE)
    seen = replace(found, our_value=order.our_value, their_value=order.their_value)
    choice, author = Choice(order.whose, order.value), Author(reader.actor, order.reason)
    return service.decide(reader.desk.engine, dossier, conflict_id, choice, author, clock=reader.desk.clock, seen=seen)


@api.get("/conflicts")
def get_conflicts(reader: Viewer, query: Annotated[ConflictQuery, Query()]) -> list[ConflictLine]:
    """List conflicts of fields."""
    return find_conflicts(reader, query)


@api.post("/conflicts/{dossier}/{conflict_id}")
def post_decision(reader: Operator, dossier: str, conflict_id: Number, order: Decision) -> DecisionAnswer:
    """Decide a conflict; the systems that hold something else are told by the next round."""
    done = decide(reader, dossier, conflict_id, order)
    return DecisionAnswer(value=done.value, queued=done.queued, left=done.left)


@pages.get("/conflicts", name="conflicts")
def conflicts_page(request: Request, reader: Viewer, query: Annotated[ConflictQuery, Query()]) -> Response:
    """Show the conflicts."""
    return _page(request, reader, query)


@pages.post("/conflicts/{dossier}/{conflict_id}")
def decision_form(
    request: Request, reader: Operator, dossier: str, conflict_id: Number, order: Annotated[DecisionForm, Form()]
) -> Response:
    """Decide a conflict."""
    try:
        decide(reader, dossier, conflict_id, order)
    except InputError as error:
        return _page(request, reader, ConflictQuery(dossier=dossier), fault=str(error))
    return RedirectResponse("/conflicts", 303)


def _page(request: Request, reader: Reader, query: ConflictQuery, *, fault: str | None = None) -> Response:
    found = find_conflicts(reader, query)
    operable = [one.conflict_id for one in found if reader.person.may(Access.OPERATE, one.dossier_code)]
    values = {"query": query, "conflicts": found, "operable": operable, "fault": fault, "most": MOST}
    return page(request, "conflicts.html", values, status=422 if fault else 200)
