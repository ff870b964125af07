"""The widgets that a person may see, searched, filtered, sorted and paged in the database; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.widget import Widget
from erpcrm_orchestration.store.person import granted
from erpcrm_orchestration.store.schema import dossier, interaction_state, interaction_state_history

COUNTERS = (
    "syncs_today",
    "interventions_today_not_ok",
    "interventions_not_ok",
    "times_not_ok",
    "documents_not_ok",
    "syncs_with_rejects",
)
POINTS = 40
"""So many evaluations stand in a sparkline."""

State = Literal["all", "alert", "normal", "stale", "not_ok"]
Sort = Literal["dossier", "state", "last_sync", "age", "not_ok"]

_view = sa.table("interaction_state", sa.column("dossier_code", sa.Text), sa.column("is_stale", sa.Boolean), schema="mart")
_not_ok = sum((interaction_state.c[name] for name in COUNTERS[2:]), sa.literal(0))
_ORDER: dict[Sort, sa.ColumnElement[Any]] = {
    "dossier": interaction_state.c.dossier_code,
    "state": interaction_state.c.sync_state,
    "last_sync": interaction_state.c.last_sync_at,
    "age": interaction_state.c.last_refreshed_at,
    "not_ok": _not_ok.desc(),
}


@dataclass(frozen=True)
class Wanted:
    """`text` is looked for in code, name and CRM project; `only` limits it to one dossier."""

    text: str = ""
    state: State = "all"
    sort: Sort = "dossier"
    limit: int = 24
    offset: int = 0
    only: str | None = None


@dataclass(frozen=True)
class Shown:
    """A stored row with the dossier's name, and whether it is older than its process allows, at the moment of reading."""

    widget: Widget
    name: str
    is_stale: bool


def read_page(connection: sa.Connection, person_id: int, wanted: Wanted) -> tuple[list[Shown], int]:
    """Return the rows of one page and how many there are in all."""
    state, chosen = interaction_state, _chosen(person_id, wanted)
    total = connection.scalar(sa.select(sa.func.count()).select_from(chosen.subquery())) or 0
    page = chosen.order_by(_ORDER[wanted.sort], state.c.dossier_code).limit(wanted.limit).offset(wanted.offset)
    codes = list(connection.scalars(page)) if total else []
    columns = [state.c[field.name] for field in fields(Widget)]
    statement = (
        sa.select(*columns, dossier.c.name, _view.c.is_stale)
        .join(dossier, dossier.c.dossier_code == state.c.dossier_code)
        .join(_view, _view.c.dossier_code == state.c.dossier_code)
        .where(state.c.dossier_code == sa.any_(sa.literal(codes, sa.ARRAY(sa.Text))))
    )
    rows = {row["dossier_code"]: _shown(row) for row in connection.execute(statement).mappings()} if codes else {}
    return [rows[code] for code in codes if code in rows], total


def read_series(connection: sa.Connection, codes: Sequence[str], *, since: datetime) -> dict[str, dict[str, list[int]]]:
    """Return dossier -> counter -> its last values, the oldest first."""
    wanted = sa.select(sa.func.unnest(sa.literal(list(codes), sa.ARRAY(sa.Text))).label("code")).subquery("wanted")
    history = interaction_state_history
    newest = (
        sa.select(history.c.last_refreshed_at, *(history.c[name] for name in COUNTERS))
        .where(history.c.dossier_code == wanted.c.code, history.c.last_refreshed_at > since)
        .order_by(history.c.last_refreshed_at.desc())
        .limit(POINTS)
        .lateral("newest")
    )
    statement = sa.select(wanted.c.code, newest).join(newest, sa.true()).order_by(newest.c.last_refreshed_at)
    found: dict[str, dict[str, list[int]]] = {code: {name: [] for name in COUNTERS} for code in codes}
    for row in connection.execute(statement).mappings():
        for name in COUNTERS:
            found[row["code"]][name].append(row[name])
    return found


def read_counts(connection: sa.Connection, person_id: int) -> dict[str, int]:
    """Return how many dossiers the person may see, and how many of them are in alert or have something that is not OK."""
    state = interaction_state.c
    statement = sa.select(
        sa.func.count().label("all"),
        sa.func.count().filter(state.sync_state == "ALERT").label("alert"),
        sa.func.count().filter(state.sync_state == "NORMAL").label("normal"),
        sa.func.count().filter(_not_ok > 0).label("not_ok"),
    ).where(granted(person_id, Access.VIEW, state.dossier_code))
    return dict(connection.execute(statement).mappings().one())


def codes_granted(connection: sa.Connection, person_id: int, access: Access) -> list[str]:
    """Return the dossiers for which the person has this right, inactive ones too."""
    column = dossier.c.dossier_code
    return list(connection.scalars(sa.select(column).where(granted(person_id, access, column)).order_by(column)))


def _chosen(person_id: int, wanted: Wanted) -> sa.Select[tuple[str]]:
    state = interaction_state
    statement = sa.select(state.c.dossier_code).where(granted(person_id, Access.VIEW, state.c.dossier_code))
    if wanted.only is not None:
        statement = statement.where(state.c.dossier_code == wanted.only)
    if wanted.text:
        statement = statement.join(dossier, dossier.c.dossier_code == state.c.dossier_code)
        places = (state.c.dossier_code, dossier.c.name, state.c.crm_project_code)
        statement = statement.where(sa.or_(*(place.icontains(wanted.text, autoescape=True) for place in places)))
    match wanted.state:
        case "alert" | "normal":
            statement = statement.where(state.c.sync_state == wanted.state.upper())
        case "not_ok":
            statement = statement.where(_not_ok > 0)
        case "stale":
            stale = sa.select(_view.c.dossier_code).where(_view.c.is_stale)
            statement = statement.where(state.c.dossier_code.in_(stale))
    return statement


def _shown(row: sa.RowMapping) -> Shown:
    return Shown(Widget(**{field.name: row[field.name] for field in fields(Widget)}), row["name"], row["is_stale"])
