"""Birthday greetings on real tables and a real mail server: who gets one, who does not, and never twice."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import MailSettings
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.routine import Counts, Order, OrderState
from erpcrm_orchestration.services.mail import deliver_due
from erpcrm_orchestration.services.programs import VARIABLE
from erpcrm_orchestration.store import routine_schema, schema
from erpcrm_orchestration.store.entity_schema import entity_table
from tests.company import FOUNDED, Company
from tests.mailbox import Mailbox
from tests.postgres.child_order import run_to_its_end
from tests.routine_company import DOSSIER, RoutineCompany, instant

MORNING = datetime(2026, 5, 10, 6, 0, tzinfo=UTC)
BORN = date(1980, 5, 10)
TEXTS = {"subject": "Bon anniversaire {{account.first_name}}", "template": "birthday"}


@pytest.fixture
def company(engine: sa.Engine, mailbox: Mailbox) -> RoutineCompany:
    """A dossier whose mails go to the server, with a template for birthdays."""
    made = RoutineCompany(engine, FixedClock(MORNING)).founded()
    settings = Company(engine, made.clock)
    settings.general(mail=MailSettings(host="127.0.0.1", port=str(mailbox.port)), language="fr")
    write_template(engine, "Cher {{account.name}}, le {{today}}. {{responsible.name}}", "<p>Cher {{account.name}}</p>")
    return made


def write_template(engine: sa.Engine, text: str, html: str | None = None) -> None:
    row = {"template_code": "birthday", "subject": "unused", "text": text, "html": html, "updated_at": FOUNDED}
    with engine.begin() as connection:
        connection.execute(sa.delete(schema.mail_template))
        connection.execute(sa.insert(schema.mail_template).values(**row))


def accounts(company: RoutineCompany, count: int) -> None:
    rows = [
        {"dossier_code": DOSSIER, "customer_id": 100_000 + one, "birth_date": BORN, "email": f"account{one}@example.com"}
        for one in range(count)
    ]
    with company.engine.begin() as connection:
        connection.execute(sa.insert(entity_table["customer"]), [row | {"updated_at": FOUNDED} for row in rows])


def greeted(company: RoutineCompany, at: datetime = MORNING, **wanted: object) -> Order:
    company.clock.at = at
    return company.executed("birthday_greeting", **{"parameters": TEXTS, **wanted})


def mails(company: RoutineCompany) -> list[sa.Row[tuple[object, ...]]]:
    return company.rows(schema.mail)


def results(company: RoutineCompany) -> dict[int, tuple[str, str | None]]:
    return {row.customer_id: (row.outcome, row.message) for row in company.rows(routine_schema.order_result)}


def test_E12_E13_an_account_born_on_this_day_gets_one_mail_with_the_subject_of_the_order(
    company: RoutineCompany, mailbox: Mailbox
) -> None:
    seller = company._insert("employee", DOSSIER, code="E1", name="Ana Silva")
    born = {"birth_date": BORN, "email": "zoe@example.com", "responsible_id": seller, "first_name": "Zoé"}
    account = company.account("K1", company="Zoé & Fils", **born)
    company.account("K2", birth_date=date(1980, 5, 11), email="tomorrow@example.com")
    company.account("K3", email="unknown@example.com")
    order = greeted(company)
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=1, unchanged=2))
    assert deliver_due(company.engine, clock=company.clock, environment={}).sent == 1
    (sent,) = mailbox.received
    assert (sent.recipients, sent.subject) == (("zoe@example.com",), "Bon anniversaire Zoé")
    assert sent.text.strip() == "Cher Zoé & Fils, le 10 mai 2026. Ana Silva"
    html = sent.message.get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == "<p>Cher Zoé &amp; Fils</p>"
    (greeting,) = company.rows(routine_schema.birthday_greeting)
    (mail,) = mails(company)
    assert (greeting.customer_id, greeting.year, greeting.mail_id) == (account, 2026, mail.mail_id)
    assert (mail.idempotency_key, mail.on_uncertain) == (f"birthday:998:{account}:2026", "hold")


@pytest.mark.parametrize(
    ("at", "mailed"), [("2027-02-28T09:00", 1), ("2028-02-28T09:00", 0), ("2028-02-29T09:00", 1), ("2027-03-01T09:00", 0)]
)
def test_E14_who_is_born_on_29_February_is_greeted_on_the_28th_of_common_years(
    company: RoutineCompany, at: str, mailed: int
) -> None:
    company.account("K1", birth_date=date(1980, 2, 29), email="leap@example.com")
    assert greeted(company, instant(at)).counts == Counts(changed=mailed, unchanged=1 - mailed)
    assert len(mails(company)) == mailed


def test_E12_the_day_is_the_local_one_of_the_time_it_was_scheduled_for(company: RoutineCompany) -> None:
    company.account("K1", birth_date=BORN, email="zoe@example.com")
    order = company.order("birthday_greeting", parameters=TEXTS, at=instant("2026-05-09T22:30") + timedelta(days=1))
    company.clock.at = instant("2026-05-12T12:00")
    assert company.run(order).counts == Counts(unchanged=1), "22:30 UTC on the 10th is the 11th in Paris"
    assert greeted(company, instant("2027-05-09T22:30")).counts == Counts(changed=1)


def test_E15_a_second_order_on_the_same_day_mails_nothing_and_next_year_greets_again(company: RoutineCompany) -> None:
    company.account("K1", birth_date=BORN, email="zoe@example.com")
    assert greeted(company).counts == Counts(changed=1)
    assert greeted(company, MORNING + timedelta(hours=3)).counts == Counts(unchanged=1)
    assert len(mails(company)) == 1
    assert greeted(company, instant("2027-05-10T06:00")).counts == Counts(changed=1)
    assert len(mails(company)) == 2


def test_E16_an_account_without_a_good_address_is_skipped_counted_and_listed(company: RoutineCompany) -> None:
    none = company.account("K1", birth_date=BORN)
    empty = company.account("K2", birth_date=BORN, email=" ")
    several = company.account("K3", birth_date=BORN, email="a@example.com, b@example.com")
    wrong = company.account("K4", birth_date=BORN, email="zoe@@example.com", second_email="zoe@example.com")
    order = greeted(company)
    assert (order.state, order.counts) == (OrderState.DONE, Counts(skipped=4))
    assert mails(company) == []
    found = results(company)
    assert {outcome for outcome, _ in found.values()} == {"skipped"}
    assert found[none][1] == f"E-ORD-030 account {none}: no mail address" == str(found[empty][1]).replace(str(empty), str(none))
    assert "E-MAIL-080" in str(found[several][1])
    assert "E-MAIL-081" in str(found[wrong][1])


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"template": "birthday"}, "E-ORD-005 birthday_greeting: no subject;"),
        ({"subject": "S", "template": " "}, "E-ORD-005 birthday_greeting: no template;"),
        ({"subject": "S", "template": "birthdy"}, "E-ORD-005 template: no mail template 'birthdy'; did you mean birthday?"),
        ({"subject": "{{account.nme}}", "template": "birthday"}, "E-MAIL-083 subject: unknown field {{account.nme}};"),
        ({"subject": "FORM.dossier_code", "template": "birthday"}, "E-MAIL-083 subject: unknown field FORM.dossier_code;"),
        ({"subject": "100 %", "template": "birthday"}, "E-MAIL-084 subject: "),
        ({"subject": "a\nb", "template": "birthday"}, "E-MAIL-078 subject: "),
    ],
)
def test_E17_without_subject_or_template_that_can_be_rendered_nothing_is_scheduled(
    company: RoutineCompany, given: dict[str, str], error: str
) -> None:
    with pytest.raises(InputError) as refused:
        company.order("birthday_greeting", parameters=given)
    assert str(refused.value).startswith(error)
    assert company.orders() == []


def test_E17_a_template_with_an_unknown_placeholder_is_refused_and_one_that_went_away_fails_the_order(
    company: RoutineCompany,
) -> None:
    company.account("K1", birth_date=BORN, email="zoe@example.com")
    number = company.order("birthday_greeting", parameters=TEXTS)
    write_template(company.engine, "{{accounts}}")
    with pytest.raises(InputError, match=r"^E-MAIL-083 mail template birthday text: unknown field \{\{accounts\}\}; "):
        company.order("birthday_greeting", parameters=TEXTS)
    order = company.run(number)
    assert (order.state, order.counts, mails(company)) == (OrderState.FAILED, Counts(), [])
    assert str(order.failure).startswith("E-MAIL-083 mail template birthday text: ")


def test_E17_what_a_routine_of_the_company_calls_subject_and_template_is_its_own(
    company: RoutineCompany, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "mine.yaml").write_text("label: Mine\nparameters: {subject: required, template: required}\n", encoding="utf-8")
    (tmp_path / "mine.sql").write_text("SELECT customer_id, 'changed', :subject || :template FROM scope", encoding="utf-8")
    company.account("K1")
    order = company.executed("mine", parameters={"subject": "100 %", "template": "{{any}}"})
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=1))


@pytest.mark.parametrize(("summary", "expected"), [(None, 0), (True, 1)])
def test_E18_a_summary_is_mailed_only_when_the_order_asks_for_it(
    company: RoutineCompany, summary: bool | None, expected: int
) -> None:
    greeted(company, summary=summary, email="boss@example.com")
    assert [mail.cause for mail in mails(company)] == ["order_summary"] * expected


def test_E45_a_name_that_breaks_the_subject_is_an_error_of_that_account_alone(company: RoutineCompany) -> None:
    bad = company.account("K1", birth_date=BORN, email="one@example.com", first_name="Zoé\nBcc: all@example.com")
    company.account("K2", birth_date=BORN, email="two@example.com")
    order = greeted(company)
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=1, errors=1))
    outcome, message = results(company)[bad]
    assert outcome == "error"
    assert str(message).startswith(f"E-ORD-031 account {bad}: E-MAIL-078 mail template birthday subject: ")


def test_case_85_a_name_that_looks_like_a_placeholder_is_text(company: RoutineCompany) -> None:
    company.account("K1", company="{{responsible.name}} <b>", birth_date=BORN, email="one@example.com")
    greeted(company)
    (mail,) = mails(company)
    assert mail.text == "Cher {{responsible.name}} <b>, le 10 mai 2026. "
    assert mail.html == "<p>Cher {{responsible.name}} &lt;b&gt;</p>"


@pytest.mark.parametrize(
    ("language", "day"), [("pt-BR", "10 de maio de 2026"), ("de", "10. Mai 2026"), ("??", "10 mai 2026"), (None, "10 mai 2026")]
)
def test_E12_the_day_stands_in_the_language_of_the_account(company: RoutineCompany, language: str | None, day: str) -> None:
    write_template(company.engine, "{{today}}")
    company.account("K1", birth_date=BORN, email="one@example.com", language=language)
    greeted(company)
    assert [mail.text for mail in mails(company)] == [day]


def test_a_dry_run_lists_who_would_be_greeted_and_mails_nothing(company: RoutineCompany) -> None:
    account = company.account("K1", birth_date=BORN, email="zoe@example.com")
    order = greeted(company, dry_run=True)
    assert order.counts == Counts(changed=1)
    assert results(company) == {account: ("changed", None)}
    assert mails(company) == []
    assert company.rows(routine_schema.birthday_greeting) == []
    assert greeted(company).counts == Counts(changed=1)


FAILPOINTS = (
    "order_before_begin_commit",
    "order_after_begin_commit",
    "order_after_prepare",
    "order_before_slice_progress",
    "order_before_slice_commit",
    "order_after_slice_commit",
    "order_after_slice_commit",
    "order_before_end_commit",
    "order_after_end_commit",
)


def test_E15_a_mailing_of_1000_killed_at_every_failpoint_makes_one_mail_for_each_account(company: RoutineCompany) -> None:
    accounts(company, 1000)
    company.order("birthday_greeting", parameters=TEXTS)
    ends = run_to_its_end(company, FAILPOINTS, slice_size=150)
    assert ends == [-signal.SIGKILL] * len(FAILPOINTS)
    (order,) = company.orders()
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=1000))
    assert greeted(company, company.clock.at).counts == Counts(unchanged=1000)
    copies = Counter(row.address for row in company.rows(schema.mail_recipient))
    assert copies == Counter(f"account{number}@example.com" for number in range(1000))
    assert len(mails(company)) == len(company.rows(routine_schema.birthday_greeting)) == 1000


def test_E15_what_a_killed_mailing_leaves_is_delivered_once_to_each_account(company: RoutineCompany, mailbox: Mailbox) -> None:
    accounts(company, 60)
    company.order("birthday_greeting", parameters=TEXTS)
    killed = run_to_its_end(company, ["order_after_slice_commit"], slice_size=25)
    assert killed == [-signal.SIGKILL, 0]
    assert deliver_due(company.engine, clock=company.clock, environment={}).sent == 60
    assert deliver_due(company.engine, clock=company.clock, environment={}).sent == 0
    copies = Counter(address for one in mailbox.received for address in one.recipients)
    assert copies == Counter(f"account{number}@example.com" for number in range(60))
