"""The widgets and the zoom: what is recorded of each dossier, and how old it is now. Reading writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from markupsafe import Markup
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import Response

from erpcrm_orchestration.board.desk import Reader, Viewer, authorize
from erpcrm_orchestration.board.faults import Denied
from erpcrm_orchestration.board.pages import iso, page, piece
from erpcrm_orchestration.board.query import Counted, Paged, SearchText
from erpcrm_orchestration.board.spark import points
from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.widget import WIDGET_FIELDS, Widget
from erpcrm_orchestration.languages import Language, Translator
from erpcrm_orchestration.store.mart import list_watchers
from erpcrm_orchestration.store.status import read_defaults
from erpcrm_orchestration.store.widget_page import (
    COUNTERS,
    Shown,
    Sort,
    State,
    Wanted,
    read_counts,
    read_page,
    read_series,
)
from erpcrm_orchestration.widget_words import labels, shown, state_in_words

SPARK_DAYS = 7
CARDS_KEPT = 2048
"""The values of so many cards are kept as they were last written, each for one language; about four kilobytes each."""

api = APIRouter(prefix="/api/v1", tags=["dossiers"])
pages = APIRouter(include_in_schema=False)


class DossierQuery(Paged):
    """`q` is looked for in code, name and CRM project."""

    q: SearchText = ""
    state: State = "all"
    sort: Sort = "dossier"
    size: int = Field(24, ge=1, le=200)


class DossierState(BaseModel):
    """The ten values of one dossier as stored, with their age and what the reader may do."""

    dossier_code: str
    name: str
    crm_project_code: str
    last_sync_at: AwareDatetime | None
    never_synced: bool
    sync_state: str
    sync_state_label: str
    alert_delay_min: int
    elapsed_min: int
    last_refreshed_at: AwareDatetime
    syncs_today: int
    interventions_today_not_ok: int
    interventions_not_ok: int
    times_not_ok: int
    documents_not_ok: int
    syncs_with_rejects: int
    age_min: int = Field(description="Whole minutes since last_refreshed_at, now")
    is_stale: bool = Field(description="Older than its process allows, now")
    may: list[Access] = Field(description="The rights of the reader for this dossier")


class DossierPage(Counted):
    """Rows of one page; `total` counts all that match."""

    dossiers: list[DossierState]
    at: AwareDatetime


def find_dossiers(
    reader: Reader, connection: sa.Connection, query: DossierQuery, *, only: str | None = None
) -> tuple[DossierPage, list[Shown]]:
    """Return a page of the dossiers that the reader may see."""
    wanted = Wanted(query.q.strip(), query.state, query.sort, query.size, query.offset, only)
    now = reader.desk.clock.now()
    rows, total = read_page(connection, reader.person.person_id, wanted)
    states = [_state(reader, one, now) for one in rows]
    found = DossierPage(dossiers=states, **query.counted(total), at=now)
    return found, rows


def find_dossier(reader: Reader, connection: sa.Connection, code: str) -> DossierState:
    """Return one dossier; raise Denied when it has no row or is not the reader's to see."""
    authorize(reader, Access.VIEW, code)
    found, _ = find_dossiers(reader, connection, DossierQuery(), only=code)
    if not found.dossiers:
        raise Denied
    return found.dossiers[0]


@api.get("/dossiers")
def list_dossiers(reader: Viewer, query: Annotated[DossierQuery, Query()]) -> DossierPage:
    """List the dossiers that you may see, with their stored state."""
    with reader.desk.engine.connect() as connection:
        return find_dossiers(reader, connection, query)[0]


@api.get("/dossiers/{dossier_code}")
def get_dossier(reader: Viewer, dossier_code: str) -> DossierState:
    """Return the stored state of one dossier."""
    with reader.desk.engine.connect() as connection:
        return find_dossier(reader, connection, dossier_code)


@api.get("/dossiers/{dossier_code}/history")
def get_history(reader: Viewer, dossier_code: str) -> dict[str, list[int]]:
    """Return the last values of each counter, the oldest first, of the last seven days."""
    with reader.desk.engine.connect() as connection:
        find_dossier(reader, connection, dossier_code)
        return _series(reader, connection, [dossier_code])[dossier_code]


@pages.get("/", name="home")
def home_page(request: Request, reader: Viewer, query: Annotated[DossierQuery, Query()]) -> Response:
    """Show the widgets: one card for each dossier, the reader's default dossier first."""
    with reader.desk.engine.connect() as connection:
        found, rows = find_dossiers(reader, connection, query)
        pairs = list(zip(found.dossiers, rows, strict=True))
        first = _default(reader, connection) if query == DossierQuery() else None
        if first is not None:
            one, its_row = find_dossiers(reader, connection, DossierQuery(), only=first)
            others = [pair for pair in pairs if pair[0].dossier_code != first]
            pairs = [*zip(one.dossiers, its_row, strict=True), *others]
        values = {**_frame(reader, connection, query, found), "cards": _cards(reader, connection, pairs)}
    return page(request, "dossiers.html", values)


