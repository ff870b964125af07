"""Datasets of the data hub: those of an ERP merged in bulk, those of pivot files run by our automaton."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.automaton import ENTRY_STATE
from erpcrm_orchestration.domain.pivot import PivotFile, storable
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.schema import dataset_type, dossier, hub_dataset
from erpcrm_orchestration.store.staging import copy_rows

INTAKE = "data_hub"
STAGED = (
    "position", "dossier_code", "source_key", "type_code", "category", "origin", "state_number", "state_group", "created_at",
    "updated_at", "last_error", "content_hash",
)  # fmt: skip


@dataclass(frozen=True)
class WaitingDataset:
    """A dataset that stands in an automatic state, locked by this transaction."""

    dossier_code: str
    dataset_number: int
    type_code: str
    state_number: int
    attempts: int
    fields: Mapping[str, str]
    companions: tuple[str, ...]


@dataclass(frozen=True)
class DatasetMove:
    """Where the automaton leaves a dataset."""

    dossier_code: str
    dataset_number: int
    state_number: int
    state_group: str
    last_error: str | None


def stage_datasets(connection: sa.Connection, rows: Iterable[Sequence[Any]]) -> None:
    """Append rows of STAGED columns for the next merge of this transaction."""
    copy_rows(connection, "staging_dataset", "dataset_staging", STAGED, rows)


def merge_datasets(connection: sa.Connection, parameters: dict[str, Any]) -> list[sa.Row[Any]]:
    """Store the staged datasets of a stream; return (dossier_code, merged, late, max_lateness_s) rows."""
    return list(connection.execute(load_sql("merge_dataset"), parameters))


def open_keys(connection: sa.Connection, dossier_codes: Sequence[str], intake: str, limit: int) -> list[tuple[str, str]]:
    """Return (dossier, key) of the datasets of a stream that are not closed, the oldest first."""
    columns = hub_dataset.c
    rows = connection.execute(
        sa.select(columns.dossier_code, columns.source_key)
        .where(
            columns.dossier_code.in_(dossier_codes),
            columns.intake == intake,
            columns.state_group != "CLOSED_OK",
            columns.state_group != "CLOSED_KO",
        )
        .order_by(columns.created_at, columns.dossier_code, columns.source_key)
        .limit(limit)
    )
    return [(row.dossier_code, row.source_key) for row in rows]


def dataset_categories(connection: sa.Connection) -> dict[str, str]:
    """Return the category of every known dataset type."""
    rows = connection.execute(sa.select(dataset_type.c.type_code, dataset_type.c.category))
    return {row.type_code: row.category for row in rows}


def hub_folders(connection: sa.Connection, dossier_codes: Sequence[str] | None = None) -> dict[str, str]:
    """Return the folder of every active dossier that has one, or of the given ones among them."""
    statement = sa.select(dossier.c.dossier_code, dossier.c.hub_folder).where(
        dossier.c.active, dossier.c.hub_folder.is_not(None)
    )
    if dossier_codes is not None:
        statement = statement.where(dossier.c.dossier_code.in_(dossier_codes))
    return {row.dossier_code: row.hub_folder for row in connection.execute(statement.order_by(dossier.c.dossier_code))}


def insert_pivots(
    connection: sa.Connection,
    dossier_code: str,
    pivots: Sequence[PivotFile],
    faults: Mapping[str, str],
    categories: Mapping[str, str],
    now: datetime,
) -> dict[str, int]:
    """Give each pivot file its dataset and return the numbers of the new ones by file name; `faults` are in ERROR."""
    values = [_pivot_values(pivot, faults.get(pivot.name), categories) for pivot in pivots]
    rows = connection.execute(
        load_sql("insert_pivot"),
        {"dossier_code": dossier_code, "pivots": json.dumps(values), "entry_state": ENTRY_STATE, "now": now},
    )
    return {row.source_key: row.dataset_number for row in rows}


def _pivot_values(pivot: PivotFile, fault: str | None, categories: Mapping[str, str]) -> dict[str, Any]:
    return {
        "source_key": storable(pivot.name),
        "type_code": pivot.content.type_code,
        "origin": pivot.content.origin,
        "category": categories.get(pivot.content.type_code, "OTHER"),
        "state_group": "ERROR" if fault else "RECEIVED",
        "last_error": fault,
        "companions": [storable(name) for name in pivot.companions],
        "payload": pivot.content.payload,
        "fields": dict(pivot.content.fields),
        "content_hash": pivot.content_hash,
    }


def pivot_hashes(connection: sa.Connection, dossier_code: str, names: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Return (number, content hash) of the datasets that were made from these files."""
    columns = hub_dataset.c
    rows = connection.execute(
        sa.select(columns.source_key, columns.dataset_number, columns.content_hash).where(
            columns.dossier_code == dossier_code, columns.intake == INTAKE, columns.source_key.in_(names)
        )
    )
    return {row.source_key: (row.dataset_number, row.content_hash) for row in rows}


def lock_waiting(connection: sa.Connection, dossier_codes: Sequence[str], batch: int) -> list[WaitingDataset]:
    """Return datasets in automatic states, at most `batch`, locked until the end of the transaction."""
    rows = connection.execute(load_sql("lock_automatic"), {"dossier_codes": list(dossier_codes), "batch": batch})
    return [
        WaitingDataset(
            row.dossier_code, row.dataset_number, row.type_code, row.state_number, row.attempts, row.fields,
            tuple(row.companions),
        )
        for row in rows
    ]  # fmt: skip


def move_datasets(connection: sa.Connection, moves: Sequence[DatasetMove], now: datetime) -> None:
    """Write where the automaton leaves these datasets."""
    if moves:
        connection.execute(load_sql("move_dataset"), {"moves": json.dumps([vars(move) for move in moves]), "now": now})


def dossiers_with_waiting(connection: sa.Connection) -> list[str]:
    """Return the active dossiers with datasets that the automaton could move."""
    return list(connection.scalars(load_sql("dossiers_with_automatic")))


def find_dataset(connection: sa.Connection, dataset_number: int, *, lock: bool = False) -> dict[str, Any] | None:
    """Return a dataset by its number, None when there is none."""
    statement = sa.select(hub_dataset).where(hub_dataset.c.dataset_number == dataset_number)
    row = connection.execute(statement.with_for_update() if lock else statement).mappings().one_or_none()
    return None if row is None else {str(name): value for name, value in row.items()}


def list_datasets(
    connection: sa.Connection,
    *,
    dossier_code: str | None = None,
    category: str | None = None,
    state_group: str | None = None,
    limit: int = 1000,
) -> list[dict[str, Any]]:
    """Return datasets, the latest first; without a state those that are not closed well."""
    columns = hub_dataset.c
    left_out = {"payload", "fields", "content_hash", "companions"}
    statement = sa.select(*(column for column in columns if column.name not in left_out)).where(
        columns.state_group != "CLOSED_OK" if state_group is None else columns.state_group == state_group
    )
    if dossier_code is not None:
        statement = statement.where(columns.dossier_code == dossier_code)
    if category is not None:
        statement = statement.where(columns.category == category)
    rows = connection.execute(statement.order_by(columns.dataset_number.desc()).limit(limit)).mappings()
    return [{str(name): value for name, value in row.items()} for row in rows]


def update_dataset(connection: sa.Connection, dossier_code: str, dataset_number: int, values: Mapping[str, Any]) -> None:
    """Write new values of one dataset."""
    columns = hub_dataset.c
    connection.execute(
        sa.update(hub_dataset)
        .where(columns.dossier_code == dossier_code, columns.dataset_number == dataset_number)
        .values(**values)
    )
