"""Routines that a company adds: the example of the documentation as it stands, and what is refused when and how."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.main import run as erpcrm
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.errors import Findings, InputError
from erpcrm_orchestration.domain.routine import Counts, Order, OrderState
from erpcrm_orchestration.services.order import Backfill, order_backfill
from erpcrm_orchestration.services.programs import VARIABLE, known_programs, require_sound
from erpcrm_orchestration.store import integration_schema, routine_schema, schema
from erpcrm_orchestration.store.engine import VARIABLE as DATABASE
from erpcrm_orchestration.store.entity_schema import address, entity_table
from tests.integrated_company import IntegratedCompany
from tests.routine_company import DOSSIER, RoutineCompany, crm_told_of, instant

DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "add-your-own-routine.md"
CODE = "sleeping_accounts"
DAYS = {"days": "180"}
LABEL = "label: Mine\n"
EVERYBODY = "SELECT customer_id, 'changed', NULL FROM scope"


def documented() -> dict[str, str]:
    """Return the files of the documentation by their names."""
    blocks = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return dict(blocks)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the company's routines."""
    made = tmp_path / "routines"
    made.mkdir()
    monkeypatch.setenv(VARIABLE, str(made))
    return made


@pytest.fixture
def company(engine: sa.Engine, folder: Path) -> RoutineCompany:
    """The company of the documentation: one account sleeps, one is awake, one never bought anything."""
    files = documented()
    with engine.begin() as connection:
        for statement in filter(str.strip, files.pop("table.sql").split(";")):
            connection.execute(sa.text(statement))
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    made = RoutineCompany(engine, FixedClock(instant("2026-07-01T10:00"))).founded(time_zone="UTC")
    for code, day in (("SLEEPS", date(2026, 1, 1)), ("AWAKE", date(2026, 1, 2)), ("NEVER", None)):
        account = made.account(code)
        if day is not None:
            made.invoice(account, day, "10")
    return made


@pytest.fixture
def plain(engine: sa.Engine, folder: Path) -> RoutineCompany:
    """A company with ten accounts, for statements that a test brings."""
    made = RoutineCompany(engine, FixedClock(instant("2026-07-01T10:00"))).founded(time_zone="UTC")
    for number in range(10):
        made.account(f"K{number}")
    return made


def called(company: RoutineCompany) -> list[tuple[int, date]]:
    with company.engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT customer_id, last_purchase FROM company.call_list ORDER BY 1"))
        return [(row.customer_id, row.last_purchase) for row in rows]


def write(folder: Path, sql: str, text: str = LABEL, code: str = "mine") -> None:
    (folder / f"{code}.yaml").write_text(text, encoding="utf-8")
    (folder / f"{code}.sql").write_text(sql, encoding="utf-8")


def executed(company: RoutineCompany, sql: str, text: str = LABEL, **how: int) -> Order:
    """Write a routine and execute an order of it."""
    write(Path(os.environ[VARIABLE]), sql, text)
    return company.run(company.order("mine"), **how)


def refusals() -> list[str]:
    """Return what is said of the folder, without where it is."""
    with pytest.raises(Findings) as refused:
        require_sound()
    return [line.replace(os.environ[VARIABLE] + "/", "") for line in refused.value.lines]


def test_the_routine_of_the_documentation_runs_as_it_stands_there(company: RoutineCompany) -> None:
    order = company.executed(CODE, parameters={**DAYS, "note": "spring"})
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=1, unchanged=1, skipped=1))
    assert called(company) == [(1, date(2026, 1, 1))]
    assert company.messages(order) == ["last purchase 2026-01-01: spring", "it never bought anything"]
    again = company.executed(CODE, parameters=DAYS)
    assert again.counts == Counts(unchanged=2, skipped=1)


def test_a_dry_run_of_it_lists_what_would_be_done_and_writes_nothing(company: RoutineCompany) -> None:
    order = company.executed(CODE, parameters=DAYS, dry_run=True)
    assert (order.counts, called(company)) == (Counts(changed=1, unchanged=1, skipped=1), [])
    assert company.messages(order)[0] == "last purchase 2026-01-01"


def test_it_has_audience_summary_and_past_dates_as_the_five_have(company: RoutineCompany) -> None:
    company.static_audience("two", "SLEEPS", "AWAKE")
    order = company.executed(CODE, parameters=DAYS, audience="two", email="ann@example.com")
    assert order.counts == Counts(changed=1, unchanged=1)
    (mail,) = company.rows(schema.mail)
    assert "Sleeping accounts" in mail.subject
    (number,) = order_backfill(
        company.engine, [DOSSIER], Backfill(CODE, date(2026, 6, 30), parameters=DAYS), clock=company.clock, run_id="run-1"
    )
    assert company.run(number).counts == Counts(unchanged=2, skipped=1)


