"""The cursor of a stream loses nothing and doubles nothing: lateness, equal instants, two passes at once, kill -9."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock, SystemClock
from erpcrm_orchestration.domain.configuration import DatasetMapping, Source
from erpcrm_orchestration.domain.errors import TransientFailure
from erpcrm_orchestration.services.intake import take_in
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.schema import hub_dataset, intake_reject, inter_company_task, logbook_entry, source_cursor
from tests.postgres.child_work import run
from tests.postgres.intake_company import (
    LOGBOOK,
    STATES,
    TASKS,
    CallTarget,
    company,
    source,
    sqlite_erp,
    table,
    write_dataset,
    write_line,
    write_task,
)

TODAY = "2026-11-18"


@pytest.fixture
def erp_engine(engine: sa.Engine) -> sa.Engine:
    """A PostgreSQL ERP: the tables stand in a schema of their own in the same database."""
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA erp"))
        connection.execute(
            sa.text(
                "CREATE TABLE erp.livre (id bigserial, dossier text, quand timestamptz NOT NULL, action text, sync text,"
                " prog text, res text, rejets int, texte text)"
            )
        )
        connection.execute(
            sa.text(
                "CREATE TABLE erp.entete (no uuid PRIMARY KEY, dossier varchar(8), type char(5), cree timestamp, maj timestamp,"
                " etat int, origine text, err text)"
            )
        )
    return engine


def postgres_source(engine: sa.Engine, **changes: object) -> Source:
    url = engine.url.render_as_string(hide_password=False)
    logbook = LOGBOOK.__class__("livre", LOGBOOK.columns, "erp", LOGBOOK.where, LOGBOOK.outcomes)
    return source(url, **{"logbook": logbook, "datasets": (), "page_size": 7, "overlap_floor_s": 2, **changes})


def keys(engine: sa.Engine) -> list[str]:
    return [key for (key,) in table(engine, logbook_entry, "entry_key")]


def cursor_of(engine: sa.Engine, stream: str = "logbook") -> dict[str, Any]:
    with engine.connect() as connection:
        found = connection.execute(sa.select(source_cursor).where(source_cursor.c.stream == stream)).mappings().one()
    return {str(name): value for name, value in found.items()}


def test_late_commits_equal_instants_and_shuffled_arrival_lose_and_double_nothing(erp_engine: sa.Engine) -> None:
    """F24: six writers commit up to 300 ms after the instant of their line, while passes run; 0 missed, 0 doubled."""
    company(erp_engine, dossiers={"001": {"source_code": "erp"}}, sources=[postgres_source(erp_engine)])
    done = threading.Event()
    barrier = threading.Barrier(7)

    def write(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - a seeded test
        barrier.wait()
        for _ in range(60):
            with erp_engine.connect() as connection:
                # Whole hundredths of a second give equal instants over page borders.
                connection.execute(
                    sa.text(
                        "INSERT INTO erp.livre (dossier, quand, action, res)"
                        " VALUES ('001', date_trunc('milliseconds', clock_timestamp()) - :back * interval '10 ms', 'X', 'O')"
                    ),
                    {"back": chance.randrange(20)},
                )
                connection.execute(sa.text("SELECT pg_sleep(:s)"), {"s": chance.choice((0, 0, 0.01, 0.3 * chance.random()))})
                connection.commit()

    def read() -> None:
        barrier.wait()
        while not done.is_set():
            result = take_in(erp_engine, ["001"], clock=SystemClock(), environment={}, run_id=None)["001"]
            assert result.failure is None

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(6)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    take_in(erp_engine, ["001"], clock=SystemClock(), environment={}, run_id=None)
    found = keys(erp_engine)
    assert len(found) == 360
    assert len(set(found)) == 360
    assert cursor_of(erp_engine)["late_arrivals"] > 0


def test_200_seeds_of_late_equal_and_shuffled_rows_arrive_completely(
    engine: sa.Engine, clock: FixedClock, tmp_path: Path
) -> None:
    """Rows come in any order, up to the overlap late, with equal instants over page borders: 200 seeds, 0 missed, 0 doubled."""
    erp = sqlite_erp(tmp_path / "erp.sqlite")
    company(
        engine,
        dossiers={f"s{seed}": {"source_code": "erp"} for seed in range(200)},
        sources=[source(f"sqlite:///{erp}", datasets=(), overlap_floor_s=120, page_size=40)],
    )
    codes = [f"s{seed}" for seed in range(200)]
    written: dict[str, set[str]] = {code: set() for code in codes}
    chance = random.Random(20261118)  # noqa: S311 - a seeded test
    start = clock.at
    for step in range(4):
        clock.at = start + timedelta(seconds=60 * step)
        rows = []
        for code in codes:
            for number in range(chance.randrange(9)):
                late = chance.choice((0, 0, 1, 30, 60, 119))
                at = clock.at - timedelta(seconds=late)
                rows.append((f"{step}-{number}", code, f"{at:%Y-%m-%d %H:%M:%S}"))
                written[code].add(f"{step}-{number}")
        chance.shuffle(rows)
        write_rows(erp, rows)
        results = take_in(engine, codes, clock=clock, environment={}, run_id=None)
        assert [result.failure for result in results.values() if result.failure] == []
    found: dict[str, list[str]] = {code: [] for code in codes}
    for code, key in table(engine, logbook_entry, "dossier_code", "entry_key"):
        found[code].append(key)
    assert {code: sorted(rows) for code, rows in found.items()} == {code: sorted(rows) for code, rows in written.items()}


def write_rows(erp: Path, rows: list[tuple[str, str, str]]) -> None:
    with closing(sqlite3.connect(erp)) as connection, connection:
        connection.executemany("INSERT INTO livre (id, dossier, quand, action, res) VALUES (?, ?, ?, 'X', 'O')", rows)


def test_the_overlap_grows_with_the_lateness_and_is_counted(engine: sa.Engine, clock: FixedClock, tmp_path: Path) -> None:
    erp = sqlite_erp(tmp_path / "erp.sqlite")
    company(engine, dossiers={"001": {"source_code": "erp"}}, sources=[source(f"sqlite:///{erp}")])
    take_in(engine, ["001"], clock=clock, environment={}, run_id=None)
    assert (cursor_of(engine)["overlap_s"], cursor_of(engine)["epoch"]) == (300, 1)
    write_line(erp, "late", f"{TODAY} 11:56:00")
    take_in(engine, ["001"], clock=clock, environment={}, run_id=None)
    found = cursor_of(engine)
    assert (found["overlap_s"], found["max_lateness_s"], found["late_arrivals"], found["rows_taken"]) == (480, 240, 1, 1)


def test_a_line_that_is_later_than_the_overlap_is_found_within_the_hour(
    engine: sa.Engine, clock: FixedClock, tmp_path: Path
) -> None:
    erp = sqlite_erp(tmp_path / "erp.sqlite")
    company(engine, dossiers={"001": {"source_code": "erp"}}, sources=[source(f"sqlite:///{erp}", datasets=())])
    take_in(engine, ["001"], clock=clock, environment={}, run_id=None)
    write_line(erp, "very late", f"{TODAY} 06:00:00")
    taken = []
    for _ in range(12):
        clock.at += timedelta(minutes=5)
        taken.append(take_in(engine, ["001"], clock=clock, environment={}, run_id=None)["001"].logbook_rows)
    assert sum(taken) == 1
    assert cursor_of(engine)["overlap_s"] > 6 * 3600


def test_two_passes_at_once_commit_one_after_the_other(engine: sa.Engine, clock: FixedClock, tmp_path: Path) -> None:
    """The cursor's epoch lets the second pass notice that it read from an old place; it reads again and doubles nothing."""
    erp = sqlite_erp(tmp_path / "erp.sqlite")
    company(engine, dossiers={"001": {"source_code": "erp"}}, sources=[source(f"sqlite:///{erp}")])
    for number in range(20):
        write_line(erp, number, f"{TODAY} 11:00:00")
        write_dataset(erp, f"D{number}", f"{TODAY} 11:00:00")
    results = []

    def take() -> None:
        results.append(take_in(engine, ["001"], clock=clock, environment={}, run_id=None)["001"])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.failure for result in results] == [None] * 4
    assert sum(result.logbook_rows for result in results) == 20
    assert len(keys(engine)) == len(table(engine, hub_dataset, "source_key")) == 20
    assert cursor_of(engine)["epoch"] == cursor_of(engine, "pieces")["epoch"] == 4


