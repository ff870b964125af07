"""A small company for the tests of the intake: dossiers, sources, types and targets straight into the tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.configuration import (
    AutomatonState,
    CallTarget,
    DatasetCategory,
    DatasetField,
    DatasetMapping,
    DatasetType,
    LogbookMapping,
    Source,
    StateAction,
    StateGroup,
    TaskMapping,
    ValueKind,
)
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.configuration import adapter

ACTIVATED = datetime(2026, 1, 1, tzinfo=UTC)
STATES = {"1": StateGroup.PENDING, "2": StateGroup.PROCESSING, "8": StateGroup.ERROR, "9": StateGroup.CLOSED_OK}
LOGBOOK = LogbookMapping(
    "livre",
    {
        "key": "id", "at": "quand", "action": "action", "sync_id": "sync", "program": "prog", "outcome": "res",
        "reject_count": "rejets", "message": "texte",
    },
    where={"dossier": "{dossier}"},
    outcomes={"O": "OK", "R": "REJECT", "E": "ERROR"},
)  # fmt: skip
DATASETS = DatasetMapping(
    "pieces",
    "entete",
    {
        "key": "no",
        "type": "type",
        "created_at": "cree",
        "updated_at": "maj",
        "state": "etat",
        "origin": "origine",
        "error": "err",
    },
    where={"dossier": "{dossier}"},
    states=STATES,
)
TASKS = TaskMapping(
    "taches", {"key": "id", "at": "quand", "kind": "genre"}, ("article", "quantite"), "crm", where={"dossier": "{dossier}"}
)

TABLES = """
CREATE TABLE livre (id TEXT, dossier TEXT, quand TEXT, action TEXT, sync TEXT, prog TEXT, res TEXT, rejets TEXT, texte TEXT);
CREATE TABLE entete (no TEXT, dossier TEXT, type TEXT, cree TEXT, maj TEXT, etat TEXT, origine TEXT, err TEXT);
CREATE TABLE taches (id TEXT, dossier TEXT, quand TEXT, genre TEXT, article TEXT, quantite NUMERIC);
"""


def sqlite_erp(path: Path) -> Path:
    """Make an ERP database in a file and return its path."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLES)
    return path


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection to the ERP database that commits at the end."""
    with closing(sqlite3.connect(path)) as connection, connection:
        yield connection


def write_line(
    path: Path, key: object, at: object, *, dossier: str = "001", action: str = "WEAVY_URL_FILE", res: object = "O"
) -> None:
    """Write a logbook line into the ERP database."""
    with writing(path) as connection:
        connection.execute(
            "INSERT INTO livre VALUES (?, ?, ?, ?, 's1', 'agent', ?, 0, 'texte')", (key, dossier, at, action, res)
        )


def write_dataset(
    path: Path, key: object, at: str, state: str = "1", *, dossier: str = "001", type_code: str = "INTER"
) -> None:
    """Write a dataset into the ERP database, or its new state."""
    with writing(path) as connection:
        connection.execute("DELETE FROM entete WHERE no = ?", (key,))
        connection.execute(
            "INSERT INTO entete VALUES (?, ?, ?, ?, ?, ?, 'CRM', NULL)", (key, dossier, type_code, at, at, state)
        )


def write_task(path: Path, key: object, at: str, *, dossier: str = "001", article: str = "A1") -> None:
    """Record an inter-company task in the ERP database."""
    with writing(path) as connection:
        connection.execute("INSERT INTO taches VALUES (?, ?, ?, 'ARTICLE', ?, 2)", (key, dossier, at, article))


def source(url: str, **changes: object) -> Source:
    """Return a source with all three streams."""
    values: dict[str, Any] = {"logbook": LOGBOOK, "datasets": (DATASETS,), "page_size": 3, "timeout_s": 5, **changes}
    return Source("erp", url, **values)


def state(
    number: int,
    group: str,
    function: str | None = None,
    true: int | None = None,
    false: int | None = None,
    **more: str | tuple[str, ...],
) -> AutomatonState:
    """Return an automaton state: automatic with a function, final when its group is closed, else manual."""
    closed = group.startswith("CLOSED")
    action = StateAction.AUTOMATIC if function else StateAction.FINAL if closed else StateAction.MANUAL
    return AutomatonState(number, f"state {number}", StateGroup(group), action, function, more, true, false)


TIMES = DatasetType(
    "TPSAFF",
    DatasetCategory.TIME,
    "Project time",
    (
        state(100, "RECEIVED", "check_fields", 200, 800),
        state(200, "PROCESSING", "field_equals", 900, 300, field="Valide", value="1"),
        state(300, "WAITING"),
        state(800, "ERROR"),
        state(900, "CLOSED_OK"),
    ),
    (
        DatasetField("TimeId", required=True, max_length=10),
        DatasetField("Jour", ValueKind.DATE, required=True),
        DatasetField("Heures", ValueKind.NUMBER),
    ),
)
INTERVENTIONS = DatasetType("INTER", DatasetCategory.INTERVENTION, "Intervention", (state(100, "RECEIVED"),))


def company(
    engine: sa.Engine,
    *,
    dossiers: Mapping[str, Mapping[str, Any]],
    sources: Sequence[Source] = (),
    types: Sequence[DatasetType] = (TIMES, INTERVENTIONS),
    targets: Sequence[CallTarget] = (),
) -> None:
    """Write a configuration into the tables."""
    with engine.begin() as connection:
        for one in targets:
            connection.execute(
                sa.insert(schema.call_target).values(
                    target_code=one.target_code,
                    definition=adapter(CallTarget).dump_python(one, mode="json"),
                    updated_at=ACTIVATED,
                )
            )
        for found in sources:
            connection.execute(
                sa.insert(schema.source).values(
                    source_code=found.source_code,
                    definition=adapter(Source).dump_python(found, mode="json"),
                    updated_at=ACTIVATED,
                )
            )
        for kind in types:
            _write_type(connection, kind)
        for code, values in dossiers.items():
            row = {
                "dossier_code": code, "crm_project_code": f"CRM{code}", "activated_at": ACTIVATED, "created_at": ACTIVATED,
                "updated_at": ACTIVATED, **values,
            }  # fmt: skip
            connection.execute(sa.insert(schema.dossier).values(**row))


def _write_type(connection: sa.Connection, kind: DatasetType) -> None:
    written = adapter(DatasetType).dump_python(kind, mode="json")
    connection.execute(
        sa.insert(schema.dataset_type).values(
            type_code=kind.type_code, category=kind.category, label=kind.label, fields=written["fields"], updated_at=ACTIVATED
        )
    )
    for found in written["states"]:
        connection.execute(sa.insert(schema.automaton_state).values(type_code=kind.type_code, **found))


def table(engine: sa.Engine, name: sa.Table, *columns: str) -> list[tuple[Any, ...]]:
    """Return the rows of a table, of these columns, sorted."""
    with engine.connect() as connection:
        found = connection.execute(sa.select(*(name.c[column] for column in columns)))
        return sorted((tuple(row) for row in found), key=lambda row: [str(value) for value in row])
