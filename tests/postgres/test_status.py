"""`erpcrm status`: it displays the stored row, in five languages, and neither reads nor writes anything else."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

from erpcrm_orchestration.check_words import recoveries
from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.domain.checks import DOSSIER_CHECKS, SOURCE_RECOVERY
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.inbox_health import INBOX_CHECKS
from erpcrm_orchestration.domain.sheet import safe
from erpcrm_orchestration.domain.widget import WIDGET_FIELDS
from erpcrm_orchestration.languages import Language, Translator, from_environment, known
from erpcrm_orchestration.services.observation import INSTALLATION_CHECKS
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.engine import VARIABLE
from erpcrm_orchestration.widget_words import labels
from tests.conftest import NOON

PACKAGE = Path(__file__).parents[2] / "erpcrm_orchestration"
REFRESHED = NOON - timedelta(minutes=12, seconds=30)


@pytest.fixture(autouse=True)
def _neutral_environment(database_url: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, database_url.render_as_string(hide_password=False))
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setattr("erpcrm_orchestration.cli.status.SystemClock", lambda: FixedClock(NOON))


def add_row(engine: sa.Engine, code: str = "998", **changes: object) -> None:
    row: dict[str, object] = {
        "dossier_code": code,
        "crm_project_code": "WEAVY998",
        "last_sync_at": NOON,
        "sync_state": "ALERT",
        "sync_state_label": "Alerte > 30",
        "alert_delay_min": 30,
        "elapsed_min": 95,
        "never_synced": False,
        "last_refreshed_at": REFRESHED,
        "syncs_today": 1234,
        "interventions_today_not_ok": 2,
        "interventions_not_ok": 3,
        "times_not_ok": 4,
        "documents_not_ok": 5,
        "syncs_with_rejects": 6,
        "interventions_in_error": 0,
        "times_in_error": 0,
        "documents_in_error": 0,
        "anomaly_started_at": NOON,
        "epoch": 1,
    }
    project = changes.get("crm_project_code", "P")
    with engine.begin() as connection:
        connection.execute(
            sa.insert(schema.dossier).values(
                dossier_code=code, crm_project_code=project, activated_at=NOON, created_at=NOON, updated_at=NOON
            )
        )
        connection.execute(sa.insert(schema.interaction_state).values(row | changes))


def set_general(engine: sa.Engine, **definition: object) -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(schema.general_parameters).values(definition=definition, updated_at=NOON))


def status(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["status", *arguments]) == 0
    return capsys.readouterr().out


def row_lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_A20_the_named_dossier_is_displayed_with_its_ten_values_in_their_order(
    engine: sa.Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_row(engine)
    add_row(engine, "001")
    lines = row_lines(status(capsys, "--dossier", "998", "--lang", "en"))
    assert lines[0] == "Dossier 998"
    assert len(lines) == 12
    names = list(labels(Translator(Language.EN)).values())
    assert [line[: len(name)] for line, name in zip(lines[1:11], names, strict=True)] == names
    assert lines[1] == "CRM project WEAVY998"
    assert lines[3] == "State of the synchronisation Alert > 30"
    assert lines[5] == "Synchronisations today 1,234"
    assert lines[10] == "Synchronisations with rejects today 6"
    assert lines[11] == "refreshed 12 minutes ago"


def test_A20_without_a_name_the_default_dossier_is_displayed(engine: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    add_row(engine)
    add_row(engine, "001")
    set_general(engine, default_dossier="001", language="en")
    assert status(capsys).splitlines()[0] == "Dossier 001"
    assert status(capsys, "--dossier", "998").splitlines()[0] == "Dossier 998"


def test_A20_without_a_default_every_dossier_has_a_line(engine: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    add_row(engine)
    add_row(engine, "001", sync_state="NORMAL", sync_state_label="Normal", anomaly_started_at=None)
    lines = row_lines(status(capsys, "--lang", "en"))
    assert [line.split()[0] for line in lines] == ["Dossier", "001", "998"]
    assert "Normal" in lines[1]
    assert "Alert > 30" in lines[2]


def test_A21_an_unknown_dossier_is_no_error_and_creates_nothing(engine: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--dossier", "777"], ["--dossier", "777", "--lang", "ru"]):
        assert run(["status", *arguments]) == 0
        assert capsys.readouterr() == ("no data for dossier 777\n", "")
    assert run(["status", "--dossier", "777", "--json"]) == 0
    assert capsys.readouterr() == ("[]\n", "no data for dossier 777\n")
    assert run(["status", "--dossier", "777", "--csv", "--lang", "en"]) == 0
    shown = capsys.readouterr()
    assert (shown.out.count("\r\n"), shown.err) == (1, "no data for dossier 777\n")
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.interaction_state)) == 0
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.dossier)) == 0


def test_A18_the_display_needs_no_more_than_the_right_to_read_one_table(
    engine: sa.Engine, database_url: sa.URL, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_row(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE reader_of_one_table LOGIN")
        connection.exec_driver_sql("GRANT USAGE ON SCHEMA supervision, audit TO reader_of_one_table")
        connection.exec_driver_sql("GRANT SELECT ON supervision.interaction_state, audit.schema_version TO reader_of_one_table")
        connection.exec_driver_sql("ALTER ROLE reader_of_one_table SET default_transaction_read_only = on")
    reader = database_url.set(username="reader_of_one_table")
    monkeypatch.setenv(VARIABLE, reader.render_as_string(hide_password=False))
    try:
        assert "WEAVY998" in status(capsys, "--dossier", "998", "--lang", "fr")
        assert "WEAVY998" in status(capsys, "--dossier", "998", "--lang", "fr", "--json")
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP OWNED BY reader_of_one_table")
            connection.exec_driver_sql("DROP ROLE reader_of_one_table")


def test_A18_the_display_is_one_select_in_a_read_only_transaction(
    engine: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    add_row(engine)
    statements: list[tuple[str, str]] = []

    def seen(connection: sa.Connection, *details: object) -> None:
        cursor = connection.connection.cursor()
        cursor.execute("SHOW transaction_read_only")
        (read_only,) = cursor.fetchone() or ("",)
        statements.append((str(details[1]), read_only))

    sa.event.listen(sa.Engine, "before_cursor_execute", seen)
    try:
        status(capsys, "--dossier", "998", "--lang", "fr")
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", seen)
    ours = [(text, mode) for text, mode in statements if not {"schema_version", "to_regclass"} & set(re.findall(r"\w+", text))]
    assert len(ours) == 1
    assert ours[0][0].startswith("SELECT supervision.interaction_state.dossier_code")
    assert " JOIN " not in ours[0][0]
    assert ours[0][1] == "on"


def test_A18_no_table_of_ours_is_written_by_the_display(engine: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    add_row(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'written'; END $$"
        )
        for table in schema.metadata.tables.values():
            connection.exec_driver_sql(
                f"CREATE TRIGGER refuse_{table.name} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table.fullname}"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
            )
    for arguments in ((), ("--json",), ("--csv",), ("--dossier", "998"), ("--dossier", "777")):
        status(capsys, *arguments)


def test_A19_what_changes_in_the_sources_is_not_displayed_before_the_process_has_run(
    engine: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    add_row(engine)
    before = json.loads(status(capsys, "--dossier", "998", "--json"))
    with engine.begin() as connection:
        connection.execute(
            sa.insert(schema.logbook_entry).values(
                dossier_code="998",
                at=NOON + timedelta(hours=1),
                origin="system",
                entry_key="1",
                action="WEAVY_URL_FILE",
                outcome="REJECT",
                reject_count=3,
                recorded_at=NOON,
            )
        )
        connection.execute(sa.update(schema.dossier).values(alert_delay_min=600, crm_project_code="OTHER"))
    after = json.loads(status(capsys, "--dossier", "998", "--json"))
    assert [{**one[0], "age_min": 0} for one in (before, after)] == [{**before[0], "age_min": 0}] * 2


def test_json_is_for_programs(engine: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    add_row(engine, last_sync_at=None, never_synced=True)
    (record,) = json.loads(status(capsys, "--dossier", "998", "--json", "--lang", "ru"))
    assert set(WIDGET_FIELDS) < set(record)
    assert (record["last_sync_at"], record["never_synced"], record["syncs_today"]) == (None, True, 1234)
    assert record["last_refreshed_at"] == REFRESHED.isoformat()
    assert record["age_min"] == 12
    assert record["sync_state_label"] == "Alerte > 30"


@pytest.mark.parametrize(("language", "delimiter"), [("fr", ";"), ("en", ","), ("es", ";"), ("pt", ";"), ("ru", ";")])
def test_csv_has_the_separator_that_spreadsheets_of_the_language_expect(
    engine: sa.Engine, capsys: pytest.CaptureFixture[str], language: str, delimiter: str
) -> None:
    add_row(engine)
    rows = list(csv.reader(io.StringIO(status(capsys, "--csv", "--lang", language)), delimiter=delimiter))
    assert [len(row) for row in rows] == [12, 12]
    assert rows[1][0] == "998"
    assert rows[1][5:] == ["1234", "2", "3", "4", "5", "6", "12"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\0"])
def test_case_104_no_cell_of_the_csv_is_a_formula(start: str) -> None:
    assert safe(f"{start}1+1") == f"'{start}1+1"
    assert safe(f"1{start}1") == f"1{start}1"


def test_case_104_a_project_that_looks_like_a_formula_is_text(engine: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    add_row(engine, crm_project_code='=cmd|"/C calc"!A0;x')
    text = status(capsys, "--csv", "--lang", "fr")
    assert '"\'=cmd|""/C calc""!A0;x"' in text


def test_what_is_stored_cannot_paint_the_terminal_or_forge_a_line(
    engine: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    add_row(engine, crm_project_code="P\x1b[31m\nDossier 001 [bold]x[/bold]")
    lines = status(capsys, "--dossier", "998", "--lang", "en").splitlines()
    assert len(lines) == 12
    assert lines[1].endswith("P [31m Dossier 001 [bold]x[/bold]")


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["State of the synchronisation Alert > 30", "Synchronisations today 1,234", "refreshed 12 minutes ago"]),
        ("fr", ["État de la synchronisation Alerte > 30", "Synchronisations du jour 1 234", "actualisé il y a 12 minutes"]),
        ("es", ["Estado de la sincronización Alerta > 30", "Sincronizaciones de hoy 1.234", "actualizado hace 12 minutos"]),
        ("pt", ["Estado da sincronização Alerta > 30", "Sincronizações de hoje 1.234", "atualizado há 12 minutos"]),
        ("ru", ["Состояние синхронизации Тревога > 30", "Синхронизации за сегодня 1 234", "обновлено 12 минут назад"]),
    ],
)
def test_five_languages_say_state_numbers_and_age_in_their_own_way(
    engine: sa.Engine, capsys: pytest.CaptureFixture[str], language: str, expected: list[str]
) -> None:
    add_row(engine)
    lines = row_lines(status(capsys, "--dossier", "998", "--lang", language))
    assert [lines[3], lines[5], lines[11]] == expected


def test_the_language_is_the_option_else_the_locale_else_the_general_parameter(
    engine: sa.Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_row(engine)
    assert "Projet CRM" in status(capsys, "--dossier", "998")
    set_general(engine, language="es")
    assert "Proyecto CRM" in status(capsys, "--dossier", "998")
    monkeypatch.setenv("LC_ALL", "pt_BR.UTF-8")
    assert "Projeto CRM" in status(capsys, "--dossier", "998")
    assert "CRM project" in status(capsys, "--dossier", "998", "--lang", "en")


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "ru_RU.UTF-8"}, Language.RU),
        ({"LANG": "ru_RU.UTF-8", "LC_MESSAGES": "fr_FR"}, Language.FR),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": "C"}, None),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": ""}, Language.RU),
        ({"LANG": "de_DE.UTF-8"}, None),
        ({}, None),
    ],
)
def test_the_first_locale_variable_that_is_set_decides(environment: dict[str, str], language: Language | None) -> None:
    assert from_environment(environment) == language


def test_a_language_that_we_do_not_speak_is_refused_with_those_that_we_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--lang", "de"]) == 2
    assert capsys.readouterr().err == (
        "E-CLI-050 erpcrm status --lang: 'de' is no language of ours; known: en, es, fr, pt, ru\n"
    )
    assert known("pt-BR") is Language.PT


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--dossier", ""], "E-CLI-053 erpcrm status --dossier: empty; give a dossier code, or leave the option out"),
        (
            ["--dossier", "998", "--dossier", "001"],
            "E-CLI-053 erpcrm status --dossier: given 2 times (998, 001); give one dossier, or none for all",
        ),
        (
            ["--dossier", "9\udcff8"],
            "E-CLI-053 erpcrm status --dossier: '9\\udcff8' is no dossier code; give letters, digits, _ and -",
        ),
        (["--json", "--csv"], "E-CLI-050 erpcrm status: --json and --csv together; choose one of them"),
    ],
)
def test_case_53_an_option_that_makes_no_sense_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert run(["status", *arguments]) == 2
    assert capsys.readouterr().err == expected + "\n"


def test_before_the_first_evaluation_the_display_says_so(engine: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(capsys, "--lang", "en") == "no dossier has a state yet\n"
    assert status(capsys, "--json") == "[]\n"


def extracted() -> set[str]:
    found: set[str] = set()
    sources = [*PACKAGE.glob("*_words.py"), PACKAGE / "services" / "order_summary.py"]
    sources += [*(PACKAGE / "cli").glob("*.py"), *(PACKAGE / "board").rglob("*.py")]
    for method, files in (("python", sources), ("jinja2", (PACKAGE / "board" / "templates").rglob("*.html"))):
        for file in files:
            found |= {str(message[1]) for message in extract_from_file(method, file, keywords={"_": None, "gettext": None})}
    return found


@pytest.mark.parametrize("language", list(Language))
def test_every_catalogue_is_complete_and_has_no_fuzzy_or_stale_entry(language: Language) -> None:
    with (PACKAGE / "locale" / language.value / "LC_MESSAGES" / "erpcrm.po").open("rb") as file:
        catalogue = read_po(file, locale=language.value, abort_invalid=True)
    messages = {str(one.id): one for one in catalogue if one.id}
    assert set(messages) == extracted()
    assert [name for name, one in messages.items() if one.fuzzy or not one.string] == []
    assert not catalogue.obsolete
    for name, one in messages.items():
        assert sorted(part.split("}")[0] for part in name.split("{")[1:]) == sorted(
            part.split("}")[0] for part in str(one.string).split("{")[1:]
        )


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(seconds=-5), "1 second ago"),
        (timedelta(seconds=59), "59 seconds ago"),
        (timedelta(seconds=119), "119 seconds ago"),
        (timedelta(minutes=119, seconds=59), "119 minutes ago"),
        (timedelta(hours=2, minutes=59), "2 hours ago"),
        (timedelta(hours=47, minutes=59), "47 hours ago"),
        (timedelta(days=20), "2 weeks ago"),
    ],
)
def test_an_age_in_words_is_never_rounded_up(length: timedelta, words: str) -> None:
    assert Translator(Language.EN).ago(length) == words


def test_on_a_terminal_the_state_is_a_table_in_which_nothing_stored_is_markup(engine: sa.Engine) -> None:
    add_row(engine, crm_project_code="[red]P[/red]")
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    command = [sys.executable, "-m", "erpcrm_orchestration.cli.main", "status", "--dossier", "998", "--lang", "en"]
    process = subprocess.Popen(command, stdout=side, stderr=subprocess.PIPE, env=os.environ | {"TERM": "xterm"})
    _, errors = process.communicate(timeout=60)
    os.close(side)
    with open(main, "rb", buffering=0) as terminal:
        shown = terminal.read(65536).decode()
    assert process.returncode == 0, errors
    assert "[red]P[/red]" in shown
    assert "Alert > 30" in shown
    assert "\x1b[1;31m" in shown


@pytest.mark.parametrize("language", list(Language))
def test_what_to_do_about_an_alert_is_said_in_every_language(language: Language) -> None:
    """The domain holds the English texts; whatever it says is in the catalogues."""
    texts = {one.recovery for one in (*DOSSIER_CHECKS, *INSTALLATION_CHECKS, *INBOX_CHECKS)} | {SOURCE_RECOVERY}
    assert texts <= set(recoveries(Translator(Language.EN)))
    say = Translator(language)
    assert [text for text in texts if language is not Language.EN and say.gettext(text) == text] == []
