"""The command line as people meet it: the real program on a real database, exact words, exit codes with a meaning."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.install import COMMANDS, deferred_commands
from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.domain import failpoint
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.errors import StoreError
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.engine import VARIABLE
from erpcrm_orchestration.store.single import only_one
from erpcrm_orchestration.store.version import REVISIONS
from tests.company import Company
from tests.conftest import NOON

PROGRAM = [sys.executable, "-m", "erpcrm_orchestration.cli.main"]
PASSWORD = "c4nary-passw0rd"  # noqa: S105 - looked for in what is printed
ALL = ", ".join(sorted(COMMANDS))
NEWEST = REVISIONS[-1]


@pytest.fixture(autouse=True)
def _on_this_database(database_url: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, database_url.render_as_string(hide_password=False))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(list(arguments))
    written = capsys.readouterr()
    return code, written.out, written.err


def every_command() -> Iterator[tuple[str, Any]]:
    for one in deferred_commands():
        command = one.load()
        parts = getattr(command, "commands", None)
        if parts is None:
            yield one.name or "", command
        else:
            yield from ((f"{one.name} {name}", part) for name, part in parts.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], f"E-CLI-051 erpcrm: no command; try one of {ALL}, or --help"),
        (["db"], "E-CLI-051 erpcrm db: no command; try one of start, stop, url, or --help"),
        (["tasks"], "E-CLI-051 erpcrm tasks: no command; try one of list, pause, reactivate, resume, or --help"),
        (["statsu"], "E-CLI-052 erpcrm: unknown command statsu; did you mean status?"),
        (["db", "strat"], "E-CLI-052 erpcrm db: unknown command strat; did you mean start?"),
        (["db", "zzz"], "E-CLI-052 erpcrm db: unknown command zzz; known: start, stop, url"),
        ([""], f"E-CLI-052 erpcrm: unknown command ''; known: {ALL}"),
        (["it's. Did you mean"], f"E-CLI-052 erpcrm: unknown command it's. Did you mean; known: {ALL}"),
        (["--verson"], "E-CLI-050 erpcrm: unknown option --verson; known: --help"),
        (["-v", "status"], "E-CLI-050 erpcrm: unknown option -v; known: --help"),
        (["db", "--hlep"], "E-CLI-050 erpcrm db: unknown option --hlep; did you mean --help?"),
        (["status", "--dosier", "998"], "E-CLI-050 erpcrm status: unknown option --dosier; did you mean --dossier?"),
        (["status", "998"], "E-CLI-050 erpcrm status: Got unexpected extra argument(s) (998); see `erpcrm status --help`"),
        (["dossier", "set"], "E-CLI-050 erpcrm dossier set: Missing argument 'code'; see `erpcrm dossier set --help`"),
        (["status", "--dossier"], "E-CLI-050 erpcrm: Option '--dossier' requires an argument; see `erpcrm --help`"),
    ],
)
def test_cases_50_51_52_a_misuse_is_one_line_that_names_what_is_near(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert said(capsys, *arguments) == (2, "", message + "\n")


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["ticks"],
        ["alerts"],
        ["mails", "list"],
        ["tasks", "list"],
        ["datasets", "list"],
        ["inbox", "list"],
        ["work", "list"],
        ["connections", "list"],
        ["connections", "drift"],
        ["mapping", "list"],
        ["mapping", "worklist"],
    ],
)
def test_case_53_a_dossier_that_is_given_twice_or_empty_is_refused(
    capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    where = f"E-CLI-053 erpcrm {' '.join(command)} --dossier:"
    twice = f"{where} given 2 times (998, 001); give one dossier, or none for all\n"
    assert said(capsys, *command, "--dossier", "998", "--dossier", "001") == (2, "", twice)
    empty = f"{where} empty; give a dossier code, or leave the option out\n"
    assert said(capsys, *command, "--dossier", "") == (2, "", empty)


RANGE = ("classes", "simulate", "--dossier", "998", "--from")


def test_cases_54_to_56_the_commands_that_take_dates_are_these() -> None:
    """This fails when another one comes without its tests."""
    dates = {"--from", "--to", "--since", "--until", "--date"}
    found = {name for name, command in every_command() for parameter in command.params if dates & set(parameter.opts)}
    assert found == {"order add", "classes simulate"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*RANGE, "2026-03-01", "--to", "2026-02-01"), "E-CLI-054 days: 2026-03-01 is after 2026-02-01; exchange them"),
        (
            (*RANGE, "2026-02-30", "--to", "2026-03-01"),
            "E-CLI-055 erpcrm classes simulate --from: '2026-02-30' is no day; write 2026-01-31",
        ),
        (
            (*RANGE, "2026-02-01", "--to", "2026-02-30"),
            "E-CLI-055 erpcrm classes simulate --to: '2026-02-30' is no day; write 2026-01-31",
        ),
        (
            ("order", "add", "crm338", "--dossier", "998", "--date", "2026-02-30"),
            "E-CLI-055 erpcrm order add --date: '2026-02-30' is no day; write 2026-01-31",
        ),
        (
            ("order", "add", "crm338", "--dossier", "998", "--hour", "24:00"),
            "E-CLI-055 erpcrm order add --hour: '24:00' is no time; write 22:00",
        ),
        (
            (*RANGE, "2025-01-01", "--to", "2026-01-02"),
            "E-CLI-056 days: 367 days, more than 366; take fewer, or larger steps",
        ),
    ],
)
def test_cases_54_to_56_dates_that_are_none_and_ranges_that_are_odd_are_refused(
    engine: sa.Engine, clock: FixedClock, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    Company(engine, clock).dossier("998")
    assert said(capsys, *arguments) == (2, "", message + "\n")


def test_case_56_a_long_range_is_taken_with_yes(
    engine: sa.Engine, clock: FixedClock, capsys: pytest.CaptureFixture[str]
) -> None:
    Company(engine, clock).dossier("998")
    code, out, err = said(capsys, *RANGE, "2025-01-01", "--to", "2026-01-02", "--yes")
    assert (code, out, err) == (0, "nobody would have moved\n", "")


@pytest.mark.parametrize(
    "command",
    [
        ["ticks", "--dossier", "99"],
        ["alerts", "--dossier", "99"],
        ["mails", "list", "--dossier", "99"],
        ["tasks", "list", "--dossier", "99"],
        ["tasks", "reactivate", "--dossier", "99", "--reason", "x"],
        ["datasets", "list", "--dossier", "99"],
        ["dossier", "set", "99", "name=x"],
        ["dossier", "deactivate", "99", "--yes"],
        ["config", "export", "--dossier", "99"],
        ["refresh", "99"],
        ["integrate", "99"],
        ["reconcile", "99"],
        ["fetch", "order", "1", "--dossier", "99"],
        ["inbox", "list", "--dossier", "99"],
        ["inbox", "show", "1", "--dossier", "99"],
        ["inbox", "journey", "1", "--dossier", "99", "--entity", "order"],
        ["inbox", "relaunch", "1", "--dossier", "99", "--reason", "x"],
        ["work", "list", "--dossier", "99"],
        ["order", "add", "crm338", "--dossier", "99"],
        ["order", "list", "--dossier", "99"],
        ["audience", "preview", "vip", "--dossier", "99"],
        ["classes", "simulate", "--from", "2026-01-01", "--to", "2026-01-02", "--dossier", "99"],
        ["connections", "list", "--dossier", "99"],
        ["connections", "drift", "--dossier", "99"],
        ["mapping", "list", "--dossier", "99"],
        ["mapping", "worklist", "--dossier", "99"],
    ],
)
def test_case_57_an_unknown_dossier_is_answered_with_the_five_nearest(
    company: Company, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    for code in ("001", "999", "998", "210", "990", "340"):
        company.dossier(code)
    message = "E-CLI-057 dossier: no dossier '99'; nearest: 999, 998, 990, 001, 210\n"
    assert said(capsys, *command) == (2, "", message)


@pytest.mark.parametrize(
    "command", [["status"], ["migrate"], ["refresh", "998"], ["doctor"], ["env"], ["ticks"], ["up", "--port", "0"]]
)
def test_case_58_a_database_that_is_away_is_named_without_its_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{closed.getsockname()[1]}/erpcrm"
        monkeypatch.setenv(VARIABLE, f"postgresql://anne:{PASSWORD}@{place}")
        code, _, errors = said(capsys, *command)
    assert code == 4
    assert errors.startswith(f"E-DB-001 {place}: ")
    assert errors.endswith(
        "Connection refused; check that the server runs and that ERPCRM_DATABASE_URL is right, then repeat\n"
    )
    assert errors.count("\n") == 1
    assert PASSWORD not in errors


@pytest.fixture
def locked_out(server: EmbeddedServer, database_url: sa.URL) -> Iterator[sa.URL]:
    """A login whose password is another one than the URL says."""
    rules = server.data / "pg_hba.conf"
    before = rules.read_text(encoding="utf-8")
    rules.write_text(f"local all locked_out scram-sha-256\n{before}", encoding="utf-8")
    administrator = server.url(driver="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute("CREATE ROLE locked_out LOGIN PASSWORD 'another'")
        connection.execute("SELECT pg_reload_conf()")
    yield database_url.set(username="locked_out", password=PASSWORD)
    rules.write_text(before, encoding="utf-8")
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute("DROP ROLE locked_out")
        connection.execute("SELECT pg_reload_conf()")


@pytest.mark.parametrize("command", ["status", "migrate", "env", "refresh 998"])
def test_case_58_a_wrong_password_is_not_repeated(locked_out: sa.URL, command: str) -> None:
    environment = os.environ | {VARIABLE: locked_out.render_as_string(hide_password=False)}
    ended = subprocess.run([*PROGRAM, *command.split()], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (4, "")
    assert re.fullmatch(r"E-DB-001 .*password authentication failed for user \"locked_out\"; check that .*\n", ended.stderr)
    assert PASSWORD not in ended.stderr


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"postgresql://anne:{PASSWORD}@host:54x/db", "E-DB-002 ERPCRM_DATABASE_URL: not a database URL;"),
        (f"{PASSWORD} and more", "E-DB-002 ERPCRM_DATABASE_URL: not a database URL;"),
        (f"mysql://anne:{PASSWORD}@host/db", "E-DB-003 ERPCRM_DATABASE_URL: mysql is not PostgreSQL;"),
        (
            f"postgresql://anne:{PASSWORD}@127.0.0.1:1/db?foo={PASSWORD}",
            'E-DB-001 127.0.0.1:1/db: invalid connection option "foo";',
        ),
    ],
)
def test_case_58_a_wrong_url_is_not_repeated_even_with_a_traceback(url: str, message: str) -> None:
    command = [sys.executable, "-X", "dev", "-W", "ignore", "-m", "erpcrm_orchestration.cli.main", "status"]
    ended = subprocess.run(command, env=os.environ | {VARIABLE: url}, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2 if "-DB-001" not in message else 4, "", 1)
    assert ended.stderr.startswith(message)
    assert PASSWORD not in ended.stderr


@pytest.mark.parametrize("command", [["status"], ["refresh", "998"], ["doctor"], ["dossier", "list"], ["watchers"]])
@pytest.mark.parametrize(
    ("statement", "code", "message"),
    [
        (
            "DROP TABLE audit.schema_version",
            "E-DB-021",
            f"schema missing is older than this program's {NEWEST}; run `erpcrm migrate`",
        ),
        (
            "UPDATE audit.schema_version SET version_num = '9999'",
            "E-DB-020",
            f"schema 9999 is newer than this program's {NEWEST}; install the newer program; nothing was changed",
        ),
    ],
)
def test_case_59_another_schema_is_refused_with_what_to_do(
    engine: sa.Engine, capsys: pytest.CaptureFixture[str], command: list[str], statement: str, code: str, message: str
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    exit_code, out, errors = said(capsys, *command)
    assert (exit_code, out) == (4, "")
    assert errors.startswith(f"{code} ")
    assert errors.endswith(f": {message}\n")


def test_case_59_migrate_refuses_a_newer_schema(engine: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE audit.schema_version SET version_num = '9999'"))
    code, _, errors = said(capsys, "migrate")
    assert (code, errors.split()[0]) == (4, "E-DB-020")


def test_case_60_the_second_daemon_is_told_pid_and_host_of_the_first(
    database_url: sa.URL, capsys: pytest.CaptureFixture[str]
) -> None:
    with only_one(database_url):
        code, _, errors = said(capsys, "up", "--port", "0")
    holder = f"erpcrm up pid {os.getpid()} host {socket.gethostname()}"
    assert code == 2
    assert errors == (
        f"E-CLI-060 database {database_url.database}: a daemon runs already: {holder}; use that one, or stop it first\n"
    )


def test_case_61_a_question_that_nobody_can_answer_ends_the_command(company: Company) -> None:
    company.dossier("998")
    ended = subprocess.run(
        [*PROGRAM, "dossier", "deactivate", "998"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    message = "E-CLI-061 confirmation: nobody can be asked here; repeat with --yes\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", message)
    with company.engine.connect() as connection:
        assert connection.scalar(sa.select(schema.dossier.c.active))


@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "")])
def test_case_62_an_interrupted_refresh_frees_its_lease(company: Company, number: int, code: int, word: str) -> None:
    company.dossier("998")
    process = subprocess.Popen(
        [*PROGRAM, "refresh", "998"],
        env=os.environ | {failpoint.VARIABLE: "refresh_after_intake:sleep"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background work with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,  # noqa: PLW1509 - one thread here
    )
    held = sa.select(schema.lease.c.dossier_code).where(schema.lease.c.holder.is_not(None))
    while process.poll() is None:
        with company.engine.connect() as connection:
            if connection.scalar(held):
                break
    process.send_signal(number)
    assert process.communicate(timeout=60) == ("", word)
    assert process.returncode == code
    with company.engine.connect() as connection:
        assert connection.scalar(held) is None
    assert company.state("998") is None


@pytest.mark.parametrize(
    ("signalled", "broken", "code", "word"),
    [
        (KeyboardInterrupt(), RuntimeError("release unlocked lock"), 130, "interrupted\n"),
        (SystemExit(143), StoreError("E-DB-001", "db", "connection in transaction status ACTIVE", "repeat"), 143, ""),
        (ValueError(), StoreError("E-DB-001", "db", "away", "repeat"), 4, "E-DB-001 db: away; repeat\n"),
    ],
)
def test_case_62_what_a_signal_broke_is_told_as_the_signal(
    signalled: BaseException,
    broken: Exception,
    code: int,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A signal in the middle of a statement, or of a lock of the interpreter, comes out as another error."""

    def interrupted(*_: object, **__: object) -> None:
        try:
            raise signalled
        except BaseException:
            raise broken  # noqa: B904 - as the interpreter chains it

    monkeypatch.setattr("erpcrm_orchestration.cli.main.TyperGroup.main", interrupted)
    assert (run(["status"]), capsys.readouterr().err) == (code, word)


