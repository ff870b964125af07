"""The mail that tells how an order ended: what it says, in which language, and that it stops nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.deployment import Deployment
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import MailCalendar, MailSettings
from erpcrm_orchestration.domain.routine import Order, OrderState
from erpcrm_orchestration.domain.routine_settings import Audience, ClassMetric, ClassOperator, ClassRule, MonitorParameter
from erpcrm_orchestration.languages import Language
from erpcrm_orchestration.services.mail import deliver_due
from erpcrm_orchestration.store import routine_settings, schema
from erpcrm_orchestration.store.person import add_person
from tests.company import FOUNDED, Company
from tests.mailbox import Mailbox
from tests.routine_company import RoutineCompany

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BOARD = "https://board.example.com"


@pytest.fixture
def company(engine: sa.Engine, mailbox: Mailbox) -> RoutineCompany:
    """A dossier with an ERP and two accounts; maria reads English."""
    made = RoutineCompany(engine, FixedClock(NOON), {"ERPCRM_BOARD_URL": f"{BOARD}/"}).founded()
    settings(made, mailbox)
    person(engine, "maria")
    made.account("K1")
    made.account("K2")
    return made


def settings(company: RoutineCompany, mailbox: Mailbox, **changes: str) -> None:
    mail = MailSettings(host="127.0.0.1", port=str(mailbox.port))
    Company(company.engine, company.clock).general(mail=mail, **{"language": "fr", **changes})


def person(engine: sa.Engine, login: str, language: str | None = "en") -> None:
    with engine.begin() as connection:
        names = {"display_name": login, "email": f"{login}@example.com", "language": language}
        add_person(connection, now=FOUNDED, login=login, **names)


def configured(company: RoutineCompany) -> None:
    """Store what the monitor and the class transition need."""
    Company(company.engine, company.clock).template("{{period_days}}", "{{accounts}}", code="account_without_movement")
    rule = ClassRule("to_silver", "silver", ClassMetric.PURCHASE_COUNT, ClassOperator.AT_LEAST, Decimal(1))
    with company.engine.begin() as connection:
        routine_settings.write(connection, "monitors", [MonitorParameter("still", 30, notify=())], now=FOUNDED)
        routine_settings.write(connection, "class_rules", [rule], now=FOUNDED)


def summaries(company: RoutineCompany) -> list[sa.Row[tuple[object, ...]]]:
    return [row for row in company.rows(schema.mail) if row.cause == "order_summary"]


PROGRAMS = {
    "account_complement": ("Complementary data of accounts (crm338)", {}),
    "account_status": ("Status of accounts (crm1003)", {}),
    "account_monitor": ("Account movement monitor (crm00356)", {"monitor": "still"}),
    "class_transition": ("Class transition (crm251)", {}),
}


@pytest.mark.parametrize("program", list(PROGRAMS))
def test_E43_the_requester_gets_exactly_one_summary_at_the_end(company: RoutineCompany, mailbox: Mailbox, program: str) -> None:
    configured(company)
    label, parameters = PROGRAMS[program]
    order = company.executed(program, parameters=parameters)
    assert order.state is OrderState.DONE
    deliver_due(company.engine, clock=company.clock, environment={})
    (sent,) = mailbox.received
    assert sent.recipients == ("maria@example.com",)
    assert sent.subject == f"Order {order.order_number}, {label.partition(' (')[0]}: done"
    assert f"Program: {label}" in sent.text


@pytest.mark.parametrize("program", list(PROGRAMS))
def test_E43_a_routine_that_fails_is_told_once_with_its_reason(company: RoutineCompany, program: str) -> None:
    configured(company)
    number = company.order(program, parameters=PROGRAMS[program][1], audience=chosen(company, "gone"))
    with company.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM automation.audience"))
    order = company.run(number)
    assert order.state is OrderState.FAILED
    (mail,) = summaries(company)
    assert str(mail.subject).endswith(": failed")
    assert f"Reason: {order.failure}" in mail.text
    assert "E-ORD-007 " in mail.text


def chosen(company: RoutineCompany, code: str) -> str:
    with company.engine.begin() as connection:
        routine_settings.write(connection, "audiences", [Audience(code)], now=FOUNDED)
    return code


def test_E44_the_counts_add_up_and_the_first_20_errors_stand_below_them(company: RoutineCompany) -> None:
    for number in range(25):
        account = company.account(f"B{number}")
        company.invoice(account, date(2026, 1, 10), "100")
        company.invoice(account, date(2026, 1, 11), "100", currency="USD")
    company.invoice(company.account("K3"), date(2026, 1, 10), "100")
    order = company.executed("account_complement")
    assert order.counts.considered == 28 == order.counts.changed + order.counts.errors
    (mail,) = summaries(company)
    assert "Considered: 28\nChanged: 3\nUnchanged: 0\nSkipped: 0\nErrors: 25\n" in mail.text
    assert "Errors, 20 of 25" in mail.text
    assert mail.text.count("E-ORD-022 account ") == 20 == mail.html.count("<li>E-ORD-022 account ")


def test_E43_the_summary_says_who_where_when_and_leads_to_board_and_run(company: RoutineCompany) -> None:
    order = company.executed("account_status")
    (mail,) = summaries(company)
    for line in (
        f"Order: {order.order_number}",
        "Dossier: 998",
        "State: done",
        "Requested by: maria",
        "Server: none",
        "Scheduled: Mar 1, 2026, 1:00:00\u202fPM +01:00",
        "Started: Mar 1, 2026, 1:00:00\u202fPM +01:00",
        "Accounts: all accounts",
        f"Order on the board: {BOARD}/orders/{order.order_number}",
        f"Run in Dagster: {BOARD}/dagster/runs/run-1",
    ):
        assert line in mail.text.splitlines()
    assert f'<a href="{BOARD}/orders/{order.order_number}">Order on the board</a>' in mail.html
    assert mail.html.startswith('<html lang="en">')
    assert "Dry run" not in mail.text


def test_E48_a_dry_run_says_so_and_names_its_audience(company: RoutineCompany) -> None:
    company.executed("account_status", dry_run=True, audience=chosen(company, "everybody"))
    (mail,) = summaries(company)
    assert "Dry run: what would be done is listed; nothing was written, and nobody was mailed" in mail.text
    assert "Accounts: everybody\n" in mail.text


def test_E43_without_an_address_of_the_board_there_are_no_links(company: RoutineCompany) -> None:
    company.environment = {}
    company.executed("account_status")
    (mail,) = summaries(company)
    assert "http" not in mail.text + mail.html


LABELS = {
    Language.EN: "Program: Status of accounts (crm1003)",
    Language.ES: "Programa: Estado de las cuentas (crm1003)",
    Language.FR: "Programme: Statut des comptes (crm1003)",
    Language.PT: "Programa: Status das contas (crm1003)",
    Language.RU: "Программа: Статус контрагентов (crm1003)",
}


@pytest.mark.parametrize("language", list(Language))
def test_E43_the_summary_speaks_the_language_of_the_requester(company: RoutineCompany, language: Language) -> None:
    person(company.engine, "ivan", language.value)
    company.executed("account_status", requested_by="ivan")
    (mail,) = summaries(company)
    assert mail.text.splitlines()[0] == LABELS[language]


def test_E43_somebody_without_a_language_is_spoken_to_in_that_of_the_company(company: RoutineCompany) -> None:
    person(company.engine, "ivan", None)
    company.executed("account_status", requested_by="ivan")
    company.executed("account_status", requested_by="nobody", email="boss@example.com")
    assert [mail.text.splitlines()[0] for mail in summaries(company)] == [LABELS[Language.FR]] * 2
    assert sorted(row.address for row in company.rows(schema.mail_recipient)) == ["boss@example.com", "ivan@example.com"]


def test_E43_what_the_summary_quotes_is_escaped_in_html(company: RoutineCompany) -> None:
    company.executed("account_status", requested_by="<b>eve</b>\nBcc: all", email="boss@example.com")
    (mail,) = summaries(company)
    assert "<td>&lt;b&gt;eve&lt;/b&gt; Bcc: all</td>" in mail.html


@pytest.mark.parametrize(("state", "email"), [("FAILED", "no address"), ("SKIPPED", None)])
def test_E43_a_mail_that_reaches_nobody_does_not_fail_the_routine(
    company: RoutineCompany, state: str, email: str | None
) -> None:
    order = company.executed("account_status", requested_by="stranger", email=email)
    assert order.state is OrderState.DONE
    assert [mail.state for mail in summaries(company)] == [state]


def test_E43_a_server_that_refuses_the_mail_does_not_fail_the_routine(company: RoutineCompany, mailbox: Mailbox) -> None:
    mailbox.data_answers = ["554 no"]
    order = company.executed("account_status")
    deliver_due(company.engine, clock=company.clock, environment={})
    assert order.state is OrderState.DONE
    assert [mail.state for mail in summaries(company)] == ["FAILED"]


def test_E43_a_summary_that_cannot_be_composed_is_kept_with_the_reason_and_the_order_is_done(
    company: RoutineCompany,
) -> None:
    broken = MailSettings(calendar=MailCalendar(holidays_of="ZZ"))
    Company(company.engine, company.clock).general(mail=broken)
    order = company.executed("account_status")
    assert (order.state, order.counts.considered) == (OrderState.DONE, 2)
    (mail,) = summaries(company)
    assert mail.state == "FAILED"
    assert "cannot be composed: E-MAIL-098 " in mail.last_error


def test_E43_a_failure_of_the_database_while_composing_leaves_what_the_order_did(company: RoutineCompany) -> None:
    with company.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE board.person RENAME COLUMN email TO gone"))
    order: Order = company.executed("account_status")
    assert (order.state, order.counts.changed) == (OrderState.DONE, 2)
    (mail,) = summaries(company)
    assert (mail.state, "cannot be composed" in mail.last_error) == ("FAILED", True)


def test_E43_every_program_of_a_deployment_knows_where_the_board_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = Deployment(tmp_path, sa.make_url("postgresql+psycopg://localhost/erpcrm"), 8443, 1, 2)
    assert {child.environment["ERPCRM_BOARD_URL"] for child in deployment.children()} == {"http://127.0.0.1:8443"}
    monkeypatch.setenv("ERPCRM_BOARD_URL", f"{BOARD}/")
    assert {child.environment["ERPCRM_BOARD_URL"] for child in deployment.children()} == {BOARD}
