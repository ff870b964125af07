"""`erpcrm doctor` and `erpcrm refresh` on real parts: everything well, and each thing wrong in its own words."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.domain.configuration import LogbookMapping, MailSettings, Source
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.engine import VARIABLE
from erpcrm_orchestration.store.single import is_held, only_one
from tests.company import Company
from tests.mailbox import Mailbox

ALWAYS = {"days": [1, 2, 3, 4, 5, 6, 7], "start": time(0, 0), "duration_min": 1439, "frequency_min": 15}


@pytest.fixture(autouse=True)
def _on_this_database(database_url: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, database_url.render_as_string(hide_password=False))


def midday_zone() -> str:
    """Return a zone in which it is about noon now, so that no window opened a moment ago."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


@pytest.fixture
def erp(tmp_path: Path) -> Path:
    """The database file of a source, with an empty logbook."""
    file = tmp_path / "erp.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE log (id INTEGER, at TEXT, action TEXT, outcome TEXT)")
    return file


@pytest.fixture
def well(company: Company, erp: Path, tmp_path: Path, database_url: sa.URL) -> Iterator[Company]:
    """A company in which nothing is wrong: its daemon runs, dossier 998 was refreshed just now."""
    company.clock.at = datetime.now(UTC)
    hub = tmp_path / "hub"
    hub.mkdir()
    logbook = LogbookMapping("log", {"key": "id", "at": "at", "action": "action"})
    company.source(Source("erp", f"sqlite:///{erp}", logbook=logbook))
    company.dossier("998", time_zone=midday_zone(), source_code="erp", hub_folder=str(hub), process=ALWAYS)
    with company.engine.begin() as connection:
        connection.execute(sa.delete(schema.watcher))
        connection.execute(
            sa.insert(schema.watcher).values(watcher_code="DATA_HUB", poll_interval_s=3600, heartbeat_at=company.clock.now())
        )
    assert company.refresh("998").failures == {}
    with only_one(database_url):
        yield company


def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    code = run(["doctor"])
    return code, capsys.readouterr().out.splitlines()


def wrong(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("!!")]


def test_when_everything_is_well_every_line_is_ok(well: Company, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = doctor(capsys)
    assert (wrong(lines), code) == ([], 0)
    subjects = [line[4:].split(":")[0] for line in lines]
    assert {"daemon", "disk", "clocks", "source erp", "pivot folder of dossier 998", "watchers_are_running"} <= set(subjects)
    assert all(line.startswith("ok  ") for line in lines)


def test_a_daemon_that_does_not_run_is_said(well: Company, capsys: pytest.CaptureFixture[str]) -> None:
    with well.engine.begin() as connection:
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'erpcrm up pid%'")
        )
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    while is_held(well.engine.url) and datetime.now(UTC) < deadline:
        pass
    code, lines = doctor(capsys)
    assert (wrong(lines), lines[-1], code) == (["!!  daemon: does not run; start it: erpcrm up"], "1 to look at", 1)