def test_other_systems_are_told_of_what_the_documented_routine_changes_and_of_no_dry_run(company: RoutineCompany) -> None:
    IntegratedCompany(company.engine, company.clock).connect(crm_told_of("responsible", "ref.responsible"))
    employee = entity_table["employee"]
    with company.engine.begin() as connection:
        connection.execute(sa.insert(address).values(dossier_code=DOSSIER, address_hash="north", region="North"))
        person = {"dossier_code": DOSSIER, "employee_id": 900, "code": "E1", "updated_at": company.clock.now()}
        connection.execute(sa.insert(employee).values(**person))
    northern = [company.account(f"N{number}", billing_address_hash="north") for number in range(3)]
    given = {"region": "North", "employee": "E1"}
    dry = company.executed("regional_responsible", parameters=given, dry_run=True)
    assert (dry.counts.changed, company.rows(integration_schema.work_item)) == (3, [])
    order = company.run(company.order("regional_responsible", parameters=given), slice_size=2)
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=3, unchanged=3))
    told = company.rows(integration_schema.work_item)
    cause = f"routine:{order.order_number}"
    assert sorted((one.record_id, one.values["ref"]["responsible"], one.cause) for one in told) == [
        (one, 900, cause) for one in northern
    ]
    again = company.executed("regional_responsible", parameters=given)
    assert (again.counts.changed, len(company.rows(integration_schema.work_item))) == (0, 3)


def test_its_slices_are_transactions_and_a_run_that_is_cut_off_is_gone_on_with(plain: RoutineCompany, folder: Path) -> None:
    with plain.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE times (customer_id bigint)"))
    write(folder, "WITH w AS (INSERT INTO times SELECT customer_id FROM scope) SELECT customer_id, 'changed', NULL FROM scope")
    number = plain.order("mine")
    assert plain.cut_off(number, "run-1", after_accounts=4).account_after == 4
    done = plain.run(number, slice_size=3)
    assert (done.state, done.counts) == (OrderState.DONE, Counts(changed=10))
    with plain.engine.connect() as connection:
        assert list(connection.scalars(sa.text("SELECT customer_id FROM times ORDER BY 1"))) == list(range(1, 11))


def test_every_given_parameter_has_its_type(plain: RoutineCompany) -> None:
    sql = """SELECT customer_id, 'changed', concat_ws(
        ' ', pg_typeof(:dossier_code), pg_typeof(:order_number), pg_typeof(:run_date), pg_typeof(:now), pg_typeof(:dry_run),
        pg_typeof(:first), pg_typeof(:word), :word IS NULL, 'a:b', '100%'
    ) FROM scope WHERE customer_id = :last"""
    order = executed(plain, sql, LABEL + "parameters: {word: optional}\n")
    assert order.failure is None
    types = "character varying bigint date timestamp with time zone boolean bigint character varying"
    assert plain.messages(order) == [f"{types} t a:b 100%"]


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        (f"{EVERYBODY} UNION ALL {EVERYBODY}", "it returned account 1 2 times"),
        ("SELECT customer_id + 100, 'changed', NULL FROM scope", "it returned account 101, which is not in scope"),
        ("SELECT NULL, 'changed', NULL FROM scope", "it returned account None, which is not in scope"),
        (
            "SELECT customer_id, 'done', NULL FROM scope",
            "it returned 'done' for account 1, not changed, unchanged, skipped or error",
        ),
    ],
)
def test_accounts_that_are_returned_twice_from_elsewhere_or_with_no_outcome_fail_the_order_and_nothing_is_written(
    plain: RoutineCompany, sql: str, found: str
) -> None:
    order = executed(plain, sql)
    assert order.state is OrderState.FAILED
    assert order.failure is not None
    assert re.fullmatch(rf"E-ORD-043 .*mine\.sql: {found}; correct it and retry order \d+ of dossier 998", order.failure)
    assert (order.counts, plain.rows(routine_schema.order_result)) == (Counts(), [])


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT customer_id, 'changed', nothing FROM scope", 'column "nothing" does not exist'),
        ("SELECT customer_id, 'changed' FROM scope", "INSERT has more target columns than expressions"),
        ("SELECT customer_id FROM scope WHERE CAST(:days AS integer) = 1", "INSERT has more target columns than expressions"),
    ],
)
def test_a_statement_that_the_database_refuses_fails_the_order_before_it_begins(
    plain: RoutineCompany, sql: str, found: str
) -> None:
    order = executed(plain, sql, LABEL + ("parameters: {days: optional}\n" if ":days" in sql else ""))
    assert order.failure is not None
    assert re.match(rf"E-ORD-044 .*mine\.sql: {found}; correct it", order.failure)


