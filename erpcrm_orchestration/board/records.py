"""The inbox: what is not integrated and why, one record's way, its correction and its relaunch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request
from pydantic import AwareDatetime, BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from erpcrm_orchestration.board.desk import Operator, Reader, Viewer, authorize, authorize_named
from erpcrm_orchestration.board.export import MOST_ROWS, as_csv, as_json, note_export, plain
from erpcrm_orchestration.board.faults import Denied
from erpcrm_orchestration.board.pages import page
from erpcrm_orchestration.board.payload import assignments, form_fields
from erpcrm_orchestration.board.query import Counted, Number, Paged
from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.correction import Assignment
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.errors import ErpcrmError
from erpcrm_orchestration.services import inbox_correction
from erpcrm_orchestration.services.inbox_correction import RELAUNCHED, Author, Correction, Proposal
from erpcrm_orchestration.services.journey import Journey, journey
from erpcrm_orchestration.store import journey as reading
from erpcrm_orchestration.store.connection_state import stopped_streams
from erpcrm_orchestration.store.record_list import RecordFilter, list_records, record_classes

COLUMNS = (
    "message_id", "dossier_code", "system_code", "entity", "source_id", "version_at", "received_at", "via", "state",
    "waiting_for", "error", "warning", "attempts", "error_class",
)  # fmt: skip

api = APIRouter(prefix="/api/v1", tags=["records"])
pages = APIRouter(include_in_schema=False)

StateFilter = Literal["open", "NEW", "WAITING", "REJECTED", "DEAD", "IGNORED", "SUPERSEDED", "TRANSFORMED"]
Reason = Annotated[str, Field(min_length=1, max_length=500)]


class RecordQuery(Paged):
    """Which messages; `open` are those that are not integrated."""

    dossier: str = Field("", max_length=16)
    entity: str = Field("", max_length=40)
    system: str = Field("", max_length=60)
    state: StateFilter = "open"
    source_id: str = Field("", max_length=300)
    error_class: str = Field("", max_length=300)

    def filter(self) -> RecordFilter:
        """Return the filter as the store knows it."""
        return RecordFilter(
            dossier_code=self.dossier or None,
            entities=(self.entity,) if self.entity else (),
            system_code=self.system or None,
            states=() if self.state == "open" else (self.state,),
            source_id=self.source_id or None,
            error_class=self.error_class or None,
        )


class RecordLine(BaseModel):
    """A message without its content; `error_class` is what it has in common with others."""

    message_id: int
    dossier_code: str
    system_code: str
    entity: str
    source_id: str
    version_at: AwareDatetime | None
    received_at: AwareDatetime
    via: str
    state: str
    waiting_for: str | None
    error: str | None
    warning: str | None
    attempts: int
    error_class: str


class ErrorClass(BaseModel):
    """So many messages that are held back by the same."""

    error_class: str
    entity: str
    messages: int
    oldest_at: AwareDatetime


class RecordPage(Counted):
    """Messages of one page, and the classes of all that match."""

    records: list[RecordLine]
    classes: list[ErrorClass]


class CorrectionWish(BaseModel):
    """Values by path, a text or JSON; or the whole `record` as JSON text. `remove` takes values away."""

    set: dict[str, str] = Field(default_factory=dict, max_length=500)
    remove: list[str] = Field(default_factory=list, max_length=500)
    record: str | None = Field(None, max_length=900_000)


class CorrectionOrder(CorrectionWish):
    """A correction with its reason."""

    reason: Reason


class Difference(BaseModel):
    """What differs at a path, as JSON texts; null is nothing at all."""

    path: str
    before: str | None
    after: str | None


class Trial(BaseModel):
    """What would become of a correction; `state` is null when its stream is not read any more."""

    differences: list[Difference]
    state: str | None
    waiting_for: str | None
    warning: str | None


class Corrected(BaseModel):
    """The message that took the place of the corrected one."""

    message_id: int


class RelaunchOrder(BaseModel):
    """Messages of one dossier that enter again, all or none."""

    dossier: str = Field(min_length=1, max_length=16)
    messages: list[Number] = Field(min_length=1, max_length=5_000)
    reason: Reason


class Relaunched(BaseModel):
    """The messages that entered again."""

    messages: list[int]


def find_records(reader: Reader, query: RecordQuery) -> RecordPage:
    """Return a page of messages that the reader may see."""
    authorize_named(reader, Access.VIEW, query.dossier)
    wanted, who = query.filter(), reader.person.person_id
    with reader.desk.engine.connect() as connection:
        rows, total = list_records(connection, who, wanted, limit=query.size, offset=query.offset)
        classes = record_classes(connection, who, wanted) if query.page == 1 else []
    return RecordPage(
        records=[RecordLine(**{name: row[name] for name in COLUMNS}) for row in rows],
        classes=[ErrorClass(**one) for one in classes],
        **query.counted(total),
    )


def find_record(reader: Reader, dossier: str, message_id: int) -> dict[str, Any]:
    """Return a message with its payload, its corrections and the rows that it became."""
    authorize(reader, Access.VIEW, dossier)
    with reader.desk.engine.connect() as connection:
        row = reading.read_message(connection, dossier, message_id)
        if row is None:
            raise Denied
        row["corrections"] = reading.corrections_of(connection, dossier, message_id)
        row["rows"] = reading.rows_of(connection, dossier, message_id)
        row["stopped"] = stopped_streams(connection).get((row["connection_code"], row["stream"]))
    return row


def try_correction(reader: Reader, dossier: str, message_id: int, wish: Correction) -> Proposal:
    """Return the difference and what would become of it; nothing is written."""
    authorize(reader, Access.OPERATE, dossier)
    return inbox_correction.propose(reader.desk.engine, dossier, message_id, wish, clock=reader.desk.clock)


def correct(reader: Reader, dossier: str, message_id: int, wish: Correction, reason: str) -> int:
    """Write a correction; the next round integrates it. Return the number of the message that it made."""
    proposal = try_correction(reader, dossier, message_id, wish)
    author = Author(reader.actor, reason)
    run_id = f"board-{reader.person.person_id}"
    return inbox_correction.correct(reader.desk.engine, proposal, author, clock=reader.desk.clock, run_id=run_id)


def relaunch(reader: Reader, dossier: str, message_ids: list[int], reason: str) -> list[int]:
    """Let messages enter again, all or none."""
    authorize(reader, Access.OPERATE, dossier)
    author = Author(reader.actor, reason)
    return inbox_correction.relaunch(reader.desk.engine, dossier, author, message_ids=message_ids, clock=reader.desk.clock)


def find_journey(reader: Reader, dossier: str, entity: str, source_id: str, system: str | None) -> Journey:
    """Return one record's way through every system."""
    authorize(reader, Access.VIEW, dossier)
    if entity not in ENTITIES:
        raise Denied
    return journey(reader.desk.engine, dossier, entity, source_id=source_id, system_code=system)