def test_a_source_that_is_down_is_said(well: Company, erp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    erp.unlink()
    code, lines = doctor(capsys)
    message = f"!!  source erp: no database file {erp}; check its url, its server and the network"
    assert (wrong(lines), code) == ([message], 1)


def test_a_pivot_folder_that_is_missing_is_said(well: Company, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hub").rmdir()
    code, lines = doctor(capsys)
    folder = tmp_path / "hub"
    message = f"!!  pivot folder of dossier 998: {folder} is missing or not writable; create it, or correct hub_folder"
    assert (wrong(lines), code) == ([message], 1)


def test_a_mail_server_that_is_away_is_said(well: Company, mailbox: Mailbox, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        well.general(mail=MailSettings(host="127.0.0.1", port=str(port), administrator="admin@meridian.example"))
        code, lines = doctor(capsys)
    (line,) = wrong(lines)
    assert line.startswith(f"!!  mail server 127.0.0.1:{port}: cannot be reached (")
    assert line.endswith("; check host, port and that it runs; the mails wait")
    assert code == 1


def test_a_stale_state_is_said(well: Company, capsys: pytest.CaptureFixture[str]) -> None:
    with well.engine.begin() as connection:
        connection.execute(
            sa.update(schema.interaction_state).values(last_refreshed_at=datetime.now(UTC) - timedelta(minutes=31))
        )
    code, lines = doctor(capsys)
    (line,) = wrong(lines)
    assert line.startswith("!!  interaction_state_is_fresh: stale: 1, 998: ")
    assert code == 1


def test_a_watcher_that_stands_still_is_said(well: Company, capsys: pytest.CaptureFixture[str]) -> None:
    with well.engine.begin() as connection:
        connection.execute(sa.update(schema.watcher).values(heartbeat_at=datetime.now(UTC) - timedelta(hours=3)))
    code, lines = doctor(capsys)
    (line,) = wrong(lines)
    assert line.startswith("!!  watchers_are_running: DATA_HUB: OFF; ")
    assert code == 1


def test_a_configuration_that_does_not_fit_together_is_said(well: Company, capsys: pytest.CaptureFixture[str]) -> None:
    with well.engine.begin() as connection:
        connection.execute(sa.update(schema.process).values(mail_group="nobody"))
    code, lines = doctor(capsys)
    (line,) = wrong(lines)
    assert line.startswith("!!  configuration_is_consistent: problems: 1, 1: dossier 998: mail group nobody does not exist; ")
    assert code == 1


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(list(arguments))
    written = capsys.readouterr()
    return code, written.out, written.err


def test_A22_A23_A24_a_refresh_by_hand_makes_one_row_then_updates_it_and_never_mails(
    company: Company, mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    company.dossier("998")
    company.log("998", datetime.now(UTC) - timedelta(hours=3))
    assert said(capsys, "refresh", "998") == (0, "998: refreshed\n", "")
    first = company.state("998")
    assert first.sync_state == "ALERT"
    assert said(capsys, "refresh", "998") == (0, "998: refreshed\n", "")
    assert company.count(schema.interaction_state) == 1
    assert company.state("998").last_refreshed_at > first.last_refreshed_at
    assert (company.count(schema.mail), mailbox.received) == (0, [])
    assert said(capsys, "refresh", "998", "--notify") == (0, "998: refreshed\n", "")
    assert len(mailbox.received) == 1


def test_refresh_creates_a_missing_dossier_only_when_asked_and_only_with_a_code_that_is_one(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "refresh", "777")[0] == 2
    assert company.count(schema.dossier) == 0
    code, out, errors = said(capsys, "refresh", "7 7", "--create", "CRM-777")
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert company.count(schema.dossier) == 0
    assert said(capsys, "refresh", "777", "--create", "CRM-777") == (0, "777: refreshed\n", "")
    assert company.state("777").crm_project_code == "CRM-777"
    assert [row.action for row in company.rows(schema.change)] == ["add"]


def test_refresh_says_in_one_line_why_a_dossier_was_not_refreshed(
    well: Company, erp: Path, capsys: pytest.CaptureFixture[str], database_url: sa.URL
) -> None:
    well.dossier("001", active=False)
    well.dossier("002")
    erp.unlink()
    with well.engine.begin() as connection:
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'erpcrm up pid%'")
        )
    before = well.state("998")
    code, out, errors = said(capsys, "refresh", "998", "001", "002")
    assert (code, out) == (3, "002: refreshed\n")
    assert errors.splitlines() == [
        f"998: E-SRC-020 source erp: no database file {erp}; it is read again at the next pass",
        "001: the dossier is inactive",
    ]
    assert well.state("998") == before


def test_a_daemon_that_does_not_answer_is_waited_for_so_long_only(well: Company, capsys: pytest.CaptureFixture[str]) -> None:
    message = "E-RUN-004 refresh of 998: not done after 0 s; look at the run in the Dagster UI\n"
    assert said(capsys, "refresh", "998", "--timeout", "0") == (4, "", message)
    assert [row.state for row in well.rows(schema.refresh_request)] == ["REQUESTED"]


def test_a_port_that_is_in_use_is_said_before_anything_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = f"E-RUN-002 127.0.0.1:{port}: something listens there; give another --port\n"
        assert said(capsys, "up", "--port", str(port)) == (2, "", message)


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], port: str) -> None:
    for command in (["up"], ["demo"]):
        code, out, errors = said(capsys, *command, "--port", port)
        assert (code, out, errors.count("\n")) == (2, "", 1)
        assert errors.startswith(f"E-CLI-050 erpcrm {command[0]}: Invalid value for '--port': ")