def test_a_parameter_that_is_no_number_fails_the_order_and_not_each_account(company: RoutineCompany) -> None:
    order = company.executed(CODE, parameters={"days": "many"})
    assert (order.state, order.counts) == (OrderState.FAILED, Counts())
    assert 'invalid input syntax for type integer: "many"' in str(order.failure)


def test_E45_one_account_that_the_database_refuses_is_counted_as_an_error_and_the_others_are_done(
    plain: RoutineCompany,
) -> None:
    order = executed(plain, "SELECT customer_id, 'changed', text(1 / (customer_id - 4)) FROM scope")
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=9, errors=1))
    assert "E-ORD-020 account 4: division by zero" in plain.messages(order)


def test_errors_that_the_statement_itself_tells_of_stand_with_their_code(plain: RoutineCompany) -> None:
    order = executed(plain, "SELECT customer_id, 'error', NULLIF('odd', 'x') FROM scope WHERE customer_id = 3")
    assert (order.counts, plain.messages(order)) == (Counts(unchanged=9, errors=1), ["E-ORD-046 account 3: odd"])


def test_a_named_argument_is_no_parameter(plain: RoutineCompany) -> None:
    order = executed(plain, "SELECT customer_id, 'changed', text(make_interval(days := 2)) FROM scope")
    assert (order.state, plain.messages(order)[0]) == (OrderState.DONE, "2 days")


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        (f"{EVERYBODY};\nCOMMIT", "E-ORD-040 mine.sql:2:1: a second statement"),
        ("COMMIT", "E-ORD-040 mine.sql:1:1: it begins with COMMIT"),
        ("VACUUM scope", "E-ORD-040 mine.sql:1:1: it begins with VACUUM"),
        ("-- only this", "E-ORD-040 mine.sql:1:1: no statement"),
        ("WITH a AS (SELECT 1)\nDELETE FROM scope", "E-ORD-040 mine.sql:2:1: it ends with DELETE"),
        ("SELECT customer_id, 'x', ''\nINTO t FROM scope", "E-ORD-040 mine.sql:2:1: SELECT INTO"),
        ("SELECT customer_id, 'changed', NULL FROM hub.customer", "E-ORD-040 mine.sql:1:1: it does not read the table scope"),
        ("SELECT customer_id, 'changed, NULL FROM scope", "E-ORD-040 mine.sql:1:21: the quote ' is not closed"),
        ("SELECT customer_id, $a$ NULL FROM scope", "E-ORD-040 mine.sql:1:21: the quote $a$ is not closed"),
        (f"{EVERYBODY}\n /* and then", "E-ORD-040 mine.sql:2:2: the comment is not closed"),
        (f"{EVERYBODY} /* ; */ -- ;\nWHERE 1 = :dayz", "E-ORD-041 mine.sql:2:11: :dayz is no parameter; did you mean days?"),
        (EVERYBODY, "E-ORD-041 mine.yaml:2:14 parameters.days: the statement does not use it"),
    ],
)
def test_what_is_no_statement_of_a_routine_is_refused_with_its_line(folder: Path, sql: str, found: str) -> None:
    write(folder, sql, LABEL + "parameters: {days: required}\n")
    assert refusals()[0].startswith(found)
    assert "mine" not in known_programs()


