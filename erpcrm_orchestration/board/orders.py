"""Execution orders of background routines: what was ordered and became of it; scheduling, cancelling and retrying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from erpcrm_orchestration.board import order_desk
from erpcrm_orchestration.board.desk import Operator, Reader, Viewer, authorize
from erpcrm_orchestration.board.faults import lines_of, status_of
from erpcrm_orchestration.board.order_desk import (
    AudiencePreview,
    OrderAnswer,
    OrderLine,
    OrderMade,
    OrderPage,
    OrderQuery,
    OrderWish,
    ResultQuery,
)
from erpcrm_orchestration.board.pages import page
from erpcrm_orchestration.board.query import Number
from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.errors import ErpcrmError, Findings, InputError
from erpcrm_orchestration.domain.routine import OrderState
from erpcrm_orchestration.routine_words import program_label, state_of_order
from erpcrm_orchestration.services.programs import known_programs
from erpcrm_orchestration.store import order as store
from erpcrm_orchestration.store.configuration import load_mail_templates
from erpcrm_orchestration.store.routine_settings import load
from erpcrm_orchestration.store.widget_page import codes_granted

MOST_CHOICES = 50
"""So many dossiers are offered to choose from; where there are more, the code is typed."""
PARAMETER = "p:"
"""A field of the form that is a parameter of the program begins with it."""

api = APIRouter(prefix="/api/v1", tags=["orders"])
pages = APIRouter(include_in_schema=False)


class NewQuery(BaseModel):
    """What a link to the form says already."""

    model_config = ConfigDict(extra="forbid")

    dossier: str = Field("", max_length=16)
    program: str = Field("", max_length=60)


@dataclass(frozen=True)
class Shown:
    """A page of the form: what was typed, what is wrong with it, and which accounts were asked for."""

    typed: Mapping[str, str]
    faults: Sequence[str] = ()
    preview: AudiencePreview | None = None
    status: int = 200


@api.get("/orders")
def get_orders(reader: Viewer, query: Annotated[OrderQuery, Query()]) -> OrderPage:
    """List execution orders, the newest first."""
    found, total = order_desk.find_orders(reader, query)
    return OrderPage(orders=[OrderLine.of(one) for one in found], **query.counted(total))


@api.post("/orders", status_code=201)
def post_order(reader: Operator, wish: OrderWish) -> OrderMade:
    """Schedule a routine; it runs in the background."""
    return OrderMade(order_number=order_desk.schedule(reader, wish))


@api.get("/orders/{order_number}")
def get_order(reader: Viewer, order_number: Number, query: Annotated[ResultQuery, Query()]) -> OrderAnswer:
    """Return an order and a page of what became of single accounts, errors first."""
    return order_desk.read(reader, order_number, query)


@api.post("/orders/{order_number}/cancel", status_code=204)
def post_cancel(reader: Operator, order_number: Number) -> None:
    """Cancel an order that has not started."""
    order_desk.cancel(reader, order_number)


@api.post("/orders/{order_number}/retry", status_code=204)
def post_retry(reader: Operator, order_number: Number) -> None:
    """Let a failed order start again; it goes on after the accounts that were handled."""
    order_desk.retry(reader, order_number)


@api.get("/audiences/{audience}/preview")
def get_preview(reader: Viewer, audience: str, dossier: Annotated[str, Query(min_length=1, max_length=16)]) -> AudiencePreview:
    """Say how many accounts of a dossier an audience holds now, and show the first of them."""
    return order_desk.preview(reader, dossier, audience)


@pages.get("/orders", name="orders")
def orders_page(request: Request, reader: Viewer, query: Annotated[OrderQuery, Query()]) -> Response:
    """Show what was ordered and what became of it."""
    found, total = order_desk.find_orders(reader, query)
    values = {
        "query": query,
        "orders": found,
        "counted": query.counted(total),
        "programs": _labels(reader),
        "states": {one.value: state_of_order(one, reader.say) for one in OrderState},
        "may_order": reader.person.may_somewhere(Access.OPERATE),
    }
    return page(request, "orders.html", values)


@pages.get("/orders/new", name="order_new")
def new_page(request: Request, reader: Operator, query: Annotated[NewQuery, Query()]) -> Response:
    """Show the form of an order."""
    if query.dossier:
        authorize(reader, Access.OPERATE, query.dossier)
    dossier = query.dossier or reader.person.default_dossier_code or ""
    return _form(request, reader, Shown({"dossier": dossier, "program": query.program}))


@pages.post("/orders/new")
async def order_form(request: Request, reader: Operator) -> Response:
    """Schedule the order that the form says, or show which accounts it would consider."""
    typed = {name: str(value) for name, value in (await request.form()).items()}
    return await run_in_threadpool(_take, request, reader, typed)


@pages.get("/orders/{order_number}", name="order")
def order_page(request: Request, reader: Viewer, order_number: Number, query: Annotated[ResultQuery, Query()]) -> Response:
    """Show an order, live until it has ended."""
    return _order(request, reader, order_number, query)


@pages.post("/orders/{order_number}/cancel")
def cancel_form(request: Request, reader: Operator, order_number: Number) -> Response:
    """Cancel an order that has not started."""
    try:
        order_desk.cancel(reader, order_number)
    except InputError as error:
        return _order(request, reader, order_number, ResultQuery(), fault=error)
    return RedirectResponse(f"/orders/{order_number}", 303)


@pages.post("/orders/{order_number}/retry")
def retry_form(request: Request, reader: Operator, order_number: Number) -> Response:
    """Let a failed order start again."""
    try:
        order_desk.retry(reader, order_number)
    except InputError as error:
        return _order(request, reader, order_number, ResultQuery(), fault=error)
    return RedirectResponse(f"/orders/{order_number}", 303)


def _take(request: Request, reader: Reader, typed: Mapping[str, str]) -> Response:
    try:
        if typed.get("step") == "look":
            return _form(request, reader, Shown(typed, preview=_looked(reader, typed)))
        number = order_desk.schedule(reader, _wish(typed))
    except ValidationError as error:
        return _form(request, reader, Shown(typed, lines_of(error.errors()), status=422))
    except ErpcrmError as error:
        lines = error.lines if isinstance(error, Findings) else (str(error),)
        return _form(request, reader, Shown(typed, lines, status=422))
    return RedirectResponse(f"/orders/{number}", 303)


def _looked(reader: Reader, typed: Mapping[str, str]) -> AudiencePreview | None:
    return order_desk.preview(reader, typed.get("dossier", ""), typed["audience"]) if typed.get("audience") else None


def _wish(typed: Mapping[str, str]) -> OrderWish:
    """Return what a form says; an empty field says nothing."""
    said = {name: text.strip() for name, text in typed.items() if text.strip() and name in OrderWish.model_fields}
    given = {name.removeprefix(PARAMETER): text for name, text in typed.items() if name.startswith(PARAMETER) and text.strip()}
    return OrderWish.model_validate({"dossier": "", "program": "", **said, "parameters": given})


def _labels(reader: Reader) -> dict[str, str]:
    return {code: program_label(one, reader.say) for code, one in known_programs().items()}


def _form(request: Request, reader: Reader, shown: Shown) -> Response:
    programs = known_programs()
    takers: dict[str, list[str]] = {}
    for code, program in programs.items():
        for name in program.parameters:
            takers.setdefault(name, []).append(code)
    with reader.desk.engine.connect() as connection:
        dossiers = codes_granted(connection, reader.person.person_id, Access.OPERATE)
        values: dict[str, Any] = {
            "servers": list(load(connection, "servers")),
            "audiences": load(connection, "audiences"),
            "agendas": load(connection, "agendas"),
            "choices": {"template": list(load_mail_templates(connection)), "monitor": list(load(connection, "monitors"))},
        }
    values |= {"programs": programs, "labels": _labels(reader), "takers": takers, "typed": shown.typed}
    values |= {"dossiers": dossiers if len(dossiers) <= MOST_CHOICES else None, "prefix": PARAMETER}
    values |= {"faults": shown.faults, "preview": shown.preview}
    return page(request, "order_new.html", values, status=shown.status)


def _order(
    request: Request, reader: Reader, order_number: int, query: ResultQuery, *, fault: InputError | None = None
) -> Response:
    found = order_desk.read(reader, order_number, query)
    with reader.desk.engine.connect() as connection:
        parent = store.read_order(connection, found.depends_on) if found.depends_on else None
        following = store.read_order(connection, found.next_order) if found.next_order else None
        server = load(connection, "servers").get(found.server_code or "")
    program = known_programs().get(found.program)
    values = {
        "one": found,
        "label": program_label(program, reader.say) if program else found.program,
        "original": program.original if program else "",
        "state": state_of_order(found.state, reader.say),
        "parent": parent,
        "parent_state": state_of_order(parent.state, reader.say) if parent else "",
        "following": following,
        "server": server,
        "zone": ZoneInfo(found.time_zone),
        "may_operate": reader.person.may(Access.OPERATE, found.dossier_code),
        "fault": str(fault) if fault else None,
        "address": request.url.replace(path=f"/orders/{order_number}"),
    }
    return page(request, "order.html", values, status=status_of(fault) if fault else 200)
