"""The data hub supervisor: datasets that are not OK, their correction and relaunch; and the logbook behind the numbers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from pydantic import AwareDatetime, BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from erpcrm_orchestration.board.desk import Operator, Reader, Viewer, authorize, authorize_named
from erpcrm_orchestration.board.export import MOST_ROWS, as_csv, as_json, note_export
from erpcrm_orchestration.board.faults import Denied
from erpcrm_orchestration.board.pages import page
from erpcrm_orchestration.board.query import Counted, Number, Paged
from erpcrm_orchestration.board.records import Reason, RecordLine
from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.configuration import DatasetCategory, DatasetType, StateGroup
from erpcrm_orchestration.domain.errors import ErpcrmError
from erpcrm_orchestration.services.dataset_correction import CLOSED, fix, relaunch
from erpcrm_orchestration.store.configuration import load_dataset_types
from erpcrm_orchestration.store.dataset import INTAKE, find_dataset
from erpcrm_orchestration.store.record_list import (
    DatasetFilter,
    RecordFilter,
    dataset_classes,
    dataset_history,
    list_hub_datasets,
    list_records,
)

COLUMNS = (
    "dataset_number", "dossier_code", "type_code", "category", "origin", "intake", "source_key", "state_number",
    "state_group", "attempts", "created_at", "updated_at", "last_error",
)  # fmt: skip
ENTITY_OF = {"INTERVENTION": "intervention", "TIME": "time_entry", "DOCUMENT": "document"}
"""The entities of the integration that count in a category."""

api = APIRouter(prefix="/api/v1", tags=["datasets"])
pages = APIRouter(include_in_schema=False)


class DatasetQuery(Paged):
    """Which datasets; without a state those that are not closed well."""

    dossier: str = Field("", max_length=16)
    category: Literal["", "INTERVENTION", "TIME", "DOCUMENT", "OTHER"] = ""
    origin: Literal["", "CRM", "EDI", "MAIL", "OTHER"] = ""
    state: Literal["", "RECEIVED", "PENDING", "PROCESSING", "WAITING", "ERROR", "CLOSED_OK", "CLOSED_KO"] = ""
    created: Literal["", "today"] = ""
    error_class: str = Field("", max_length=300)

    def filter(self) -> DatasetFilter:
        """Return the filter as the store knows it."""
        return DatasetFilter(
            dossier_code=self.dossier or None,
            category=self.category or None,
            origin=self.origin or None,
            state_group=self.state or None,
            created_today=bool(self.created),
            error_class=self.error_class or None,
        )


class DatasetLine(BaseModel):
    """A dataset without its content."""

    dataset_number: int
    dossier_code: str
    type_code: str
    category: DatasetCategory
    origin: str
    intake: str
    source_key: str
    state_number: int
    state_group: StateGroup
    attempts: int
    created_at: AwareDatetime
    updated_at: AwareDatetime
    last_error: str | None


class DatasetClass(BaseModel):
    """So many datasets with the same error."""

    error_class: str
    type_code: str
    datasets: int
    oldest_at: AwareDatetime


class DatasetPage(Counted):
    """Datasets of one page, and the classes of errors of all that match."""

    datasets: list[DatasetLine]
    classes: list[DatasetClass]


class DatasetCorrection(BaseModel):
    """Fields by name; an empty value takes a field away. What was received stays."""

    fields: dict[str, str] = Field(min_length=1, max_length=500)
    reason: Reason


class DatasetRelaunch(BaseModel):
    """The lower state to enter at."""

    state_number: int = Field(ge=1, le=9999)
    reason: Reason


def find_datasets(reader: Reader, query: DatasetQuery) -> DatasetPage:
    """Return a page of datasets that the reader may see."""
    authorize_named(reader, Access.VIEW, query.dossier)
    with reader.desk.engine.connect() as connection:
        rows, total = list_hub_datasets(
            connection,
            reader.person.person_id,
            query.filter(),
            now=reader.desk.clock.now(),
            limit=query.size,
            offset=query.offset,
        )
        classes = dataset_classes(connection, reader.person.person_id, query.filter(), now=reader.desk.clock.now())
    return DatasetPage(
        datasets=[DatasetLine(**{name: row[name] for name in COLUMNS}) for row in rows],
        classes=[DatasetClass(**one) for one in classes],
        **query.counted(total),
    )


def find_one(reader: Reader, number: int, access: Access = Access.VIEW) -> dict[str, Any]:
    """Return a dataset with its content; raise Denied when it is not the reader's."""
    with reader.desk.engine.connect() as connection:
        row = find_dataset(connection, number)
    if row is None:
        raise Denied
    authorize(reader, access, row["dossier_code"])
    return row


def correct(reader: Reader, number: int, order: DatasetCorrection) -> None:
    """Correct fields of a dataset."""
    row = find_one(reader, number, Access.OPERATE)
    fix(
        reader.desk.engine,
        row["dossier_code"],
        number,
        fields=order.fields,
        reason=order.reason,
        actor=reader.actor,
        clock=reader.desk.clock,
    )


def enter_again(reader: Reader, number: int, order: DatasetRelaunch) -> None:
    """Let a dataset enter again at a lower state; the automaton takes it from there."""
    row = find_one(reader, number, Access.OPERATE)
    relaunch(
        reader.desk.engine,
        row["dossier_code"],
        number,
        state_number=order.state_number,
        reason=order.reason,
        actor=reader.actor,
        clock=reader.desk.clock,
    )


@api.get("/datasets")
def list_datasets(reader: Viewer, query: Annotated[DatasetQuery, Query()]) -> DatasetPage:
    """List datasets, the newest first."""
    return find_datasets(reader, query)