@pages.get("/interactions", name="interactions")
def zoom_page(request: Request, reader: Viewer, query: Annotated[DossierQuery, Query()]) -> Response:
    """Show all dossiers as a table, with the button that refreshes them."""
    with reader.desk.engine.connect() as connection:
        found, rows = find_dossiers(reader, connection, query)
        frame = _frame(reader, connection, query, found)
    lines = [(one, shown(row.widget, reader.say)) for one, row in zip(found.dossiers, rows, strict=True)]
    return page(request, "interactions.html", {**frame, "lines": lines})


@pages.get("/dossiers/{dossier_code}", name="dossier")
def dossier_page(request: Request, reader: Viewer, dossier_code: str) -> Response:
    """Show one dossier: its widget large, with what is behind each number."""
    authorize(reader, Access.VIEW, dossier_code)
    with reader.desk.engine.connect() as connection:
        found, rows = find_dossiers(reader, connection, DossierQuery(), only=dossier_code)
        cards = _cards(reader, connection, list(zip(found.dossiers, rows, strict=True)))
        still = stands_still(connection)
    if not cards:
        text = reader.say.gettext("no data for dossier {code}", code=dossier_code)
        return page(request, "message.html", {"title": dossier_code, "lines": [text]}, status=404)
    return page(request, "dossier.html", {"card": cards[0], "now": found.at, "stands_still": still})


def _frame(reader: Reader, connection: sa.Connection, query: DossierQuery, found: DossierPage) -> dict[str, object]:
    counts = read_counts(connection, reader.person.person_id)
    refreshable = any(Access.REFRESH in one.may for one in found.dossiers)
    return {
        "query": query,
        "found": found,
        "labels": labels(reader.say),
        "counts": counts,
        "refreshable": refreshable,
        "stands_still": stands_still(connection),
    }


def stands_still(connection: sa.Connection) -> bool:
    """True when no watcher is on: nothing is refreshed then, and what is shown only grows older."""
    return not any(one["state"] == "ON" for one in list_watchers(connection))


def _cards(reader: Reader, connection: sa.Connection, pairs: Sequence[tuple[DossierState, Shown]]) -> list[dict[str, object]]:
    series = _series(reader, connection, [one.dossier_code for one, _ in pairs])
    now = reader.desk.clock.now()
    return [
        {
            "state": state,
            "values": _values(
                row.widget, tuple(tuple(series[state.dossier_code][name]) for name in COUNTERS), reader.say.language
            ),
            "state_word": state_in_words(row.widget, reader.say),
            "age": reader.say.ago(row.widget.age(now)),
        }
        for state, row in pairs
    ]


@lru_cache(maxsize=CARDS_KEPT)
def _values(widget: Widget, courses: tuple[tuple[int, ...], ...], language: Language) -> Markup:
    """Return the ten values as they stand on a card. A page asks for itself again and again; they change with a refresh."""
    say = Translator(language)
    names, words, lines = labels(say), shown(widget, say), dict(zip(COUNTERS, courses, strict=True))
    behind, hot = piece("behind.html", "behind"), piece("behind.html", "hot")
    cells = []
    for name in WIDGET_FIELDS:
        value = getattr(widget, name)
        at = iso(value) if isinstance(value, datetime) else None
        word = say.instant(value) if isinstance(value, datetime) else words[name]
        address = behind[name].replace("CODE", widget.dossier_code) if name in behind else None
        course = points(lines[name]) if name in lines else None
        cells.append((f"{name} hot" if name in hot and value else name, names[name], word, address, at, course))
    text: Markup = piece("parts.html", "values")(cells)
    return text


def _series(reader: Reader, connection: sa.Connection, codes: Sequence[str]) -> dict[str, dict[str, list[int]]]:
    return read_series(connection, codes, since=reader.desk.clock.now() - timedelta(days=SPARK_DAYS))


def _state(reader: Reader, one: Shown, now: datetime) -> DossierState:
    widget = one.widget
    return DossierState(
        **{name: _utc(getattr(widget, name)) for name in widget.__dataclass_fields__},
        name=one.name,
        is_stale=one.is_stale,
        age_min=widget.age_min(now),
        may=[access for access in Access if reader.person.may(access, widget.dossier_code)],
    )


def _utc(value: object) -> object:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _default(reader: Reader, connection: sa.Connection) -> str | None:
    """Return the person's own default dossier, else the company's, when the person may see it."""
    code = reader.person.default_dossier_code or read_defaults(connection).dossier_code
    return code if code is not None and reader.person.may(Access.VIEW, code) else None