@api.get("/records")
def list_messages(reader: Viewer, query: Annotated[RecordQuery, Query()]) -> RecordPage:
    """List messages of the inbox with the classes of what holds them back."""
    return find_records(reader, query)


@api.get("/records/{dossier}/{message_id}")
def get_message(reader: Viewer, dossier: str, message_id: Number) -> dict[str, Any]:
    """Return one message: payload as received, corrections, and the rows made from it."""
    return dict(_plain(find_record(reader, dossier, message_id)))


@api.post("/records/{dossier}/{message_id}/trial")
def post_trial(reader: Operator, dossier: str, message_id: Number, wish: CorrectionWish) -> Trial:
    """Try a correction; nothing is written."""
    return _trial(try_correction(reader, dossier, message_id, _wish(wish)))


@api.post("/records/{dossier}/{message_id}/correction", status_code=201)
def post_correction(reader: Operator, dossier: str, message_id: Number, order: CorrectionOrder) -> Corrected:
    """Correct a message; the original stays, the correction takes its place and the next round integrates it."""
    return Corrected(message_id=correct(reader, dossier, message_id, _wish(order), order.reason))


@api.post("/records/relaunch")
def post_relaunch(reader: Operator, order: RelaunchOrder) -> Relaunched:
    """Let refused, given up or waiting messages enter again, all or none."""
    return Relaunched(messages=relaunch(reader, order.dossier, order.messages, order.reason))


@api.get("/journeys/{dossier}/{entity}")
def get_journey(
    reader: Viewer,
    dossier: str,
    entity: str,
    source_id: Annotated[str, Query(min_length=1, max_length=300)],
    system: Annotated[str | None, Query(max_length=60)] = None,
) -> list[dict[str, Any]]:
    """Return one record's way through every system, in the order of time."""
    return [dict(_plain(step)) for step in find_journey(reader, dossier, entity, source_id, system).steps]


@pages.get("/records", name="records")
def records_page(request: Request, reader: Viewer, query: Annotated[RecordQuery, Query()]) -> Response:
    """Show what is not integrated, by class and one by one."""
    found = find_records(reader, query)
    now = reader.desk.clock.now()
    ages = {one.message_id: reader.say.duration(max(now - one.received_at, now - now)) for one in found.records}
    may_operate = reader.person.may_somewhere(Access.OPERATE)
    values = {"query": query, "found": found, "ages": ages, "entities": sorted(ENTITIES), "may_operate": may_operate}
    return page(request, "records.html", {**values, "relaunchable": RELAUNCHED})


