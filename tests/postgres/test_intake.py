"""Lines, datasets and tasks of an ERP database arrive in the tables: incrementally, completely, once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import CallTarget, DatasetMapping, LogbookMapping, StateGroup, TimeExportFilter
from erpcrm_orchestration.domain.errors import PermanentFailure, TransientFailure
from erpcrm_orchestration.domain.intake import IntakeResult
from erpcrm_orchestration.services.intake import take_in
from erpcrm_orchestration.store.schema import hub_dataset, intake_reject, inter_company_task, logbook_entry, source_cursor
from tests.postgres.intake_company import (
    LOGBOOK,
    TASKS,
    company,
    source,
    sqlite_erp,
    table,
    write_dataset,
    write_line,
    write_task,
    writing,
)

TODAY = "2026-11-18"
GAP = "E-VAL-093 {}: 2026-03-29 02:30:00 does not exist in Europe/Paris, where clocks go forward; correct it at the source"
NO_VARIABLE = (
    "E-CFG-046 source erp url: environment variable ERP_URL is not set or empty; set ERP_URL where this process starts"
)


@pytest.fixture
def erp(tmp_path: Path) -> Path:
    return sqlite_erp(tmp_path / "erp.sqlite")


def take(engine: sa.Engine, clock: FixedClock, *codes: str) -> dict[str, IntakeResult]:
    return take_in(engine, codes or ("001",), clock=clock, environment={}, run_id="run-1")


def one_dossier(engine: sa.Engine, erp: Path, **changes: object) -> None:
    company(engine, dossiers={"001": {"source_code": "erp"}}, sources=[source(f"sqlite:///{erp}", **changes)])


def reasons(engine: sa.Engine) -> list[str]:
    return [reason for (reason,) in table(engine, intake_reject, "reason")]


def test_lines_and_datasets_of_a_sqlite_erp_arrive_once(engine: sa.Engine, clock: FixedClock, erp: Path) -> None:
    company(engine, dossiers={"001": {"source_code": "erp"}, "002": {}}, sources=[source(f"sqlite:///{erp}")])
    for number in range(7):
        write_line(erp, number, f"{TODAY} 11:0{number}:00")
    write_dataset(erp, "D1", f"{TODAY} 11:00:00")
    result = take(engine, clock, "001", "002")
    assert result == {"001": IntakeResult("001", 7, 1), "002": IntakeResult("002")}
    assert take(engine, clock)["001"] == IntakeResult("001")
    lines = table(engine, logbook_entry, "entry_key", "origin", "sync_id", "outcome", "reject_count", "run_id", "recorded_at")
    assert lines == [(str(number), "source:erp", "s1", "OK", 0, "run-1", clock.at) for number in range(7)]
    assert table(engine, hub_dataset, "source_key", "category", "state_group", "state_number", "intake") == [
        ("D1", "INTERVENTION", "PENDING", 1, "source:erp/pieces")
    ]


def test_a_dataset_that_changes_at_the_source_keeps_its_number_and_its_creation(
    engine: sa.Engine, clock: FixedClock, erp: Path
) -> None:
    one_dossier(engine, erp)
    write_dataset(erp, "D1", f"{TODAY} 11:00:00")
    take(engine, clock)
    before = table(engine, hub_dataset, "dataset_number", "created_at")
    write_dataset(erp, "D1", f"{TODAY} 11:58:00", "8")
    assert take(engine, clock)["001"].dataset_rows == 1
    assert table(engine, hub_dataset, "dataset_number", "created_at") == before
    assert table(engine, hub_dataset, "state_group", "last_error", "updated_at") == [
        ("ERROR", "state 8 of the source", datetime(2026, 11, 18, 11, 58, tzinfo=UTC))
    ]


def test_a_state_that_is_no_number_of_an_automaton_counts_as_the_entry_state(
    engine: sa.Engine, clock: FixedClock, erp: Path
) -> None:
    mapping = replace(
        source("").datasets[0], states={"RUN": StateGroup.PROCESSING, "0": StateGroup.PENDING, "10000": StateGroup.PENDING}
    )
    one_dossier(engine, erp, datasets=(mapping,))
    for key, state in (("A", "RUN"), ("B", "0"), ("C", "10000")):
        write_dataset(erp, key, f"{TODAY} 11:00:00", state)
    take(engine, clock)
    assert table(engine, hub_dataset, "source_key", "state_number") == [("A", 100), ("B", 100), ("C", 100)]


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("2026-03-29 02:30:00", GAP),
        ("2026-11-18 24:00:00", "E-VAL-093 {}: '2026-11-18 24:00:00' does not exist; correct it at the source"),
        ("nonsense", "E-VAL-093 {}: 'nonsense' is not an instant; write YYYY-MM-DD HH:MM:SS+00:00"),
        ("0000-00-00", "E-VAL-094 {}: year of '0000-00-00' is out of range; give a year from 1970 to 2100"),
        ("infinity", "E-VAL-094 {}: infinity is not an instant; give a year from 1970 to 2100"),
        (1763467200000, "E-VAL-094 {}: 1763467200000 counts milliseconds; give seconds since 1970"),
        ("1969-01-01 00:00:00", "E-VAL-094 {}: year of '1969-01-01 00:00:00' is out of range; give a year from 1970 to 2100"),
        ("2201-01-01 00:00:00", "E-VAL-094 {}: year of '2201-01-01 00:00:00' is out of range; give a year from 1970 to 2100"),
        (None, "E-VAL-001 {}: no value; an instant is required"),
    ],
)  # fmt: skip
def test_a_row_with_a_doubtful_instant_is_rejected_alone_and_taken_when_it_is_corrected(
    engine: sa.Engine, clock: FixedClock, erp: Path, at: object, reason: str
) -> None:
    """Catalogue 92, 93, 94: the neighbours arrive, the reject has its reason and one logbook line, the correction ends it."""
    one_dossier(engine, erp, time_zone="Europe/Paris")
    with writing(erp) as connection:
        connection.execute("ALTER TABLE livre DROP COLUMN quand")
        connection.execute("ALTER TABLE livre ADD COLUMN quand")
        for key, value in (("good", f"{TODAY} 11:00:00"), ("bad", at)):
            connection.execute("INSERT INTO livre (id, dossier, quand, action) VALUES (?, '001', ?, 'X')", (key, value))
    first = take(engine, clock)["001"]
    assert (first.logbook_rows, first.rejected, first.failure) == (1, 1, None)
    where = "source erp logbook row bad column quand"
    assert reasons(engine) == [reason.format(where)]
    clock.at += timedelta(minutes=5)
    again = take(engine, clock)["001"]
    assert (again.logbook_rows, again.rejected) == (0, 0)
    written = [
        row for row in table(engine, logbook_entry, "action", "outcome", "origin", "message") if row[0] == "INTAKE_REJECT"
    ]
    assert written == [("INTAKE_REJECT", "REJECT", "system", reason.format(where))]
    with writing(erp) as connection:
        connection.execute("UPDATE livre SET quand = '2026-01-15 10:00:00' WHERE id = 'bad'")
    corrected = take(engine, clock)["001"]
    assert (corrected.logbook_rows, corrected.rejected) == (1, 0)
    assert reasons(engine) == []
    assert ("bad", datetime(2026, 1, 15, 9, tzinfo=UTC)) in table(engine, logbook_entry, "entry_key", "at")


def test_rows_with_other_faults_are_rejected_by_name_and_their_neighbours_arrive(
    engine: sa.Engine, clock: FixedClock, erp: Path
) -> None:
    one_dossier(engine, erp)
    with writing(erp) as connection:
        rows = [
            ("nul", "a\x00b", "O", 0), ("utf8", None, "O", 0), ("outcome", "X", "?", 0), ("count", "X", "O", "many"),
            (None, "X", "O", 0), ("empty", "", "O", 0), ("fine", "X", "O", 3),
        ]  # fmt: skip
        for key, action, outcome, count in rows:
            connection.execute(
                "INSERT INTO livre VALUES (?, '001', ?, ?, 's', 'p', ?, ?, NULL)",
                (key, f"{TODAY} 10:00:00", action, outcome, count),
            )
        connection.execute("UPDATE livre SET action = CAST(X'636166E9' AS TEXT) WHERE id = 'utf8'")
    result = take(engine, clock)["001"]
    assert (result.logbook_rows, result.rejected, result.failure) == (1, 6, None)
    where = "source erp logbook row"
    assert sorted(reasons(engine)) == sorted(
        [
            rf"E-VAL-003 {where} nul column action: a NUL character in 'a\x00b'; remove it at the source",
            rf"E-VAL-003 {where} utf8 column action: not UTF-8: 'caf\udce9'; correct the encoding at the source",
            f"E-VAL-005 {where} outcome column res: '?' is unknown; known: E, ERROR, O, OK, R, REJECT",
            f"E-VAL-004 {where} count column rejets: 'many' is not a whole number; give 0, 1, 2...",
            f"E-VAL-001 {where} ? column id: no value; a value is required",
            f"E-VAL-001 {where} empty column action: no value; a value is required",
        ]
    )
    payloads = dict(table(engine, intake_reject, "source_key", "payload"))
    assert payloads["nul"]["action"] == "a\\0b"


def test_a_dataset_of_an_unknown_state_type_or_origin_is_rejected_with_its_name(
    engine: sa.Engine, clock: FixedClock, erp: Path
) -> None:
    one_dossier(engine, erp)
    write_dataset(erp, "state", f"{TODAY} 10:00:00", "7")
    write_dataset(erp, "type", f"{TODAY} 10:00:00", type_code="INTR")
    write_dataset(erp, "origin", f"{TODAY} 10:00:00")
    with writing(erp) as connection:
        connection.execute("UPDATE entete SET origine = 'FAX' WHERE no = 'origin'")
    assert take(engine, clock)["001"].rejected == 3
    where = "source erp pieces row"
    assert sorted(reasons(engine)) == [
        f"E-VAL-005 {where} origin column origine: 'FAX' is unknown; known: CRM, EDI, MAIL, OTHER",
        f"E-VAL-005 {where} state column etat: '7' is unknown; known: 1, 2, 8, 9",
        f"E-VAL-005 {where} type column type: 'INTR' is unknown; did you mean INTER?",
    ]


def test_A50_times_that_the_agent_does_not_export_are_not_taken(engine: sa.Engine, clock: FixedClock, tmp_path: Path) -> None:
    """A50: no end, no start, not for export, or exported already: these rows stay out."""
    erp = tmp_path / "times.sqlite"
    with closing(sqlite3.connect(erp)) as connection, connection:
        connection.execute(
            "CREATE TABLE times (id TEXT, maj TEXT, state TEXT, exp INT, deb TEXT, fin TEXT, done INT, inter TEXT, ok INT)"
        )
        rows = {
            "good": (1, "a", "b", 0, "CLOSED", 1),
            "no end": (1, "a", None, 0, "CLOSED", 1),
            "no start": (1, None, "b", 0, "CLOSED", 1),
            "not for export": (0, "a", "b", 0, "CLOSED", 1),
            "done": (1, "a", "b", 1, "CLOSED", 1),
            "open": (1, "a", "b", 0, "OPEN", 1),
            "unvalidated": (1, "a", "b", 0, "CLOSED", 0),
        }
        for key, values in rows.items():
            connection.execute("INSERT INTO times VALUES (?, ?, '1', ?, ?, ?, ?, ?, ?)", (key, f"{TODAY} 10:00:00", *values))
    columns = {
        "service_export": "exp", "user_start": "deb", "user_end": "fin", "exported": "done", "intervention_state": "inter",
        "validated": "ok",
    }  # fmt: skip
    mapped = {"key": "id", "created_at": "maj", "updated_at": "maj", "state": "state"}
    streams = {
        "plain": TimeExportFilter(columns),
        "closed": TimeExportFilter(columns, closed_interventions_only=True, validated_only=True),
        "all": TimeExportFilter(columns, include_exported=True),
    }
    mappings = tuple(
        DatasetMapping(name, "times", mapped, type_code="TPSAFF", states={"1": StateGroup.PENDING}, time_export=switches)
        for name, switches in streams.items()
    )
    one_dossier(engine, erp, logbook=None, datasets=mappings)
    assert take(engine, clock)["001"].failure is None
    taken: dict[str, set[str]] = {}
    for intake, key in table(engine, hub_dataset, "intake", "source_key"):
        taken.setdefault(intake.removeprefix("source:erp/"), set()).add(key)
    assert taken == {
        "plain": {"good", "open", "unvalidated"}, "closed": {"good"}, "all": {"good", "open", "unvalidated", "done"},
    }  # fmt: skip


def test_tasks_are_recorded_once_with_their_values(engine: sa.Engine, clock: FixedClock, erp: Path) -> None:
    company(
        engine,
        dossiers={"001": {"source_code": "erp"}},
        sources=[source(f"sqlite:///{erp}", tasks=TASKS)],
        targets=[CallTarget("crm", folder="/nowhere")],
    )
    write_task(erp, "T1", f"{TODAY} 10:00:00")
    assert take(engine, clock)["001"].task_rows == 1
    write_task(erp, "T2", f"{TODAY} 11:58:00", article="A2")
    assert take(engine, clock)["001"].task_rows == 1
    assert table(engine, inter_company_task, "task_key", "kind", "payload", "state", "intake") == [
        ("T1", "ARTICLE", {"article": "A1", "quantite": 2}, "ACTIVE", "source:erp/tasks"),
        ("T2", "ARTICLE", {"article": "A2", "quantite": 2}, "ACTIVE", "source:erp/tasks"),
    ]


def test_a_task_for_a_target_that_is_gone_fails_its_stream_and_not_the_others(
    engine: sa.Engine, clock: FixedClock, erp: Path
) -> None:
    one_dossier(engine, erp, tasks=TASKS)
    write_line(erp, 1, f"{TODAY} 10:00:00")
    write_task(erp, "T1", f"{TODAY} 10:00:00")
    result = take(engine, clock)["001"]
    assert result.logbook_rows == 1
    assert isinstance(result.failure, PermanentFailure)
    assert str(result.failure).startswith("E-SRC-029 source erp stream tasks: our tables refuse its rows: ")


def test_A39_a_source_that_is_down_fails_for_its_own_dossiers(
    engine: sa.Engine, clock: FixedClock, erp: Path, tmp_path: Path
) -> None:
    gone = replace(source(f"sqlite:///{tmp_path}/gone.sqlite"), source_code="gone")
    company(
        engine,
        dossiers={"001": {"source_code": "gone"}, "002": {"source_code": "gone"}, "998": {"source_code": "erp"}},
        sources=[gone, source(f"sqlite:///{erp}")],
    )
    write_line(erp, 1, f"{TODAY} 10:00:00", dossier="998")
    results = take(engine, clock, "001", "002", "998")
    message = f"E-SRC-020 source gone: no database file {tmp_path}/gone.sqlite; it is read again at the next pass"
    assert [str(results[code].failure) for code in ("001", "002", "998")] == [message, message, "None"]
    assert results["998"].logbook_rows == 1
    failed = [
        row for row in table(engine, source_cursor, "dossier_code", "stream", "last_failure", "last_failure_at") if row[2]
    ]
    assert failed == [(code, stream, message, clock.at) for code in ("001", "002") for stream in ("logbook", "pieces")]
    sqlite_erp(tmp_path / "gone.sqlite")
    assert take(engine, clock, "001")["001"] == IntakeResult("001")
    assert [row for row in table(engine, source_cursor, "dossier_code", "last_failure") if row[0] == "001"] == [
        ("001", None)
    ] * 2


def test_a_source_without_the_mapped_table_or_column_says_which(engine: sa.Engine, clock: FixedClock, erp: Path) -> None:
    columns = {**LOGBOOK.columns, "message": "text"}
    one_dossier(
        engine, erp, logbook=LogbookMapping("livre", columns), datasets=(replace(source("").datasets[0], table="entetes"),)
    )
    write_line(erp, 1, f"{TODAY} 10:00:00")
    failure = take(engine, clock)["001"].failure
    assert str(failure) == "E-SRC-022 source erp stream logbook: table livre has no column text; did you mean texte?"
    assert ("E-SRC-021 source erp stream pieces: no table or view entetes; did you mean entete?",) in table(
        engine, source_cursor, "last_failure"
    )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("${env:ERP_URL}", NO_VARIABLE),
        ("user:hunter2@nowhere", "E-SRC-025 source erp: url is not a database URL; write dialect://user@host/database"),
        ("oracle://u:hunter2@h/d", "E-SRC-026 source erp: oracle cannot be read; use mssql, postgresql, sqlite"),
        ("mssql://u:hunter2@h/d", "E-SRC-027 source erp: no driver for mssql+pymssql; pip install erpcrm-orchestration[mssql]"),
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_fails_without_repeating_it(
    engine: sa.Engine, clock: FixedClock, url: str, message: str
) -> None:
    company(engine, dossiers={"001": {"source_code": "erp"}}, sources=[source(url)])
    failure = take(engine, clock)["001"].failure
    assert str(failure) == message
    assert "hunter2" not in str(table(engine, source_cursor, "last_failure"))


def test_a_server_that_refuses_connections_is_a_failure_without_its_password(engine: sa.Engine, clock: FixedClock) -> None:
    url = "postgresql://erp:hunter2@127.0.0.1:1/erp"
    company(engine, dossiers={"001": {"source_code": "erp"}}, sources=[source(url)])
    failure = take(engine, clock)["001"].failure
    assert isinstance(failure, TransientFailure)
    assert failure.code == "E-SRC-020"
    assert "Connection refused" in str(failure)
    assert "hunter2" not in str(failure)


def test_an_inactive_dossier_is_not_read(engine: sa.Engine, clock: FixedClock, erp: Path) -> None:
    company(engine, dossiers={"001": {"source_code": "erp", "active": False}}, sources=[source(f"sqlite:///{erp}")])
    write_line(erp, 1, f"{TODAY} 10:00:00")
    assert take(engine, clock)["001"] == IntakeResult("001")


def test_an_hour_that_comes_twice_keeps_a_line_where_it_was_read_first(engine: sa.Engine, clock: FixedClock, erp: Path) -> None:
    """02:30 local is read as the latest reading that has passed; a pass that would choose the other does not double it."""
    one_dossier(engine, erp, time_zone="Europe/Paris")
    write_line(erp, 1, "2026-10-25 02:30:00")
    take(engine, clock)
    first = table(engine, logbook_entry, "entry_key", "at")
    assert first == [("1", datetime(2026, 10, 25, 1, 30, tzinfo=UTC))]
    with engine.begin() as connection:
        connection.execute(sa.update(logbook_entry).values(at=datetime(2026, 10, 25, 0, 30, tzinfo=UTC)))
        connection.execute(sa.update(source_cursor).values(watermark_at=None))
    assert take(engine, clock)["001"].logbook_rows == 0
    assert table(engine, logbook_entry, "entry_key", "at") == [("1", datetime(2026, 10, 25, 0, 30, tzinfo=UTC))]


def test_many_dossiers_of_one_source_are_read_together_and_each_gets_its_own_rows(
    engine: sa.Engine, clock: FixedClock, erp: Path
) -> None:
    """The same key in two dossiers is two lines; rows of a dossier that is not asked for stay out."""
    codes = [f"{number:03}" for number in range(12)]
    company(engine, dossiers={code: {"source_code": "erp"} for code in codes}, sources=[source(f"sqlite:///{erp}")])
    for code in codes:
        for key in range(int(code) % 4):
            write_line(erp, key, f"{TODAY} 11:00:00", dossier=code)
            write_dataset(erp, f"{code}-{key}", f"{TODAY} 11:00:00", dossier=code)
    asked = codes[:10]
    results = take(engine, clock, *asked)
    assert [(code, results[code].logbook_rows, results[code].dataset_rows) for code in asked] == [
        (code, int(code) % 4, int(code) % 4) for code in asked
    ]
    assert {code for code, _ in table(engine, logbook_entry, "dossier_code", "entry_key")} == {c for c in asked if int(c) % 4}


def test_one_dossier_that_our_tables_refuse_does_not_keep_the_others_of_its_group_out(
    engine: sa.Engine, clock: FixedClock, erp: Path
) -> None:
    codes = ("001", "002", "003")
    company(engine, dossiers={code: {"source_code": "erp"} for code in codes}, sources=[source(f"sqlite:///{erp}")])
    with engine.begin() as connection:
        connection.execute(
            sa.text("ALTER TABLE flow.logbook_entry ADD CONSTRAINT no_002 CHECK (dossier_code <> '002' OR origin = 'system')")
        )
    for code in codes:
        write_line(erp, 1, f"{TODAY} 11:00:00", dossier=code)
        write_dataset(erp, f"D{code}", f"{TODAY} 11:00:00", dossier=code)
    results = take(engine, clock, *codes)
    assert [(results[code].logbook_rows, results[code].dataset_rows) for code in codes] == [(1, 1), (0, 1), (1, 1)]
    assert [results[code].failure is None for code in codes] == [True, False, True]
    assert str(results["002"].failure).startswith(
        "E-SRC-029 source erp stream logbook: our tables refuse its rows: new row for"
    )


def test_dossiers_that_the_source_writes_as_numbers_are_told_apart(
    engine: sa.Engine, clock: FixedClock, tmp_path: Path
) -> None:
    erp = tmp_path / "numbers.sqlite"
    with closing(sqlite3.connect(erp)) as connection, connection:
        connection.execute("CREATE TABLE livre (id INTEGER, dos INTEGER, at INTEGER, action TEXT)")
        connection.executemany(
            "INSERT INTO livre VALUES (?, ?, ?, 'X')", [(key, dos, 1763467200 + key) for dos in (1, 998) for key in range(5)]
        )
    mapping = LogbookMapping("livre", {"key": "id", "at": "at", "action": "action"}, where={"dos": "{dossier}"})
    company(
        engine,
        dossiers={code: {"source_code": "erp"} for code in ("001", "998", "002")},
        sources=[source(f"sqlite:///{erp}", logbook=mapping, datasets=())],
    )
    results = take(engine, clock, "001", "002", "998")
    assert [results[code].logbook_rows for code in ("001", "002", "998")] == [5, 0, 5]


def test_a_source_without_a_dossier_column_serves_one_dossier_after_the_other(
    engine: sa.Engine, clock: FixedClock, erp: Path
) -> None:
    company(
        engine,
        dossiers={"001": {"source_code": "erp"}, "002": {"source_code": "erp"}},
        sources=[source(f"sqlite:///{erp}", logbook=replace(LOGBOOK, where={}), datasets=())],
    )
    write_line(erp, 1, f"{TODAY} 11:00:00")
    results = take(engine, clock, "001", "002")
    assert [results[code].logbook_rows for code in ("001", "002")] == [1, 1]
