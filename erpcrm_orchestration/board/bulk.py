"""Relaunch of everything that is held back by the same: first what it would take, then with one reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import Response

from erpcrm_orchestration.board.datasets import DatasetQuery, DatasetRelaunch, enter_again
from erpcrm_orchestration.board.desk import Operator, Reader, authorize_named
from erpcrm_orchestration.board.pages import page
from erpcrm_orchestration.board.records import RecordQuery, relaunch
from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.automaton import ENTRY_STATE
from erpcrm_orchestration.domain.errors import ErpcrmError
from erpcrm_orchestration.services.inbox_correction import RELAUNCHED
from erpcrm_orchestration.store.record_list import list_records, record_ids, relaunchable_datasets

MOST_RECORDS = 5_000
MOST_DATASETS = 1_000
SAMPLE = 20

api = APIRouter(prefix="/api/v1")
"""A program relaunches what it chose: /records/relaunch, /datasets/{number}/relaunch."""
pages = APIRouter(include_in_schema=False)


@pages.get("/relaunch", name="relaunch_preview")
def records_page(request: Request, reader: Operator, query: Annotated[RecordQuery, Query()]) -> Response:
    """Show what a bulk relaunch would take, before it is done."""
    return page(request, "relaunch.html", {"query": query, **_records(reader, query)})


@pages.post("/relaunch")
def records_form(
    request: Request,
    reader: Operator,
    query: Annotated[RecordQuery, Query()],
    reason: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Let all messages that match enter again, dossier by dossier."""
    chosen: Mapping[str, list[int]] = _records(reader, query)["chosen"]
    done, faults = 0, []
    for code, message_ids in chosen.items():
        try:
            done += len(relaunch(reader, code, message_ids, reason))
        except ErpcrmError as error:
            faults.append(str(error))
    status = 422 if faults and not done else 200
    return page(request, "relaunched.html", {"done": done, "faults": faults, "back": "/records"}, status=status)


@pages.get("/relaunch-datasets", name="relaunch_datasets")
def datasets_page(request: Request, reader: Operator, query: Annotated[DatasetQuery, Query()]) -> Response:
    """Show what a bulk relaunch of datasets would take, before it is done."""
    return page(request, "relaunch_datasets.html", {"query": query, "chosen": _datasets(reader, query), "most": MOST_DATASETS})


@pages.post("/relaunch-datasets")
def datasets_form(
    request: Request,
    reader: Operator,
    query: Annotated[DatasetQuery, Query()],
    state_number: Annotated[int, Form(ge=1, le=9999)] = ENTRY_STATE,
    reason: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Let all datasets in error that match enter again, one after the other."""
    done, faults = 0, []
    for row in _datasets(reader, query):
        try:
            order = DatasetRelaunch.model_construct(state_number=state_number, reason=reason)
            enter_again(reader, row["dataset_number"], order)
            done += 1
        except ErpcrmError as error:
            faults.append(str(error))
    status = 422 if faults and not done else 200
    return page(request, "relaunched.html", {"done": done, "faults": faults[:20], "back": "/datasets"}, status=status)


def _records(reader: Reader, query: RecordQuery) -> dict[str, Any]:
    authorize_named(reader, Access.OPERATE, query.dossier)
    states = [one for one in RELAUNCHED if query.state in {"open", one}]
    who, wanted = reader.person.person_id, query.filter()
    with reader.desk.engine.connect() as connection:
        chosen = record_ids(connection, who, wanted, states=states, limit=MOST_RECORDS)
        sample, _ = list_records(connection, who, wanted, limit=SAMPLE)
    count = sum(len(one) for one in chosen.values())
    ids = {number for one in chosen.values() for number in one}
    sample = [one for one in sample if one["message_id"] in ids]
    return {"chosen": chosen, "count": count, "sample": sample, "most": MOST_RECORDS}


def _datasets(reader: Reader, query: DatasetQuery) -> list[dict[str, Any]]:
    authorize_named(reader, Access.OPERATE, query.dossier)
    who, now = reader.person.person_id, reader.desk.clock.now()
    with reader.desk.engine.connect() as connection:
        return relaunchable_datasets(connection, who, query.filter(), now=now, limit=MOST_DATASETS)
