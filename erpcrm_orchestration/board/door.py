"""The door: signing in and out, the link that sets a password once, and what a person chose for themselves."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse, Response

from erpcrm_orchestration.board.desk import (
    SIGN_INS_OF_A_LOGIN,
    SIGN_INS_OF_AN_ADDRESS,
    Anybody,
    Desk,
    TheDesk,
    authorize,
)
from erpcrm_orchestration.board.faults import Denied
from erpcrm_orchestration.board.pages import page
from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.languages import Language
from erpcrm_orchestration.services.sign_in import SignInRefused, Visit, accept, invited, sign_in, sign_out
from erpcrm_orchestration.store.person import LONGEST, change_person

api = APIRouter(prefix="/api/v1", tags=["me"])
open_pages = APIRouter(include_in_schema=False)
"""What nobody has to be signed in for: it carries no token of a session, the origin is checked."""
pages = APIRouter(include_in_schema=False)

Word = Annotated[str, Form(max_length=200)]
Password = Annotated[str, Form(max_length=1000)]
Next = Annotated[str, Form(alias="next", max_length=2000)]


class Me(BaseModel):
    """Who you are here, and what you may."""

    login: str
    display_name: str
    language: str
    default_dossier_code: str | None
    grants: dict[str, Access] = Field(description="Right for each dossier code; * is every dossier and the installation")


@api.get("/me")
def get_me(reader: Anybody) -> Me:
    """Return who is signed in."""
    who = reader.person
    return Me(
        login=who.login,
        display_name=who.display_name,
        language=reader.say.language.value,
        default_dossier_code=who.default_dossier_code,
        grants=dict(who.grants),
    )


@open_pages.get("/sign-in", name="sign_in_page")
def sign_in_page(
    request: Request, desk: TheDesk, target: Annotated[str, Query(alias="next", max_length=2000)] = "/"
) -> Response:
    """Show the form."""
    return _sign_in_page(request, desk, target)


@open_pages.post("/sign-in")
def sign_in_form(request: Request, desk: TheDesk, login: Word = "", password: Password = "", target: Next = "/") -> Response:
    """Begin a session, or show the form again without saying what was wrong."""
    address = address_of(request)
    desk.require_rate(SIGN_INS_OF_AN_ADDRESS, "sign-in", address)
    desk.require_rate(SIGN_INS_OF_A_LOGIN, "sign-in", login.casefold())
    try:
        visit = sign_in(desk.engine, login, password, clock=desk.clock, address=address)
    except SignInRefused:
        return _sign_in_page(request, desk, target, refused=True)
    return opened(desk, visit, local(target))


@open_pages.get("/link/{token}", name="link_page")
def link_page(request: Request, desk: TheDesk, token: str) -> Response:
    """Show the form in which a password is set, and a login when it is the first administrator's link."""
    found = invited(desk.engine, token, clock=desk.clock)
    if found is None:
        raise Denied
    return page(request, "link.html", {"token": token, "invited": found[0], "fault": None})


@open_pages.post("/link/{token}")
def link_form(request: Request, desk: TheDesk, token: str, password: Password = "", login: Word = "") -> Response:
    """Set the password and begin a session."""
    address = address_of(request)
    desk.require_rate(SIGN_INS_OF_AN_ADDRESS, "sign-in", address)
    found = invited(desk.engine, token, clock=desk.clock)
    if found is None:
        raise Denied
    try:
        visit = accept(desk.engine, token, password, login=login, clock=desk.clock, address=address)
    except InputError as error:
        return page(request, "link.html", {"token": token, "invited": found[0], "fault": str(error)}, status=422)
    return opened(desk, visit, "/")


@pages.post("/sign-out", name="sign_out")
def sign_out_form(request: Request, reader: Anybody) -> Response:
    """End the session."""
    sign_out(reader.desk.engine, reader.visit, clock=reader.desk.clock, address=reader.address)
    answer = RedirectResponse("/sign-in", 303)
    # A browser takes nothing of a `__Host-` cookie without `secure`, its end neither.
    answer.delete_cookie(reader.desk.settings.cookie, httponly=True, secure=reader.desk.settings.is_secure, samesite="lax")
    return answer


@pages.get("/me", name="me")
def me_page(request: Request, reader: Anybody) -> Response:
    """Show what the person chose, and what they may."""
    return page(request, "me.html")


@pages.post("/me")
def me_form(
    request: Request,
    reader: Anybody,
    language: Annotated[Language | None, Form()] = None,
    theme: Annotated[str, Form(pattern="^(light|dark|)$")] = "",
    default_dossier: Annotated[str, Form(max_length=16)] = "",
) -> Response:
    """Keep language, colours and default dossier of the person."""
    if default_dossier:
        authorize(reader, Access.VIEW, default_dossier)
    with reader.desk.engine.begin() as connection:
        change_person(
            connection,
            reader.person.person_id,
            now=reader.desk.clock.now(),
            language=language.value if language else None,
            theme=theme or None,
            default_dossier_code=default_dossier or None,
        )
    return RedirectResponse("/me", 303)


def _sign_in_page(request: Request, desk: Desk, target: str, *, refused: bool = False) -> Response:
    provider = desk.settings.oidc.name if desk.settings.oidc else None
    values = {"next": local(target), "refused": refused, "provider": provider}
    return page(request, "sign_in.html", values, status=401 if refused else 200)


def opened(desk: Desk, visit: Visit, target: str) -> Response:
    """Return the way to the page, with the cookie of the session."""
    answer = RedirectResponse(target, 303)
    answer.set_cookie(
        desk.settings.cookie,
        visit.token,
        max_age=int(LONGEST.total_seconds()),
        httponly=True,
        secure=desk.settings.is_secure,
        samesite="lax",
        path="/",
    )
    return answer


def local(target: str) -> str:
    """Return the address when it is one of our own pages, else the first page: nobody is sent to another site."""
    parts = urlsplit(target)
    is_ours = not parts.scheme and not parts.netloc and target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if is_ours and target.isprintable() else "/"


def address_of(request: Request) -> str:
    """Return where a request comes from."""
    return request.client.host if request.client else "unknown"