def test_types_of_a_postgresql_erp_are_read_and_one_infinity_rejects_one_row(erp_engine: sa.Engine, clock: FixedClock) -> None:
    """Catalogue 94: `infinity` and a year before 1970 pass PostgreSQL; they are rejected, their neighbours arrive."""
    columns = {
        "key": "no", "type": "type", "created_at": "cree", "updated_at": "maj", "state": "etat", "origin": "origine",
        "error": "err",
    }  # fmt: skip
    mapping = DatasetMapping("pieces", "entete", columns, "erp", {"dossier": "{dossier}"}, states=STATES)
    company(
        erp_engine,
        dossiers={"001": {"source_code": "erp"}},
        sources=[postgres_source(erp_engine, datasets=(mapping,), time_zone="Europe/Paris")],
    )
    with erp_engine.begin() as connection:
        for number, at in enumerate(
            ("2026-11-18 12:30:00.123456", "infinity", "-infinity", "1905-01-01", "2026-07-01 12:00:00")
        ):
            connection.execute(
                sa.text("INSERT INTO erp.entete VALUES (:no, '001', 'INTER', :at, :at, 9, 'CRM', NULL)"),
                {"no": f"00000000-0000-0000-0000-00000000000{number}", "at": at},
            )
        connection.execute(
            sa.text(
                "INSERT INTO erp.livre (dossier, quand, action, res)"
                " VALUES ('001', 'infinity', 'X', 'O'), ('001', :at, 'X', 'O')"
            ),
            {"at": clock.at},
        )
    result = take_in(erp_engine, ["001"], clock=clock, environment={}, run_id=None)["001"]
    assert (result.logbook_rows, result.dataset_rows, result.rejected, result.failure) == (1, 2, 4, None)
    assert [at for (at,) in table(erp_engine, hub_dataset, "updated_at")] == [
        datetime(2026, 7, 1, 10, tzinfo=UTC),
        datetime(2026, 11, 18, 11, 30, 0, 123456, tzinfo=UTC),
    ]
    assert "E-VAL-094 source erp logbook row 1 column quand: infinity is not an instant; give a year from 1970 to 2100" in [
        reason for (reason,) in table(erp_engine, intake_reject, "reason")
    ]
    with erp_engine.begin() as connection:
        connection.execute(sa.text("UPDATE erp.entete SET maj = '2026-01-01', cree = '2026-01-01' WHERE maj = 'infinity'"))
    corrected = take_in(erp_engine, ["001"], clock=clock, environment={}, run_id=None)["001"]
    assert (corrected.dataset_rows, corrected.rejected) == (1, 0)
    assert len(table(erp_engine, intake_reject, "reason")) == 3


