"""The logbook of a dossier: what stands behind the numbers of its widget."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from erpcrm_orchestration.board.desk import Reader, Viewer, authorize
from erpcrm_orchestration.board.pages import page
from erpcrm_orchestration.board.query import Counted, Paged
from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.store.record_list import list_logbook

LOGBOOK = ("at", "dossier_code", "origin", "sync_id", "program", "action", "outcome", "reject_count", "message", "run_id")

api = APIRouter(prefix="/api/v1", tags=["logbook"])
pages = APIRouter(include_in_schema=False)


class LogbookQuery(Paged):
    """Lines of one dossier: all, or the synchronisations or rejects of its local day."""

    dossier: str = Field(min_length=1, max_length=16)
    show: Literal["all", "synchronisations", "rejects"] = "all"


class LogbookLine(BaseModel):
    """One step that a program logged."""

    at: AwareDatetime
    dossier_code: str
    origin: str
    sync_id: str | None
    program: str | None
    action: str
    outcome: str
    reject_count: int
    message: str | None
    run_id: str | None


class LogbookPage(Counted):
    """Lines of one page."""

    lines: list[LogbookLine]


def find_lines(reader: Reader, query: LogbookQuery) -> LogbookPage:
    """Return a page of the logbook of a dossier."""
    authorize(reader, Access.VIEW, query.dossier)
    with reader.desk.engine.connect() as connection:
        rows, total = list_logbook(
            connection,
            reader.person.person_id,
            dossier_code=query.dossier,
            show=query.show,
            now=reader.desk.clock.now(),
            limit=query.size,
            offset=query.offset,
        )
    lines = [LogbookLine(**{name: row[name] for name in LOGBOOK}) for row in rows]
    return LogbookPage(lines=lines, **query.counted(total))


@api.get("/logbook")
def list_lines(reader: Viewer, query: Annotated[LogbookQuery, Query()]) -> LogbookPage:
    """List what programs logged for a dossier, the newest first."""
    return find_lines(reader, query)


@pages.get("/logbook", name="logbook")
def logbook_page(request: Request, reader: Viewer, query: Annotated[LogbookQuery, Query()]) -> Response:
    """Show the logbook of a dossier."""
    return page(request, "logbook.html", {"query": query, "found": find_lines(reader, query)})
