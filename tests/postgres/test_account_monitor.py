"""The account movement monitor on real tables: what counts as movement, who gets the accounts, and who is told."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import MailSettings
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.routine import Counts, Order, OrderState
from erpcrm_orchestration.domain.routine_settings import (
    Audience,
    AudienceKind,
    MonitorParameter,
    MovementProcess,
    Notified,
    NotifyWhen,
)
from erpcrm_orchestration.services import account_monitor
from erpcrm_orchestration.services.mail import deliver_due
from erpcrm_orchestration.store import integration_schema, routine_schema, routine_settings, schema
from erpcrm_orchestration.store.entity_schema import entity_table
from tests.company import FOUNDED, Company
from tests.integrated_company import IntegratedCompany
from tests.mailbox import Mailbox
from tests.postgres.child_order import run_to_its_end
from tests.routine_company import DOSSIER, RoutineCompany, crm_told_of, instant

NOON = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
LATELY = instant("2026-03-20T12:00")
LONG_AGO = instant("2025-12-01T12:00")


@pytest.fixture
def company(engine: sa.Engine, mailbox: Mailbox) -> RoutineCompany:
    """A dossier whose mails go to the server; everybody is told in English."""
    made = RoutineCompany(engine, FixedClock(NOON)).founded()
    settings = Company(engine, made.clock)
    settings.general(mail=MailSettings(host="127.0.0.1", port=str(mailbox.port)), language="en")
    settings.template(
        "{{responsible.name}}: {{period_days}} days", "On {{today}}:\n{{accounts}}", code="account_without_movement"
    )
    with engine.begin() as connection:
        connection.execute(sa.update(schema.mail_template).values(html="<p>{{responsible.name}}</p>{{accounts}}"))
    return made


def preset(company: RoutineCompany, **given: Any) -> None:
    values = {"period_days": 30, "processes": (MovementProcess.ACCOUNT_CHANGE,), "notify": (), **given}
    with company.engine.begin() as connection:
        routine_settings.write(connection, "monitors", [MonitorParameter("still", **values)], now=FOUNDED)


def employee(company: RoutineCompany, code: str, name: str, email: str | None, **values: Any) -> int:
    return company._insert("employee", DOSSIER, code=code, name=name, email=email, **values)


def watched(company: RoutineCompany, **wanted: Any) -> Order:
    return company.executed("account_monitor", **{"parameters": {"monitor": "still"}, "summary": False, **wanted})


def still(company: RoutineCompany, order: Order) -> set[int]:
    """Return the accounts that an order found without movement."""
    return {row.customer_id for row in company.rows(routine_schema.order_result) if row.order_number == order.order_number}


def responsible(company: RoutineCompany) -> dict[int, int | None]:
    return {row.customer_id: row.responsible_id for row in company.rows(entity_table["customer"])}


def mails(company: RoutineCompany) -> dict[str, sa.Row[Any]]:
    """Return address -> its mail; a second one to the same address is a fault."""
    people = {row.mail_id: row.address for row in company.rows(schema.mail_recipient)}
    found = [row for row in company.rows(schema.mail) if row.cause == "account_monitor"]
    assert len({people[row.mail_id] for row in found}) == len(found)
    return {people[row.mail_id]: row for row in found}


@pytest.mark.parametrize(
    ("changed_at", "has_moved"),
    [
        ("2026-03-01T12:00", True),
        ("2026-02-28T23:00", True),  # midnight of March 1 in Paris
        ("2026-02-28T22:59", False),
        ("2026-02-28T12:00", False),
        ("2026-03-31T21:59", True),
        ("2026-03-31T22:00", False),  # April 1 in Paris: dated after the run date
    ],
)
def test_E32_an_account_has_moved_when_something_is_dated_in_the_period_or_on_its_first_day(
    company: RoutineCompany, changed_at: str, has_moved: bool
) -> None:
    preset(company)
    account = company.account("K1", changed_at=instant(changed_at))
    order = watched(company)
    assert (order.state, order.counts) == (OrderState.DONE, Counts(unchanged=1))
    assert still(company, order) == (set() if has_moved else {account})


def test_E32_the_days_are_those_of_the_zone_of_the_dossier(engine: sa.Engine) -> None:
    company = RoutineCompany(engine, FixedClock(NOON)).founded(time_zone="America/Sao_Paulo")
    Company(engine, company.clock).template("S", "T", code="account_without_movement")
    preset(company)
    company.account("K1", changed_at=instant("2026-03-01T03:00"))
    before = company.account("K2", changed_at=instant("2026-03-01T02:59"))
    assert still(company, watched(company)) == {before}


def test_E32_an_account_that_was_created_lately_has_moved_and_one_without_any_date_has_not(company: RoutineCompany) -> None:
    preset(company)
    company.account("K1", created_at=LATELY)
    unknown = company.account("K2")
    assert still(company, watched(company)) == {unknown}


def movements(company: RoutineCompany, account: int, process: MovementProcess, at: datetime) -> None:
    """Store what this process means for an account."""
    match process:
        case MovementProcess.ACCOUNT_CHANGE:
            with company.engine.begin() as connection:
                table = entity_table["customer"]
                connection.execute(sa.update(table).where(table.c.customer_id == account).values(changed_at=at))
        case MovementProcess.OPPORTUNITY | MovementProcess.OCCURRENCE:
            company._insert(process.value.lower(), DOSSIER, customer_id=account, opened_at=at)
        case MovementProcess.ORDER:
            company._insert("order", DOSSIER, customer_id=account, ordered_at=at)
        case _:
            company._insert("activity", DOSSIER, customer_id=account, type=process.value.lower(), occurred_at=at)


@pytest.mark.parametrize("watched_process", list(MovementProcess))
def test_E33_movement_in_a_process_of_the_preset_counts_and_in_others_does_not(
    company: RoutineCompany, watched_process: MovementProcess
) -> None:
    preset(company, processes=(watched_process,))
    accounts = {process: company.account(process.value) for process in MovementProcess}
    for process, account in accounts.items():
        movements(company, account, process, LATELY)
    assert still(company, watched(company)) == {account for one, account in accounts.items() if one is not watched_process}


@pytest.mark.parametrize(
    ("entity", "column"),
    [
        *(("opportunity", name) for name in ("opened_at", "closed_at", "changed_at")),
        *(("occurrence", name) for name in ("opened_at", "closed_at", "changed_at")),
        *(("activity", name) for name in ("occurred_at", "done_at", "changed_at")),
    ],
)
def test_E33_each_date_of_a_process_counts_alone(company: RoutineCompany, entity: str, column: str) -> None:
    preset(company, processes=tuple(MovementProcess))
    kind = {"type": "task"} if entity == "activity" else {}
    old, new, gone = company.account("K1"), company.account("K2"), company.account("K3")
    company._insert(entity, DOSSIER, customer_id=old, **{column: LONG_AGO}, **kind)
    company._insert(entity, DOSSIER, customer_id=new, **{column: LATELY}, **kind)
    company._insert(entity, DOSSIER, customer_id=gone, deleted_at=LATELY, **{column: LATELY}, **kind)
    assert still(company, watched(company)) == {old, gone}


def test_E33_a_task_that_is_only_due_and_a_type_that_no_preset_names_are_no_movement(company: RoutineCompany) -> None:
    preset(company, processes=tuple(MovementProcess))
    account = company.account("K1")
    company._insert("activity", DOSSIER, customer_id=account, type="task", due_at=LATELY)
    company._insert("activity", DOSSIER, customer_id=account, type="order", occurred_at=LATELY)
    assert still(company, watched(company)) == {account}


@pytest.mark.parametrize("include_related", [True, False])
@pytest.mark.parametrize("entity", ["contact", "opportunity", "occurrence"])
def test_E33_what_hangs_on_what_belongs_to_the_account_counts_when_the_preset_includes_it(
    company: RoutineCompany, entity: str, include_related: bool
) -> None:
    preset(company, processes=(MovementProcess.ACTION,), include_related=include_related)
    account, other = company.account("K1"), company.account("K2")
    related = company._insert(entity, DOSSIER, customer_id=account)
    foreign = company._insert(entity, DOSSIER, customer_id=other)
    company._insert("activity", DOSSIER, type="action", occurred_at=LATELY, **{f"{entity}_id": related})
    company._insert("activity", DOSSIER, type="task", occurred_at=LATELY, **{f"{entity}_id": foreign})
    assert still(company, watched(company)) == ({other} if include_related else {account, other})


def people(company: RoutineCompany) -> tuple[int, int, int]:
    """Store Ana, Bruno who gets accounts, and Carla without an address; return their ids."""
    ana = employee(company, "E1", "Ana Silva", "ana@example.com")
    bruno = employee(company, "E2", "Bruno Lima", "bruno@example.com")
    return ana, bruno, employee(company, "E3", "Carla Dias", None)


def test_E34_without_transfer_nobody_changes_and_the_responsible_is_told(company: RoutineCompany, mailbox: Mailbox) -> None:
    ana, _, _ = people(company)
    preset(company, notify=(Notified.RESPONSIBLE,))
    first = company.account("K1", company="Zoé & Fils", responsible_id=ana)
    second = company.account("K2", first_name="Rui", last_name="Costa", responsible_id=ana)
    company.account("K3", responsible_id=ana, changed_at=LATELY)
    order = watched(company)
    assert (order.state, order.counts) == (OrderState.DONE, Counts(unchanged=3))
    assert set(responsible(company).values()) == {ana}
    assert company.rows(routine_schema.responsible_transfer) == []
    assert {row.outcome for row in company.rows(routine_schema.order_result)} == {"unchanged"}
    assert still(company, order) == {first, second}
    assert deliver_due(company.engine, clock=company.clock, environment={}).sent == 1
    (sent,) = mailbox.received
    assert (sent.recipients, sent.subject) == (("ana@example.com",), "Ana Silva: 30 days")
    lines = sent.text.strip().splitlines()
    assert lines == ["On March 31, 2026:", "- K1 Zoé & Fils (Ana Silva)", "- K2 Rui Costa (Ana Silva)"]
    html = sent.message.get_body(("html",))
    assert html is not None
    assert "<li>K1 Zoé &amp; Fils (Ana Silva)</li>" in html.get_content()


def test_E35_E37_a_transfer_changes_the_responsible_writes_history_and_tells_old_and_new(company: RoutineCompany) -> None:
    ana, bruno, _ = people(company)
    preset(company, transfer=True, transfer_user="E2", notify=(Notified.RESPONSIBLE, Notified.NEW_RESPONSIBLE))
    mail = {"email": "z@example.com", "second_email": "z2@example.com"}
    account = company.account("K1", company="Zoé", responsible_id=ana, **mail)
    moved = company.account("K2", responsible_id=ana, changed_at=LATELY)
    order = watched(company)
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=1, unchanged=1))
    assert responsible(company) == {account: bruno, moved: ana}
    (history,) = company.rows(routine_schema.responsible_transfer)
    assert (history.customer_id, history.from_employee_id, history.to_employee_id) == (account, ana, bruno)
    assert (history.on_date.isoformat(), history.order_number) == ("2026-03-31", order.order_number)
    (result,) = company.rows(routine_schema.order_result)
    assert (result.outcome, result.message) == ("changed", None)
    assert result.details == {
        "Seq": 1,
        "numIdResp": ana,
        "UserResp": "E1",
        "nomUsuarResp": "Ana Silva",
        "emailUserResp": "ana@example.com",
        "numUserTransf": bruno,
        "emailUsuarTransf": "bruno@example.com",
        "nomUsuarTransf": "Bruno Lima",
        "numIdPessoa": account,
        "codPessoaErp": "K1",
        "nomRazao": "Zoé",
        "emailCta1": "z@example.com",
        "emailCta2": "z2@example.com",
    }
    told = mails(company)
    assert set(told) == {"ana@example.com", "bruno@example.com"}
    assert {row.text for row in told.values()} == {"On March 31, 2026:\n- K1 Zoé (Ana Silva → Bruno Lima)"}
    assert told["bruno@example.com"].subject == "Bruno Lima: 30 days"


def test_E38_a_second_run_does_not_transfer_an_account_again(company: RoutineCompany) -> None:
    ana, bruno, _ = people(company)
    preset(company, transfer=True, transfer_user="E2", notify=(Notified.NEW_RESPONSIBLE,))
    first, second = company.account("K1", responsible_id=ana), company.account("K2", responsible_id=bruno)
    assert watched(company).counts == Counts(changed=1, unchanged=1)
    again = watched(company)
    assert again.counts == Counts(unchanged=2)
    assert still(company, again) == {first, second}
    assert len(company.rows(routine_schema.responsible_transfer)) == 1
    assert set(mails(company)) == {"bruno@example.com"}, "of the first order alone"


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"transfer_user": None}, "transfer_user '' is no active employee"),
        ({"transfer_user": "E9"}, "transfer_user 'E9' is no active employee"),
        ({"transfer_user": "E7"}, "transfer_user 'E7' is no active employee"),
        ({"transfer_user": "E8"}, "transfer_user 'E8' is 2 active employees"),
    ],
)
def test_E36_without_one_active_employee_who_gets_the_accounts_the_order_fails_before_anything(
    company: RoutineCompany, given: dict[str, Any], what: str
) -> None:
    employee(company, "E7", "Gone", None, active=False)
    employee(company, "E8", "One", None)
    employee(company, "E8", "Other", None)
    company.account("K1")
    preset(company, transfer=True, **given)
    order = watched(company)
    assert (order.state, order.counts) == (OrderState.FAILED, Counts())
    assert str(order.failure).startswith(f"E-ORD-033 order {order.order_number} of dossier 998: {what}")


def test_E36_an_order_names_a_preset_that_is_there_and_whose_mail_can_be_rendered(company: RoutineCompany) -> None:
    preset(company)
    with pytest.raises(InputError, match=r"^E-ORD-005 monitor: no preset 'stil'; did you mean still\?$"):
        company.order("account_monitor", parameters={"monitor": "stil"})
    with pytest.raises(InputError, match=r"^E-ORD-005 account_monitor: no monitor; "):
        company.order("account_monitor")
    with company.engine.begin() as connection:
        connection.execute(sa.update(schema.mail_template).values(text="{{account.name}}"))
    with pytest.raises(InputError, match=r"^E-MAIL-083 mail template account_without_movement text: unknown field "):
        company.order("account_monitor", parameters={"monitor": "still"})


def test_E34_each_person_gets_one_mail_for_an_order_however_many_roles_the_person_has(company: RoutineCompany) -> None:
    ana, bruno, carla = people(company)
    everybody = (Notified.RESPONSIBLE, Notified.NEW_RESPONSIBLE, Notified.LIST)
    notify_list = ("ANA@example.com", "boss@example.com", "Boss@example.com")
    preset(company, transfer=True, transfer_user="E2", notify=everybody, notify_list=notify_list)
    for code, of in (("K1", ana), ("K2", bruno), ("K3", carla), ("K4", None)):
        company.account(code, responsible_id=of)
    watched(company)
    told = mails(company)
    assert set(told) == {"ANA@example.com", "boss@example.com", "bruno@example.com"}
    assert [row.text.count("\n- ") for row in (told["ANA@example.com"], told["boss@example.com"])] == [4, 4]
    assert "- K4 (- → Bruno Lima)" in told["boss@example.com"].text
    assert told["bruno@example.com"].text.count("\n- ") == 4, "his own, and the three that he gets"


def test_E34_an_account_whose_responsible_cannot_be_told_is_named_in_the_summary(company: RoutineCompany) -> None:
    _, _, carla = people(company)
    preset(company, notify=(Notified.RESPONSIBLE,))
    first, second = company.account("K1", responsible_id=carla), company.account("K2")
    order = watched(company, summary=True, email="boss@example.com")
    assert order.counts == Counts(unchanged=2)
    assert mails(company) == {}
    (summary,) = company.rows(schema.mail)
    assert f"- E-ORD-035 account {first}: responsible Carla Dias has no mail address\n" in summary.text
    assert f"- E-ORD-034 account {second}: nobody is responsible for it\n" in summary.text


@pytest.mark.parametrize(("when", "expected"), [(NotifyWhen.ALWAYS, 1), (NotifyWhen.NO_MOVEMENT, 0)])
def test_E34_the_list_is_told_that_every_account_has_moved_only_when_it_always_is(
    company: RoutineCompany, when: NotifyWhen, expected: int
) -> None:
    preset(company, notify=(Notified.LIST,), notify_list=("boss@example.com",), notify_when=when)
    company.account("K1", changed_at=LATELY)
    watched(company)
    assert [row.text for row in mails(company).values()] == ["On March 31, 2026:\n- no account is without movement"] * expected


def test_E34_a_list_that_is_too_long_for_a_mail_says_how_many_more_there_are(
    company: RoutineCompany, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_monitor, "MOST_SHOWN", 2)
    ana, _, _ = people(company)
    preset(company, notify=(Notified.RESPONSIBLE, Notified.LIST), notify_list=("boss@example.com",))
    for number in range(5):
        company.account(f"K{number}", responsible_id=ana)
    order = watched(company)
    lines = ["On March 31, 2026:", "- K0 (Ana Silva)", "- K1 (Ana Silva)", f"- and 3 more, see order {order.order_number}"]
    assert [row.text.splitlines() for row in mails(company).values()] == [lines, lines]


def test_E48_a_dry_run_lists_the_result_and_writes_and_mails_nothing(company: RoutineCompany) -> None:
    ana, bruno, _ = people(company)
    everybody = (Notified.RESPONSIBLE, Notified.NEW_RESPONSIBLE, Notified.LIST)
    preset(company, transfer=True, transfer_user="E2", notify=everybody, notify_list=("boss@example.com",))
    account = company.account("K1", responsible_id=ana)
    before = company.rows(entity_table["customer"])
    order = watched(company, dry_run=True)
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=1))
    (result,) = company.rows(routine_schema.order_result)
    assert (result.customer_id, result.outcome, result.details["numUserTransf"]) == (account, "changed", bruno)
    assert company.rows(entity_table["customer"]) == before
    assert company.rows(routine_schema.responsible_transfer) == []
    assert company.rows(schema.mail) == []


def test_E26_the_audience_of_the_preset_is_used_when_the_order_names_none(company: RoutineCompany) -> None:
    own = Audience("own", kind=AudienceKind.STATIC, accounts=("K1",))
    other = Audience("other", kind=AudienceKind.STATIC, accounts=("K2", "K3"))
    with company.engine.begin() as connection:
        routine_settings.write(connection, "audiences", [own, other], now=FOUNDED)
    preset(company, audience="own")
    accounts = [company.account(code) for code in ("K1", "K2", "K3")]
    first = watched(company)
    assert (first.audience_code, still(company, first)) == ("own", {accounts[0]})
    second = watched(company, audience="other")
    assert (second.audience_code, still(company, second)) == ("other", set(accounts[1:]))


def test_E35_other_systems_are_told_of_each_transfer_also_when_the_account_comes_back(company: RoutineCompany) -> None:
    ana, bruno, _ = people(company)
    IntegratedCompany(company.engine, company.clock).connect(crm_told_of("responsible", "ref.responsible"))
    account = company.account("K1", responsible_id=ana)
    company.account("K2", responsible_id=ana, changed_at=LATELY)
    orders = []
    for to in ("E2", "E1", "E2"):
        preset(company, transfer=True, transfer_user=to)
        orders.append(watched(company).order_number)
        with company.engine.begin() as connection:
            sent = sa.update(integration_schema.work_item)
            connection.execute(
                sent.where(integration_schema.work_item.c.state == "QUEUED").values(state="DONE", closed_at=NOON)
            )
    told = company.rows(integration_schema.work_item)
    assert [(one.record_id, one.cause) for one in told] == [(account, f"routine:{number}") for number in orders]
    assert [one.values["ref"]["responsible"] for one in told] == [bruno, ana, bruno]


FAILPOINTS = (
    "order_after_begin_commit",
    "order_after_prepare",
    "order_before_slice_progress",
    "order_before_slice_commit",
    "order_after_slice_commit",
    "order_after_slice_commit",
    "order_before_end_commit",
    "order_after_end_commit",
)


def test_E38_killed_at_every_failpoint_each_account_is_transferred_once_and_everybody_is_told_once(
    company: RoutineCompany,
) -> None:
    ana, bruno, _ = people(company)
    preset(company, transfer=True, transfer_user="E2", notify=(Notified.RESPONSIBLE, Notified.NEW_RESPONSIBLE))
    rows = [{"dossier_code": DOSSIER, "customer_id": 1000 + one, "responsible_id": ana} for one in range(500)]
    with company.engine.begin() as connection:
        connection.execute(sa.insert(entity_table["customer"]), [row | {"updated_at": FOUNDED} for row in rows])
    company.order("account_monitor", parameters={"monitor": "still"}, summary=False)
    assert run_to_its_end(company, FAILPOINTS, slice_size=100) == [-signal.SIGKILL] * len(FAILPOINTS)
    (order,) = company.orders()
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=500))
    assert set(responsible(company).values()) == {bruno}
    history = company.rows(routine_schema.responsible_transfer)
    assert [(one.customer_id, one.from_employee_id) for one in history] == [(1000 + one, ana) for one in range(500)]
    results = company.rows(routine_schema.order_result)
    assert sorted(row.details["Seq"] for row in results) == list(range(1, 501))
    told = mails(company)
    assert {address: row.text.count("\n- ") for address, row in told.items()} == {
        "ana@example.com": 500,
        "bruno@example.com": 500,
    }


def test_E45_an_account_that_the_database_refuses_to_hand_over_is_an_error_and_the_others_are_done(
    company: RoutineCompany,
) -> None:
    ana, bruno, _ = people(company)
    preset(company, transfer=True, transfer_user="E2")
    good, bad, last = (company.account(code, responsible_id=ana) for code in ("K1", "K2", "K3"))
    with company.engine.begin() as connection:
        refusal = f"ALTER TABLE automation.responsible_transfer ADD CHECK (customer_id <> {bad:d})"
        connection.execute(sa.text(refusal))
    order = watched(company)
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=2, errors=1))
    assert responsible(company) == {good: bruno, bad: ana, last: bruno}


def test_E32_a_past_date_is_looked_at_as_it_was_scheduled(company: RoutineCompany) -> None:
    preset(company)
    account = company.account("K1", changed_at=instant("2026-03-01T12:00"))
    number = company.order("account_monitor", parameters={"monitor": "still"}, summary=False)
    late = company.order("account_monitor", parameters={"monitor": "still"}, summary=False, at=NOON + timedelta(days=1))
    company.clock.at = NOON + timedelta(days=10)
    assert still(company, company.run(number)) == set()
    assert still(company, company.run(late)) == {account}
