"""What the class transition rules of today would have done in the past: nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from limits import RateLimitItemPerMinute
from pydantic import BaseModel, BeforeValidator, Field
from starlette.responses import Response

from erpcrm_orchestration.board.desk import Reader, Viewer, authorize
from erpcrm_orchestration.board.order_desk import Day
from erpcrm_orchestration.board.pages import page
from erpcrm_orchestration.board.query import Paged
from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.services.class_transition import simulate
from erpcrm_orchestration.store.audience import names_of
from erpcrm_orchestration.store.class_move import Move
from erpcrm_orchestration.store.dossier import require_dossier

SIMULATIONS = RateLimitItemPerMinute(12)
"""A simulation reads the invoices of a dossier for every day of it."""
LOOK_BACK = timedelta(days=90)

api = APIRouter(prefix="/api/v1", tags=["classes"])
pages = APIRouter(include_in_schema=False)


def _said(found: object) -> object:
    """Take an empty field for one that says nothing."""
    return None if found == "" else found


DayOrNone = Annotated[Day | None, BeforeValidator(_said)]


class SimulationQuery(Paged):
    """Which days: from `first` to `last`, every so many of them; by default the last three months."""

    dossier: str = Field("", max_length=16)
    first: DayOrNone = Field(None, alias="from")
    last: DayOrNone = Field(None, alias="to")
    every: int = Field(7, ge=1, le=366)


class SimulationOrder(SimulationQuery):
    """A simulation of one dossier."""

    dossier: str = Field(min_length=1, max_length=16)


class MoveLine(BaseModel):
    """An account that a rule would have moved on a day; `metric_value` is a number as text."""

    on_date: date
    customer_id: int
    code: str | None
    name: str | None
    from_class: str | None
    to_class: str
    rule_code: str
    metric_value: str


class Group(BaseModel):
    """So many moves that a rule would have made from one class to another."""

    rule_code: str
    from_class: str | None
    to_class: str
    moves: int


class Simulation(BaseModel):
    """All moves by rule, and those of one page."""

    first: date
    last: date
    groups: list[Group]
    moves: list[MoveLine]
    total: int
    page: int
    pages: int


@dataclass(frozen=True)
class Days:
    """From when to when."""

    first: date
    last: date


def run(reader: Reader, query: SimulationQuery) -> Simulation:
    """Simulate and return a page of it; raise Denied for a foreign dossier, InputError E-CLI-054 or 056 for the days."""
    authorize(reader, Access.VIEW, query.dossier)
    reader.desk.require_rate(SIMULATIONS, "simulate", reader.actor)
    days = _days(reader, query)
    found = simulate(reader.desk.engine, query.dossier, days.first, days.last, step_days=query.every)
    shown = found[query.offset : query.offset + query.size]
    with reader.desk.engine.connect() as connection:
        names = names_of(connection, query.dossier, {one.customer_id for one in shown})
    return Simulation(
        first=days.first,
        last=days.last,
        groups=_groups(found),
        moves=[_line(one, names) for one in shown],
        **query.counted(len(found)),
    )


def _days(reader: Reader, query: SimulationQuery) -> Days:
    with reader.desk.engine.connect() as connection:
        zone = ZoneInfo(require_dossier(connection, query.dossier).time_zone)
    last = query.last or reader.desk.clock.now().astimezone(zone).date()
    return Days(query.first or last - LOOK_BACK, last)


def _groups(found: Sequence[Move]) -> list[Group]:
    counts = Counter((one.rule_code, one.from_class, one.to_class) for one in found)
    ordered = sorted(counts.items(), key=lambda item: (item[0][0], item[0][1] or "", item[0][2]))
    return [Group(rule_code=rule, from_class=old, to_class=new, moves=moves) for (rule, old, new), moves in ordered]


def _line(one: Move, names: dict[int, tuple[str | None, str | None]]) -> MoveLine:
    code, name = names.get(one.customer_id, (None, None))
    values: dict[str, Any] = {**vars(one), "metric_value": f"{one.metric_value:f}"}
    return MoveLine(**values, code=code, name=name)


@api.get("/classes/simulation")
def get_simulation(reader: Viewer, query: Annotated[SimulationOrder, Query()]) -> Simulation:
    """Say who would have moved class, had the rules of today been applied then."""
    return run(reader, query)


@pages.get("/classes/simulate", name="classes_simulate")
def simulation_page(request: Request, reader: Viewer, query: Annotated[SimulationQuery, Query()]) -> Response:
    """Show who would have moved class."""
    found, fault = None, None
    try:
        found = run(reader, query) if query.dossier else None
    except InputError as error:
        fault = str(error)
    dossier = query.dossier or reader.person.default_dossier_code or ""
    values = {"query": query, "dossier": dossier, "found": found, "fault": fault}
    return page(request, "simulation.html", values, status=422 if fault else 200)