@pytest.mark.parametrize(
    ("code", "text", "found"),
    [
        ("mine", "label: Mine\ndryrun: true\n", "E-CFG-040 mine.yaml:2:1 dryrun: unknown key; did you mean dry_run?"),
        ("mine", "dry_run: true\n", "E-CFG-002 mine.yaml:1:1 label: missing"),
        ("mine", "label: Mine\nparameters: {days: maybe}\n", 'E-CFG-041 mine.yaml:2:14 parameters.days: "maybe" is not one of'),
        ("mine", "label: Mine\ndry_run: yes\n", "E-CFG-03"),
        ("mine", "label: Mine\nlabel: Other\n", "E-CFG-032 mine.yaml:2:1 label"),
        ("mine", "label: Mine\nsql: ../other.sql\n", "E-ORD-042 mine.yaml:2:1 sql: '../other.sql' is no name of a file"),
        ("mine", "label: Mine\nsql: none.sql\n", "E-ORD-042 mine.yaml:2:1 sql: none.sql cannot be read"),
        (
            "mine",
            "label: Mine\nparameters: {now: required}\n",
            "E-ORD-041 mine.yaml:2:14 parameters.now: every statement is given it",
        ),
        ("account_status", LABEL, "E-ORD-042 account_status.yaml:1:1: the code account_status is taken"),
        ("responsible_transfer", LABEL, "E-ORD-042 responsible_transfer.yaml:1:1: the code responsible_transfer is taken"),
        ("My-Own", LABEL, "E-ORD-042 My-Own.yaml:1:1: the code 'My-Own' is refused"),
    ],
)
def test_what_is_wrong_in_the_yaml_is_refused_with_its_line(folder: Path, code: str, text: str, found: str) -> None:
    write(folder, EVERYBODY, text, code)
    assert refusals()[0].startswith(found)


def test_a_statement_that_writes_has_a_dry_run_only_when_it_uses_it(plain: RoutineCompany, folder: Path) -> None:
    sql = "WITH w AS (DELETE FROM automation.order_account) SELECT customer_id, 'changed', NULL FROM scope"
    write(folder, sql, LABEL + "dry_run: true\n", "blind")
    write(folder, sql)
    assert refusals()[0].startswith("E-ORD-041 blind.yaml:2:1 dry_run: the statement writes and does not use :dry_run")
    with pytest.raises(InputError, match="E-ORD-045 dry run: mine has none; order it without"):
        plain.order("mine", dry_run=True)


def test_an_order_of_a_routine_that_is_gone_fails_and_is_told(company: RoutineCompany, monkeypatch: pytest.MonkeyPatch) -> None:
    number = company.order(CODE, parameters=DAYS, email="ann@example.com")
    monkeypatch.delenv(VARIABLE)
    order = company.run(number)
    assert order.state is OrderState.FAILED
    assert order.failure == (
        "E-ORD-002 program: no program 'sleeping_accounts'; bring it back below ERPCRM_ROUTINES, and retry"
    )
    assert len(company.rows(schema.mail)) == 1


def test_the_commands_of_the_documentation_order_it_and_one_that_is_refused_is_told_of(
    company: RoutineCompany, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(DATABASE, company.engine.url.render_as_string(hide_password=False))
    commands = re.findall(r"^erpcrm (.*)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert [erpcrm(line.split()) for line in commands] == [0, 0, 0]
    assert "sleeping_accounts  days, [note]  Puts accounts" in re.sub(r" {3,}", "  ", capsys.readouterr().out)
    assert [one.dry_run for one in company.orders()] == [True, False]
    agenda = folder.parent / "agenda.yaml"
    agenda.write_text(f'agendas:\n  {CODE}: {{times: ["06:00"]}}\n', encoding="utf-8")
    assert [erpcrm(["config", name, str(agenda)]) for name in ("check", "apply")] == [0, 0]
    other = folder.parent / "other"
    other.mkdir()
    write(other, "COMMIT")
    monkeypatch.setenv(VARIABLE, str(other))
    capsys.readouterr()
    lines = ("order programs", f"config check {agenda}", "order add mine --dossier 998")
    assert [erpcrm(line.split()) for line in lines] == [2, 2, 2]
    assert capsys.readouterr().err.count("mine.sql:1:1: it begins with COMMIT") == 3
    assert erpcrm(["order", "add", "crm1003", "--dossier", "998"]) == 0


ASSET = f"""
import dagster as dg
from erpcrm_orchestration.definitions import defs
graph, key = defs.get_repository_def().asset_graph, dg.AssetKey(["automation", "{CODE}"])
if key in graph.get_all_asset_keys():
    print(graph.get(key).metadata["dagster/table_name"], len(graph.get_check_keys_for_assets({{key}})))
"""


def test_its_asset_is_there_for_dagster_and_without_the_variable_there_is_none(company: RoutineCompany) -> None:
    for environment, expected in ((dict(os.environ), "automation.order_result 1"), ({}, "")):
        loaded = subprocess.run([sys.executable, "-c", ASSET], env=environment, capture_output=True, text=True, check=False)
        assert (loaded.stdout.strip(), loaded.returncode) == (expected, 0), loaded.stderr[-2000:]