FAILPOINTS = ("intake.between_pages", "intake.before_cursor", "intake.before_commit", "intake.after_commit")


@pytest.mark.parametrize("point", FAILPOINTS)
def test_kill_9_of_a_pass_loses_and_doubles_nothing(
    engine: sa.Engine, clock: FixedClock, tmp_path: Path, database_url: sa.URL, point: str
) -> None:
    """F2, F3, F4, F5: whatever the process had done, the next pass ends at the same rows."""
    erp = sqlite_erp(tmp_path / "erp.sqlite")
    company(
        engine,
        dossiers={"001": {"source_code": "erp"}},
        sources=[source(f"sqlite:///{erp}", tasks=TASKS)],
        targets=[CallTarget("crm", folder="/nowhere")],
    )
    for number in range(8):
        write_line(erp, number, f"{TODAY} 11:00:00", res="?" if number == 7 else "O")
        write_dataset(erp, f"D{number}", f"{TODAY} 11:00:00")
        write_task(erp, f"T{number}", f"{TODAY} 11:00:00")
    for _ in range(2):
        assert run("take_in", database_url, f"{point}:kill") == -signal.SIGKILL
    assert run("take_in", database_url) == 0
    assert take_in(engine, ["001"], clock=clock, environment={}, run_id=None)["001"].failure is None
    written = [key for key in keys(engine) if "/" not in key]
    assert written == [str(number) for number in range(7)]
    assert len(table(engine, hub_dataset, "source_key")) == len(table(engine, inter_company_task, "task_key")) == 8
    assert [key for (key,) in table(engine, intake_reject, "source_key")] == ["7"]
    assert len([key for key in keys(engine) if "/" in key]) == 1