@api.get("/datasets/{number}")
def get_dataset(reader: Viewer, number: Number) -> DatasetLine:
    """Return one dataset."""
    row = find_one(reader, number)
    return DatasetLine(**{name: row[name] for name in COLUMNS})


@api.post("/datasets/{number}/correction", status_code=204)
def post_correction(reader: Operator, number: Number, order: DatasetCorrection) -> None:
    """Correct fields of a dataset; its state stays until it is relaunched."""
    correct(reader, number, order)


@api.post("/datasets/{number}/relaunch", status_code=204)
def post_relaunch(reader: Operator, number: Number, order: DatasetRelaunch) -> None:
    """Let a dataset enter again at a lower state."""
    enter_again(reader, number, order)


@pages.get("/datasets", name="datasets")
def datasets_page(request: Request, reader: Viewer, query: Annotated[DatasetQuery, Query()]) -> Response:
    """Show datasets that are not OK, and the messages of the inbox that count as such."""
    found = find_datasets(reader, query)
    entities = [ENTITY_OF[query.category]] if query.category in ENTITY_OF else list(ENTITY_OF.values())
    wanted = RecordFilter(dossier_code=query.dossier or None, entities=entities)
    with reader.desk.engine.connect() as connection:
        rows, messages = list_records(connection, reader.person.person_id, wanted, limit=query.size)
    records = [RecordLine(**{name: row[name] for name in RecordLine.model_fields}) for row in rows]
    now = reader.desk.clock.now()
    values = {
        "query": query,
        "found": found,
        "records": records,
        "messages": messages,
        "groups": list(StateGroup),
        "ages": {one.dataset_number: reader.say.duration(max(now - one.created_at, now - now)) for one in found.datasets},
        "may_operate": reader.person.may_somewhere(Access.OPERATE),
    }
    return page(request, "datasets.html", values)


@pages.get("/datasets.{kind}", name="datasets_export")
def datasets_export(reader: Viewer, kind: Literal["csv", "json"], query: Annotated[DatasetQuery, Query()]) -> Response:
    """Return all datasets that match as a file."""
    authorize_named(reader, Access.VIEW, query.dossier)
    with reader.desk.engine.connect() as connection:
        rows, _ = list_hub_datasets(
            connection, reader.person.person_id, query.filter(), now=reader.desk.clock.now(), limit=MOST_ROWS
        )
    note_export(reader, "datasets", len(rows))
    return as_csv(rows, COLUMNS, reader.say, "datasets") if kind == "csv" else as_json(rows, COLUMNS, "datasets")


@pages.get("/datasets/{number}", name="dataset")
def dataset_page(request: Request, reader: Viewer, number: Number) -> Response:
    """Show one dataset: its fields as a form, its file as it came, and the states it may enter at."""
    return _dataset(request, reader, number)


@pages.post("/datasets/{number}/correct")
async def correct_form(request: Request, number: Number, reader: Operator) -> Response:
    """Correct the fields that differ."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    return await run_in_threadpool(_correct_form, request, reader, number, form)


@pages.post("/datasets/{number}/relaunch")
def relaunch_form(
    request: Request,
    reader: Operator,
    number: Number,
    state_number: Annotated[int, Form(ge=1, le=9999)],
    reason: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Let a dataset enter again."""
    try:
        enter_again(reader, number, DatasetRelaunch.model_construct(state_number=state_number, reason=reason))
    except ErpcrmError as error:
        return _dataset(request, reader, number, fault=str(error))
    return RedirectResponse(f"/datasets/{number}", 303)


def _correct_form(request: Request, reader: Reader, number: int, form: dict[str, str]) -> Response:
    row = find_one(reader, number, Access.OPERATE)
    typed = {name.removeprefix("v:"): value.replace("\r\n", "\n") for name, value in form.items() if name.startswith("v:")}
    changed = {name: value for name, value in typed.items() if value != row["fields"].get(name, "")}
    try:
        correct(reader, number, DatasetCorrection.model_construct(fields=changed, reason=form.get("reason", "")))
    except ErpcrmError as error:
        return _dataset(request, reader, number, fault=str(error), typed=typed)
    return RedirectResponse(f"/datasets/{number}", 303)


def _dataset(
    request: Request, reader: Reader, number: int, *, fault: str | None = None, typed: dict[str, str] | None = None
) -> Response:
    row = find_one(reader, number)
    with reader.desk.engine.connect() as connection:
        kind = load_dataset_types(connection).get(row["type_code"])
        way, corrections = dataset_history(connection, row["dossier_code"], number, since=row["created_at"])
    names = list(row["fields"]) + [one.name for one in (kind.fields if kind else ()) if one.name not in row["fields"]]
    error = f"{row['last_error'] or ''} {fault or ''}"
    fields = [
        {"name": name, "value": (typed or {}).get(name, row["fields"].get(name, "")), "is_wrong": _names(error, name)}
        for name in names
    ]
    is_ours = row["intake"] == INTAKE and row["state_group"] not in CLOSED
    values = {
        "row": row,
        "fields": fields,
        "states": _entries(row, kind),
        "fault": fault,
        "may_operate": is_ours and reader.person.may(Access.OPERATE, row["dossier_code"]),
        "is_ours": row["intake"] == INTAKE,
        "way": way,
        "corrections": corrections,
    }
    return page(request, "dataset.html", values, status=422 if fault else 200)


def _names(error: str, field: str) -> bool:
    """True when an error speaks of a field."""
    return field in error.replace(":", " ").replace("'", " ").split()


def _entries(row: dict[str, Any], kind: DatasetType | None) -> list[tuple[int, str]]:
    """Return the states at which a dataset may enter, number and label; the service has the last word."""
    if kind is None:
        return []
    return [(one.state_number, one.label) for one in kind.states if one.state_number <= row["state_number"]]