LINES = "a\nb"


@pytest.mark.parametrize(
    "arguments",
    [
        [LINES],
        ["db", LINES],
        [f"--{LINES}"],
        ["status", f"--{LINES}"],
        ["status", "--dossier", LINES],
        ["status", "--lang", LINES],
        ["status", LINES],
        ["ticks", "--dossier", LINES],
        ["ticks", "--state", LINES],
        ["alerts", "--limit", LINES],
        ["refresh", LINES],
        ["refresh", LINES, "--create", LINES],
        ["refresh", "777", "--create", LINES],
        ["mails", "show", LINES],
        ["mails", "list", "--dossier", LINES],
        ["tasks", "reactivate", LINES, "--dossier", "998", "--reason", LINES],
        ["tasks", "reactivate", "--dossier", LINES, "--reason", "x"],
        ["datasets", "fix", "1", "--set", LINES, "--reason", "x"],
        ["dossier", "add", LINES, "crm_project_code=X"],
        ["dossier", "set", "998", LINES],
        ["dossier", "set", "998", f"{LINES}={LINES}"],
        ["dossier", "deactivate", LINES, "--yes"],
        ["config", "check", LINES],
        ["config", "export", "--dossier", LINES],
        ["config", "export", "--dossier", "998", "--as", LINES],
        ["config", "export", "--output", f"/{LINES}/x.yaml"],
        ["up", "--port", LINES],
        ["refresh", "\udcff"],
        ["dossier", "add", "\udcff", "crm_project_code=X"],
        ["ticks", "--dossier", "\udcff"],
    ],
)
def test_a_value_on_two_lines_makes_no_second_line(
    company: Company, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    company.dossier("998")
    code, out, errors = said(capsys, *arguments)
    assert (code, out) == (2, "")
    assert errors.startswith("E-")
    assert errors.count("\n") == 1


def test_every_command_has_help_with_an_example_of_itself() -> None:
    commands = dict(every_command())
    assert len(commands) > 25
    without = [
        path for path, command in commands.items() if not re.search(rf"Examples?: .*erpcrm {path}", command.help, re.DOTALL)
    ]
    assert without == []
    silent = [(path, one.name) for path, command in commands.items() for one in command.params if not getattr(one, "help", "x")]
    assert silent == []


def test_the_list_of_commands_says_what_the_commands_themselves_say() -> None:
    for one in deferred_commands():
        assert " ".join(one.load().help.split()).startswith(one.help or "nothing")


def test_help_of_the_program_names_every_command_and_imports_none() -> None:
    script = (
        "import sys\nfrom erpcrm_orchestration.cli.main import run\n"
        "code = run(['--help'])\n"
        "heavy = {'sqlalchemy', 'psycopg', 'alembic', 'holidays', 'lxml', 'aiosmtpd', 'babel', 'dagster', 'yaml'}\n"
        "sys.exit(code or ', '.join(sorted(heavy & set(sys.modules))) or None)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [name for name in COMMANDS if not re.search(rf"^\W*{name} ", ended.stdout, re.MULTILINE)] == []


def test_status_imports_neither_migrations_nor_mail_nor_configuration() -> None:
    script = (
        "import sys\nfrom erpcrm_orchestration.cli.main import run\n"
        "code = run(['status'])\n"
        "heavy = {'alembic', 'holidays', 'lxml', 'aiosmtpd', 'dagster', 'yaml', 'requests', 'email_validator'}\n"
        "sys.exit(code or ', '.join(sorted(heavy & set(sys.modules))) or None)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_reader_that_has_enough_ends_the_output_without_a_word() -> None:
    process = subprocess.Popen([*PROGRAM, "config", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 1


def add_watcher(engine: sa.Engine, code: str, age_s: int | None, **columns: object) -> None:
    heartbeat = None if age_s is None else sa.func.now() - timedelta(seconds=age_s)
    with engine.begin() as connection:
        connection.execute(sa.delete(schema.watcher).where(schema.watcher.c.watcher_code == code))
        connection.execute(
            sa.insert(schema.watcher).values(watcher_code=code, poll_interval_s=60, heartbeat_at=heartbeat, **columns)
        )


def test_A48_watchers_are_shown_ON_or_OFF_with_the_age_of_their_heartbeat(
    engine: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.delete(schema.watcher))
    assert said(capsys, "watchers") == (0, "no watchers: apply a configuration first\n", "")
    add_watcher(engine, "DATA_HUB", 3, last_work="2 files\nERPCRM OFF")
    add_watcher(engine, "INTERCOMPANY", 500)
    add_watcher(engine, "MOBILITY", None)
    code, out, _ = said(capsys, "watchers")
    lines = [line.split()[:2] for line in out.splitlines()]
    assert (code, lines[1:]) == (0, [["DATA_HUB", "ON"], ["INTERCOMPANY", "OFF"], ["MOBILITY", "OFF"]])
    assert out.splitlines()[1].endswith("2 files ERPCRM OFF")
    rows = json.loads(said(capsys, "watchers", "--json")[1])
    assert [(row["watcher_code"], row["state"]) for row in rows] == [tuple(line) for line in lines[1:]]
    assert 3 <= rows[0]["heartbeat_age_s"] < 60
    assert rows[2]["heartbeat_age_s"] is None


def test_ticks_are_listed_by_dossier_and_state(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "ticks") == (0, "no ticks\n", "")
    company.dossier("998")
    company.dossier("001")
    with company.engine.begin() as connection:
        for code, state, minutes in (("998", "MISSED", 0), ("998", "RAN", 15), ("001", "MISSED", 30)):
            due = NOON + timedelta(minutes=minutes)
            connection.execute(
                sa.insert(schema.tick).values(
                    dossier_code=code, process_code="interactions_erpcrm", due_at=due, state=state, reason="down",
                    recorded_at=due, closed_at=due,
                )
            )  # fmt: skip
    rows = json.loads(said(capsys, "ticks", "--json")[1])
    assert [(row["dossier_code"], row["state"]) for row in rows] == [("001", "MISSED"), ("998", "RAN"), ("998", "MISSED")]
    rows = json.loads(said(capsys, "ticks", "--state", "missed", "--dossier", "998", "--json")[1])
    assert [(row["due_at"], row["reason"]) for row in rows] == [(NOON.isoformat(), "down")]
    assert len(said(capsys, "ticks", "--limit", "1")[1].splitlines()) == 2


def test_open_alerts_are_listed_with_what_to_do(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "alerts") == (0, "no open alerts\n", "")
    company.dossier("998")
    company.dossier("001")
    company.log("998", NOON - timedelta(hours=2))
    company.log("001", NOON - timedelta(minutes=2))
    company.refresh("998", "001", notify=False)
    (row,) = json.loads(said(capsys, "alerts", "--json")[1])
    assert (row["dossier_code"], row["check_name"], row["severity"]) == ("998", "synchronisation_is_on_time", "ERROR")
    assert isinstance(row["details"], dict)
    assert row["recovery"] in said(capsys, "alerts", "--dossier", "998")[1]
    assert said(capsys, "alerts", "--dossier", "001") == (0, "no open alerts\n", "")
    company.log("998", NOON)
    company.refresh("998", notify=False)
    assert said(capsys, "alerts") == (0, "no open alerts\n", "")