@pages.get("/records.{kind}", name="records_export")
def records_export(reader: Viewer, kind: Literal["csv", "json"], query: Annotated[RecordQuery, Query()]) -> Response:
    """Return all messages that match as a file."""
    authorize_named(reader, Access.VIEW, query.dossier)
    with reader.desk.engine.connect() as connection:
        rows, _ = list_records(connection, reader.person.person_id, query.filter(), limit=MOST_ROWS)
    note_export(reader, "records", len(rows))
    return as_csv(rows, COLUMNS, reader.say, "records") if kind == "csv" else as_json(rows, COLUMNS, "records")


@pages.get("/records/{dossier}/{message_id}", name="record")
def record_page(request: Request, reader: Viewer, dossier: str, message_id: Number) -> Response:
    """Show one message: its way, its content as a form, its corrections."""
    return _record(request, reader, dossier, message_id)


@pages.post("/records/{dossier}/{message_id}/correct")
async def correct_form(request: Request, dossier: str, message_id: Number, reader: Operator) -> Response:
    """Show the difference that a correction makes, or write it when the person has confirmed it."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    return await run_in_threadpool(_correct_form, request, reader, dossier, message_id, form)


@pages.post("/records/{dossier}/{message_id}/relaunch")
def relaunch_form(
    reader: Operator, dossier: str, message_id: Number, reason: Annotated[str, Form(max_length=500)] = ""
) -> Response:
    """Let one message enter again."""
    relaunch(reader, dossier, [message_id], reason)
    return RedirectResponse(f"/records/{quote(dossier)}/{message_id}", 303)


@pages.get("/journeys/{dossier}/{entity}", name="journey")
def journey_page(
    request: Request,
    reader: Viewer,
    dossier: str,
    entity: str,
    source_id: Annotated[str, Query(min_length=1, max_length=300)],
    system: Annotated[str | None, Query(max_length=60)] = None,
) -> Response:
    """Show one record's way through every system."""
    return page(request, "journey.html", {"journey": find_journey(reader, dossier, entity, source_id, system)})


def _correct_form(request: Request, reader: Reader, dossier: str, message_id: int, form: Mapping[str, str]) -> Response:
    row = find_record(reader, dossier, message_id)
    typed = {name.removeprefix("v:"): value for name, value in form.items() if name.startswith("v:")}
    whole = form.get("record")
    wish = Correction([] if whole else assignments(row["payload"], typed), [], whole or None)
    try:
        if form.get("confirmed"):
            made = correct(reader, dossier, message_id, wish, form.get("reason", ""))
            return RedirectResponse(f"/records/{quote(dossier)}/{made}", 303)
        proposal = try_correction(reader, dossier, message_id, wish)
    except ErpcrmError as error:
        return _record(request, reader, dossier, message_id, fault=str(error), typed=form)
    values = {"row": row, "proposal": proposal, "form": form, "trial": _trial(proposal)}
    return page(request, "correction.html", values)


def _record(
    request: Request,
    reader: Reader,
    dossier: str,
    message_id: int,
    *,
    fault: str | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    row = find_record(reader, dossier, message_id)
    fields = form_fields(row["payload"], row["error"], fault)
    steps: tuple[Mapping[str, Any], ...] = ()
    if row["entity"] in ENTITIES:
        steps = journey(
            reader.desk.engine, dossier, row["entity"], source_id=row["source_id"], system_code=row["system_code"]
        ).steps
    values = {
        "row": row,
        "fields": fields,
        "fault": fault,
        "typed": typed or {},
        "steps": steps,
        "may_operate": reader.person.may(Access.OPERATE, dossier),
        "may_correct": row["state"] in RELAUNCHED,
    }
    return page(request, "record.html", values, status=422 if fault else 200)


def _wish(wish: CorrectionWish) -> Correction:
    return Correction([Assignment(path, text) for path, text in wish.set.items()], wish.remove, wish.record)


def _trial(proposal: Proposal) -> Trial:
    changes = [Difference(path=one.path, before=one.before, after=one.after) for one in proposal.changes]
    return Trial(differences=changes, state=proposal.state, waiting_for=proposal.waiting_for, warning=proposal.warning)


def _plain(value: Any) -> Any:  # noqa: ANN401  rows of any table
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value if isinstance(value, str | int | float | bool | None) else str(plain(value))
