"""What of the inbox and of the data hub is not OK, for the person who looks: filtered, classed and paged in the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.store.dataset import INTAKE
from erpcrm_orchestration.store.integration_schema import correction, inbox
from erpcrm_orchestration.store.paging import Rows, page_of, rows_of
from erpcrm_orchestration.store.person import granted
from erpcrm_orchestration.store.schema import dossier, hub_dataset, logbook_entry

OPEN = ("NEW", "WAITING", "REJECTED", "DEAD")
MOST_CLASSES = 50


@dataclass(frozen=True)
class RecordFilter:
    """Which messages; `error_class` as `classes` gives it. Without states those that are not integrated."""

    dossier_code: str | None = None
    entities: Sequence[str] = ()
    system_code: str | None = None
    states: Sequence[str] = ()
    source_id: str | None = None
    error_class: str | None = None


@dataclass(frozen=True)
class DatasetFilter:
    """Which datasets; without a state those that are not closed well. `created_today` in the time zone of the dossier."""

    dossier_code: str | None = None
    category: str | None = None
    origin: str | None = None
    state_group: str | None = None
    created_today: bool = False
    error_class: str | None = None


def error_class() -> sa.ColumnElement[str]:
    """Return what messages have in common: code and place of the error without positions, or what they wait for."""
    columns = inbox.c
    head = sa.func.substring(columns.error, r"^E-[A-Z]+-[0-9]+(?: [^:]*(?:: [$][^:]*)?)?")
    code = sa.func.substring(head, r"^E-[A-Z]+-[0-9]+")
    place = sa.func.regexp_replace(sa.func.substring(head, r"^E-[A-Z]+-[0-9]+(.*)$"), r"[0-9]+", "#", "g")
    return sa.case(
        (columns.state == "WAITING", sa.func.concat("waits for ", columns.waiting_for)),
        (columns.error.is_not(None), sa.func.coalesce(sa.func.concat(code, place), "other")),
        else_="",
    )


def list_records(
    connection: sa.Connection, person_id: int, wanted: RecordFilter, *, limit: int, offset: int = 0
) -> tuple[Rows, int]:
    """Return messages, the newest first, and how many there are in all."""
    columns = inbox.c
    left_out = {"payload", "content_hash", "delivery_id"}
    shown = [one for one in columns if one.name not in left_out]
    conditions = _record_conditions(person_id, wanted)
    statement = sa.select(*shown, error_class().label("error_class")).where(*conditions)
    return page_of(connection, statement, (columns.message_id.desc(),), limit, offset)


def record_classes(connection: sa.Connection, person_id: int, wanted: RecordFilter) -> Rows:
    """Return error_class, entity, messages and oldest_at of what is refused, given up or waits; the most frequent first."""
    named = error_class().label("error_class")
    statement = (
        sa.select(
            named,
            inbox.c.entity,
            sa.func.count().label("messages"),
            sa.func.min(inbox.c.received_at).label("oldest_at"),
        )
        .where(*_record_conditions(person_id, wanted), inbox.c.state.in_(("WAITING", "REJECTED", "DEAD")))
        .group_by(named, inbox.c.entity)
        .order_by(sa.desc("messages"), named)
        .limit(MOST_CLASSES)
    )
    return rows_of(connection, statement)


def record_ids(
    connection: sa.Connection, person_id: int, wanted: RecordFilter, *, states: Collection[str], limit: int
) -> dict[str, list[int]]:
    """Return dossier -> the messages in these states that the person may relaunch, at most so many in all."""
    columns = inbox.c
    statement = (
        sa.select(columns.dossier_code, columns.message_id)
        .where(
            *_record_conditions(person_id, wanted),
            columns.state.in_(states),
            granted(person_id, Access.OPERATE, columns.dossier_code),
        )
        .order_by(columns.dossier_code, columns.message_id)
        .limit(limit)
    )
    found: dict[str, list[int]] = {}
    for row in connection.execute(statement):
        found.setdefault(row.dossier_code, []).append(row.message_id)
    return found


def list_hub_datasets(
    connection: sa.Connection, person_id: int, wanted: DatasetFilter, *, now: datetime, limit: int, offset: int = 0
) -> tuple[Rows, int]:
    """Return datasets, the newest first, and how many there are in all."""
    columns = hub_dataset.c
    left_out = {"payload", "fields", "content_hash", "companions"}
    conditions = _dataset_conditions(person_id, wanted, now)
    source = hub_dataset.join(dossier, dossier.c.dossier_code == columns.dossier_code)
    shown = [one for one in columns if one.name not in left_out]
    statement = sa.select(*shown).select_from(source).where(*conditions)
    return page_of(connection, statement, (columns.dataset_number.desc(),), limit, offset)


def dataset_class() -> sa.ColumnElement[str]:
    """Return what datasets in error have in common: the error without its numbers and quoted values."""
    columns = hub_dataset.c
    plain = sa.func.regexp_replace(columns.last_error, r"'[^']*'", "'...'", "g")
    return sa.func.coalesce(sa.func.left(sa.func.regexp_replace(plain, r"[0-9]+", "#", "g"), 200), "")


def dataset_classes(connection: sa.Connection, person_id: int, wanted: DatasetFilter, *, now: datetime) -> Rows:
    """Return error_class, type_code, datasets and oldest_at of what is in error; the most frequent first."""
    named, columns = dataset_class().label("error_class"), hub_dataset.c
    statement = (
        sa.select(
            named, columns.type_code, sa.func.count().label("datasets"), sa.func.min(columns.created_at).label("oldest_at")
        )
        .select_from(hub_dataset.join(dossier, dossier.c.dossier_code == columns.dossier_code))
        .where(*_dataset_conditions(person_id, wanted, now), columns.state_group == "ERROR")
        .group_by(named, columns.type_code)
        .order_by(sa.desc("datasets"), named)
        .limit(MOST_CLASSES)
    )
    return rows_of(connection, statement)


def relaunchable_datasets(
    connection: sa.Connection, person_id: int, wanted: DatasetFilter, *, now: datetime, limit: int
) -> Rows:
    """Return the datasets in error that our automaton runs and the person may operate; the oldest first."""
    columns = hub_dataset.c
    statement = (
        sa.select(columns.dossier_code, columns.dataset_number, columns.type_code, columns.state_number, columns.last_error)
        .select_from(hub_dataset.join(dossier, dossier.c.dossier_code == columns.dossier_code))
        .where(
            *_dataset_conditions(person_id, wanted, now),
            columns.state_group == "ERROR",
            columns.intake == INTAKE,
            granted(person_id, Access.OPERATE, columns.dossier_code),
        )
        .order_by(columns.dataset_number)
        .limit(limit)
    )
    return rows_of(connection, statement)


def dataset_history(connection: sa.Connection, dossier_code: str, dataset_number: int, *, since: datetime) -> tuple[Rows, Rows]:
    """Return the logbook lines of a dataset since it was created, and what people did to it; both by time."""
    lines, done = logbook_entry.c, correction.c
    way = (
        sa.select(lines.at, lines.action, lines.outcome, lines.message, lines.run_id)
        .where(
            lines.dossier_code == dossier_code,
            lines.at >= since,
            lines.origin.in_(("data_hub", "system")),
            sa.func.split_part(lines.entry_key, "/", 1) == str(dataset_number),
        )
        .order_by(lines.at, lines.entry_key)
    )
    by_people = (
        sa.select(correction)
        .where(done.dossier_code == dossier_code, done.dataset_number == dataset_number)
        .order_by(done.correction_id)
    )
    return rows_of(connection, way), rows_of(connection, by_people)


def list_logbook(
    connection: sa.Connection, person_id: int, *, dossier_code: str, show: str, now: datetime, limit: int, offset: int = 0
) -> tuple[Rows, int]:
    """Return logbook lines of the local day of a dossier, the newest first; `show` is all, synchronisations or rejects.

    `all` goes back without a limit; the others tell what the widget counts.
    """
    columns = logbook_entry.c
    conditions = [columns.dossier_code == dossier_code, granted(person_id, Access.VIEW, columns.dossier_code)]
    if show != "all":
        zone = sa.select(dossier.c.time_zone).where(dossier.c.dossier_code == dossier_code).scalar_subquery()
        conditions.append(columns.at >= _day_start(zone, now))
    if show == "synchronisations":
        conditions.append(columns.action == "WEAVY_URL_FILE")
    if show == "rejects":
        conditions.append(sa.or_(columns.outcome == "REJECT", columns.reject_count > 0))
    statement = sa.select(logbook_entry).where(*conditions)
    return page_of(connection, statement, (columns.at.desc(), columns.entry_key), limit, offset)


def _record_conditions(person_id: int, wanted: RecordFilter) -> list[sa.ColumnElement[bool]]:
    columns = inbox.c
    found = [granted(person_id, Access.VIEW, columns.dossier_code), columns.state.in_(wanted.states or OPEN)]
    for column, value in (
        (columns.dossier_code, wanted.dossier_code),
        (columns.system_code, wanted.system_code),
        (columns.source_id, wanted.source_id),
    ):
        if value is not None:
            found.append(column == value)
    if wanted.entities:
        found.append(columns.entity.in_(wanted.entities))
    if wanted.error_class is not None:
        found.append(error_class() == wanted.error_class)
    return found


def _dataset_conditions(person_id: int, wanted: DatasetFilter, now: datetime) -> list[sa.ColumnElement[bool]]:
    columns = hub_dataset.c
    found = [granted(person_id, Access.VIEW, columns.dossier_code)]
    found.append(
        columns.state_group != "CLOSED_OK" if wanted.state_group is None else columns.state_group == wanted.state_group
    )
    for column, value in (
        (columns.dossier_code, wanted.dossier_code),
        (columns.category, wanted.category),
        (columns.origin, wanted.origin),
    ):
        if value is not None:
            found.append(column == value)
    if wanted.error_class is not None:
        found.append(dataset_class() == wanted.error_class)
    if wanted.created_today:
        found.append(columns.created_at >= _day_start(dossier.c.time_zone, now))
    return found


def _day_start(zone: Any, now: datetime) -> sa.ColumnElement[datetime]:  # noqa: ANN401  a column or a subquery
    """Return the midnight with which the local day of `now` began, as an instant."""
    local = sa.func.timezone(zone, sa.literal(now, sa.DateTime(timezone=True)))
    return sa.func.timezone(zone, sa.func.date_trunc("day", local))