def test_a_postgresql_source_that_stops_answering_ends_at_its_deadline(
    server: EmbeddedServer, erp_engine: sa.Engine, clock: FixedClock
) -> None:
    """A table that is locked for ever costs the statement deadline, then the dossier has its failure."""
    company(
        erp_engine,
        dossiers={"001": {"source_code": "erp"}},
        sources=[postgres_source(erp_engine, timeout_s=1)],
    )
    with erp_engine.begin() as holder:
        holder.execute(sa.text("LOCK TABLE erp.livre IN ACCESS EXCLUSIVE MODE"))
        failure = take_in(erp_engine, ["001"], clock=clock, environment={}, run_id=None)["001"].failure
    assert (
        str(failure) == "E-SRC-020 source erp: canceling statement due to statement timeout; it is read again at the next pass"
    )


def test_F19_a_server_that_stands_still_is_given_up_by_our_own_clock(
    erp_engine: sa.Engine, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backend that reads for us is stopped (SIGSTOP): its own deadline cannot fire, ours does."""
    monkeypatch.setattr("erpcrm_orchestration.clients.sql_source.MARGIN_S", 1)
    company(erp_engine, dossiers={"001": {"source_code": "erp"}}, sources=[postgres_source(erp_engine, timeout_s=1)])
    seen: list[int] = []
    with erp_engine.begin() as holder:
        holder.execute(sa.text("LOCK TABLE erp.livre IN ACCESS EXCLUSIVE MODE"))
        stopper = threading.Thread(target=stop_backend, args=(erp_engine, seen))
        stopper.start()
        try:
            failure = take_in(erp_engine, ["001"], clock=clock, environment={}, run_id=None)["001"].failure
        finally:
            stopper.join()
            for pid in seen:
                os.kill(pid, signal.SIGCONT)
    assert isinstance(failure, TransientFailure)
    assert str(failure).startswith("E-SRC-020 source erp: ")


def stop_backend(engine: sa.Engine, seen: list[int]) -> None:
    """Stop the backend of the intake as soon as it waits for the lock."""
    statement = sa.text(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'erpcrm intake' AND wait_event_type = 'Lock'"
    )
    while not seen:
        with engine.connect() as connection:
            seen.extend(connection.scalars(statement))
    os.kill(seen[0], signal.SIGSTOP)


def test_a_sqlite_statement_that_takes_too_long_is_interrupted(
    engine: sa.Engine, clock: FixedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("erpcrm_orchestration.clients.sql_source.MARGIN_S", -0.8)
    erp = tmp_path / "endless.sqlite"
    with closing(sqlite3.connect(erp)) as connection, connection:
        connection.execute(
            "CREATE VIEW livre AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
            " SELECT i AS id, '001' AS dossier, '2026-11-18' AS quand, 'X' AS action, '' AS sync, '' AS prog, 'O' AS res,"
            " 0 AS rejets, '' AS texte FROM n WHERE i < 0"
        )
    company(engine, dossiers={"001": {"source_code": "erp"}}, sources=[source(f"sqlite:///{erp}", timeout_s=1, datasets=())])
    failure = take_in(engine, ["001"], clock=clock, environment={}, run_id=None)["001"].failure
    assert str(failure) == "E-SRC-020 source erp: interrupted; it is read again at the next pass"


def test_a_dataset_that_the_erp_closes_without_touching_its_instant_is_seen_within_the_hour(
    engine: sa.Engine, clock: FixedClock, tmp_path: Path
) -> None:
    erp = sqlite_erp(tmp_path / "erp.sqlite")
    company(engine, dossiers={"001": {"source_code": "erp"}}, sources=[source(f"sqlite:///{erp}", logbook=None)])
    write_dataset(erp, "D1", "2026-06-01 10:00:00")
    take_in(engine, ["001"], clock=clock, environment={}, run_id=None)
    write_dataset(erp, "D1", "2026-06-01 10:00:00", "9")
    for _ in range(12):
        clock.at += timedelta(minutes=5)
        take_in(engine, ["001"], clock=clock, environment={}, run_id=None)
    assert table(engine, hub_dataset, "source_key", "state_group") == [("D1", "CLOSED_OK")]
    assert cursor_of(engine, "pieces")["late_arrivals"] == 0
