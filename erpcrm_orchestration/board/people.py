"""People and their rights, for administrators; and what happened at the door."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import RedirectResponse, Response

from erpcrm_orchestration.board.desk import Administrator, Reader
from erpcrm_orchestration.board.faults import Denied, Refused
from erpcrm_orchestration.board.pages import page
from erpcrm_orchestration.board.query import Counted, Number, Paged
from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.services import people
from erpcrm_orchestration.store.event import list_events
from erpcrm_orchestration.store.person import Account

api = APIRouter(prefix="/api/v1", tags=["people"])
pages = APIRouter(include_in_schema=False)

Code = Annotated[str, Field(min_length=1, max_length=16)]
Name = Annotated[str, Form(max_length=200)]
GrantLines = Annotated[str, Form(max_length=100_000)]


class PersonLine(BaseModel):
    """Somebody who uses the board; `can_sign_in` is False until a password or an identity is set."""

    person_id: int
    login: str
    display_name: str
    email: str | None
    active: bool
    can_sign_in: bool
    grants: dict[str, Access]


class PersonChange(BaseModel):
    """What somebody shall be; `grants` tells the right for each dossier code, `*` is every dossier and the installation."""

    display_name: str = Field("", max_length=200)
    email: str | None = Field(None, max_length=254)
    grants: dict[Code, Access] = Field(default_factory=dict, max_length=10_000)
    active: bool = True


class NewPerson(PersonChange):
    """Somebody new."""

    login: str = Field(min_length=1, max_length=128)


class Invitation(BaseModel):
    """The address with which somebody sets a password, once, within seven days. It is shown here and nowhere else."""

    person_id: int
    link: str


class EventLine(BaseModel):
    """Something that happened at the board."""

    event_id: int
    at: AwareDatetime
    actor: str
    action: str
    outcome: str
    dossier_code: str | None
    address: str | None
    details: dict[str, Any]


class EventPage(Counted):
    """Events of one page, the newest first."""

    events: list[EventLine]


class EventQuery(Paged):
    """Which events."""

    actor: str = Field("", max_length=200)
    outcome: str = Field("", pattern="^(ok|denied|failed|)$")


def find_events(reader: Reader, query: EventQuery) -> EventPage:
    """Return a page of what happened at the board."""
    with reader.desk.engine.connect() as connection:
        rows, total = list_events(
            connection, actor=query.actor or None, outcome=query.outcome or None, limit=query.size, offset=query.offset
        )
    return EventPage(events=[EventLine(**row) for row in rows], **query.counted(total))


def add(reader: Reader, wish: NewPerson) -> Invitation:
    """Add somebody; return the link."""
    made, token = people.add(reader.desk.engine, wish.login, _wanted(wish), actor=reader.actor, clock=reader.desk.clock)
    return Invitation(person_id=made, link=_link(reader, token))


def change(reader: Reader, person_id: int, wish: PersonChange) -> None:
    """Change somebody; their sessions end."""
    _require(reader, person_id)
    people.change(reader.desk.engine, person_id, _wanted(wish), actor=reader.actor, clock=reader.desk.clock)


def invite(reader: Reader, person_id: int) -> Invitation:
    """Make a new link for somebody."""
    _require(reader, person_id)
    token = people.invite(reader.desk.engine, person_id, actor=reader.actor, clock=reader.desk.clock)
    return Invitation(person_id=person_id, link=_link(reader, token))


@api.get("/people")
def get_people(reader: Administrator) -> list[PersonLine]:
    """List everybody."""
    return [_line(one) for one in people.everybody(reader.desk.engine)]


@api.post("/people", status_code=201)
def post_person(reader: Administrator, wish: NewPerson) -> Invitation:
    """Add somebody."""
    return add(reader, wish)


@api.post("/people/{person_id}", status_code=204)
def post_change(reader: Administrator, person_id: Number, wish: PersonChange) -> None:
    """Change somebody; their sessions end."""
    change(reader, person_id, wish)


@api.post("/people/{person_id}/invitation", status_code=201)
def post_invitation(reader: Administrator, person_id: Number, _body: dict[str, Any]) -> Invitation:
    """Make a new link; earlier ones become void."""
    return invite(reader, person_id)


@api.get("/events")
def get_events(reader: Administrator, query: Annotated[EventQuery, Query()]) -> EventPage:
    """List what happened at the board: sign-ins, denials, refreshes, exports."""
    return find_events(reader, query)


@pages.get("/people", name="people")
def people_page(request: Request, reader: Administrator) -> Response:
    """Show everybody."""
    return _people(request, reader)


@pages.post("/people")
def add_form(
    request: Request,
    reader: Administrator,
    login: Annotated[str, Form(max_length=128)] = "",
    display_name: Name = "",
    email: Name = "",
    grants: GrantLines = "",
) -> Response:
    """Add somebody, and show the link once."""
    try:
        wish = NewPerson.model_construct(
            login=login, display_name=display_name, email=email.strip() or None, grants=_grants(grants), active=True
        )
        made = add(reader, wish)
    except InputError as error:
        return _people(request, reader, fault=str(error))
    return page(request, "invited.html", {"login": login, "link": made.link})


@pages.get("/people/{person_id}", name="person")
def person_page(request: Request, reader: Administrator, person_id: Number) -> Response:
    """Show one person."""
    return _person(request, reader, person_id)


@pages.post("/people/{person_id}")
def person_form(
    request: Request,
    reader: Administrator,
    person_id: Number,
    display_name: Name = "",
    email: Name = "",
    grants: GrantLines = "",
    active: Annotated[bool, Form()] = False,
) -> Response:
    """Change somebody."""
    try:
        wish = PersonChange.model_construct(
            display_name=display_name, email=email.strip() or None, grants=_grants(grants), active=active
        )
        change(reader, person_id, wish)
    except InputError as error:
        return _person(request, reader, person_id, fault=str(error))
    return RedirectResponse("/people", 303)


@pages.post("/people/{person_id}/invite")
def invite_form(request: Request, reader: Administrator, person_id: Number) -> Response:
    """Make a new link, and show it once."""
    made = invite(reader, person_id)
    account = people.find(reader.desk.engine, person_id)
    return page(request, "invited.html", {"login": account.person.login if account else "", "link": made.link})


@pages.get("/events", name="events")
def events_page(request: Request, reader: Administrator, query: Annotated[EventQuery, Query()]) -> Response:
    """Show what happened at the board."""
    return page(request, "events.html", {"query": query, "found": find_events(reader, query)})


def _people(request: Request, reader: Reader, *, fault: str | None = None) -> Response:
    return page(request, "people.html", {"people": get_people(reader), "fault": fault}, status=422 if fault else 200)


def _person(request: Request, reader: Reader, person_id: int, *, fault: str | None = None) -> Response:
    line = _line(_require(reader, person_id))
    lines = "\n".join(f"{code} {access.value}" for code, access in sorted(line.grants.items()))
    return page(request, "person.html", {"one": line, "lines": lines, "fault": fault}, status=422 if fault else 200)


def _require(reader: Reader, person_id: int) -> Account:
    account = people.find(reader.desk.engine, person_id)
    if account is None:
        raise Denied
    return account


def _grants(text: str) -> dict[str, Access]:
    """Return the rights of lines `code right`; raise Refused for a line that is none."""
    found: dict[str, Access] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        code, _, word = line.strip().partition(" ")
        if word.strip() not in set(Access) or code in found or len(code) > 16:
            raise Refused(422, "E-WEB-023", "grants", f"{line.strip()!a:.60}", "write one dossier and one right on each line")
        found[code] = Access(word.strip())
    return found


def _wanted(wish: PersonChange) -> people.Wanted:
    return people.Wanted(wish.display_name, wish.email, wish.grants, wish.active)


def _line(account: Account) -> PersonLine:
    who = account.person
    return PersonLine(
        person_id=who.person_id,
        login=who.login,
        display_name=who.display_name,
        email=account.email,
        active=account.active,
        can_sign_in=bool(account.password_hash or account.oidc_subject),
        grants=dict(who.grants),
    )


def _link(reader: Reader, token: str) -> str:
    return f"{reader.desk.settings.public_url}/link/{token}"
