"""Status of accounts: what decides it, and that it decides nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.routine import Counts, Order
from erpcrm_orchestration.store import routine_schema
from erpcrm_orchestration.store.entity_schema import cross_reference
from tests.company import FOUNDED
from tests.integrated_company import IntegratedCompany
from tests.routine_company import DOSSIER, RoutineCompany, instant

PROGRAM = "account_status"
NOW = instant("2026-07-15T12:00")
BOUGHT = date(2026, 7, 1)


@pytest.fixture
def company(engine: sa.Engine) -> RoutineCompany:
    """A dossier with an integrated ERP, in which accounts sleep after six months."""
    return RoutineCompany(engine, FixedClock(NOW)).founded(inactive_months=6, gp_system="gp")


def statuses(company: RoutineCompany) -> dict[int, tuple[str, str]]:
    return {row.customer_id: (row.status_erp, row.status_gp) for row in company.rows(routine_schema.account_status)}


def told_by_gp(company: RoutineCompany, account: int, deleted_at: datetime | None = None) -> None:
    """Let the health plan system have told of an account."""
    row = {"dossier_code": DOSSIER, "system_code": "gp", "entity": "customer", "external_id": f"G{account}"}
    with company.engine.begin() as connection:
        connection.execute(sa.insert(cross_reference).values(**row, record_id=account, deleted_at=deleted_at))


def executed(company: RoutineCompany) -> Order:
    return company.executed(PROGRAM)


def test_E27_a_status_is_active_inactive_or_not_integrated_and_nothing_else(company: RoutineCompany) -> None:
    accounts = [company.account(f"K{number}") for number in range(3)]
    company.account(None)
    company.invoice(accounts[0], BOUGHT, "1")
    company.invoice(accounts[1], date(2025, 1, 1), "1")
    company.invoice(accounts[2], BOUGHT, "1")
    executed(company)
    assert {erp for erp, _ in statuses(company).values()} == {"ACTIVE_ERP", "INACTIVE_ERP", "NOT_INTEGRATED_ERP"}
    with pytest.raises(sa.exc.IntegrityError, match="status_erp_known"), company.engine.begin() as connection:
        connection.execute(sa.update(routine_schema.account_status).values(status_erp="SLEEPING"))


def test_E28_leads_and_accounts_without_a_code_of_the_erp_are_not_integrated(company: RoutineCompany) -> None:
    lead, no_code, converted = company.account("K1", type="lead"), company.account(None), company.account("K2", type="account")
    for account in (lead, no_code, converted):
        company.invoice(account, BOUGHT, "1")
    executed(company)
    assert {account: erp for account, (erp, _) in statuses(company).items()} == {
        lead: "NOT_INTEGRATED_ERP",
        no_code: "NOT_INTEGRATED_ERP",
        converted: "ACTIVE_ERP",
    }


@pytest.mark.parametrize(
    ("last", "status"),
    [(date(2026, 1, 15), "ACTIVE_ERP"), (date(2026, 1, 14), "INACTIVE_ERP"), (date(2026, 7, 16), "INACTIVE_ERP")],
)
def test_E29_six_months_after_the_last_purchase_an_account_is_still_active_and_a_day_later_not(
    company: RoutineCompany, last: date, status: str
) -> None:
    """A purchase after the run date is none yet: then the date of registration decides."""
    account = company.account("K1", registered_on=date(2020, 1, 1))
    company.invoice(account, last, "1")
    executed(company)
    assert statuses(company)[account][0] == status


@pytest.mark.parametrize(("registered", "status"), [(date(2026, 1, 15), "ACTIVE_ERP"), (date(2026, 1, 14), "INACTIVE_ERP")])
def test_E29_without_a_purchase_the_registration_in_the_erp_counts(
    company: RoutineCompany, registered: date, status: str
) -> None:
    account = company.account("K1", registered_on=registered)
    executed(company)
    assert statuses(company)[account][0] == status


def test_E29_with_zero_months_no_account_is_ever_inactive(engine: sa.Engine) -> None:
    company = RoutineCompany(engine, FixedClock(NOW)).founded(inactive_months=0)
    account = company.account("K1", registered_on=date(1999, 1, 1))
    executed(company)
    assert statuses(company)[account][0] == "ACTIVE_ERP"


def test_E45_an_account_without_purchase_and_registration_is_an_error_and_the_others_are_judged(
    company: RoutineCompany,
) -> None:
    good, unknown = company.account("K1", registered_on=BOUGHT), company.account("K2")
    order = executed(company)
    assert order.counts == Counts(changed=1, errors=1)
    assert set(statuses(company)) == {good}
    assert company.messages(order) == [f"E-ORD-023 account {unknown}: no purchase and no date of registration"]


def test_E30_with_the_health_plan_system_alone_its_status_is_written_and_that_of_the_erp_is_not_integrated(
    company: RoutineCompany,
) -> None:
    company.switch_erp_off()
    company.connect("gp")
    member, former, stranger = (company.account(f"K{number}") for number in range(3))
    told_by_gp(company, member)
    told_by_gp(company, former, deleted_at=FOUNDED)
    executed(company)
    assert statuses(company) == {
        member: ("NOT_INTEGRATED_ERP", "ACTIVE_GP"),
        former: ("NOT_INTEGRATED_ERP", "INACTIVE_GP"),
        stranger: ("NOT_INTEGRATED_ERP", "NOT_INTEGRATED_GP"),
    }


def test_E30_with_neither_nobody_is_integrated(company: RoutineCompany) -> None:
    company.switch_erp_off()
    account = company.account("K1")
    told_by_gp(company, account)
    executed(company)
    assert statuses(company) == {account: ("NOT_INTEGRATED_ERP", "NOT_INTEGRATED_GP")}


def test_a_second_run_changes_nothing_and_a_dry_run_counts_and_writes_nothing(company: RoutineCompany) -> None:
    company.account("K1", registered_on=BOUGHT)
    assert company.executed(PROGRAM, dry_run=True).counts == Counts(changed=1)
    assert statuses(company) == {}
    assert executed(company).counts == Counts(changed=1)
    assert executed(company).counts == Counts(unchanged=1)


@pytest.fixture
def shop(engine: sa.Engine, clock: FixedClock) -> Iterator[Shop]:
    """The simulated shop, connected to the dossier."""
    made = Shop(clock=clock)
    company = IntegratedCompany(engine, clock)
    company.dossier()
    server = WebServer(made)
    server.start()
    company.connect_shop(server.url)
    yield made
    server.stop()


def test_E31_an_inactive_account_is_edited_and_buys_as_any_other(engine: sa.Engine, clock: FixedClock, shop: Shop) -> None:
    company = IntegratedCompany(engine, clock)
    customer = shop.add_customer(email="ana@example.com", first_name="Ana", last_name="Durand")
    assert company.round()["998"].failures == []
    (account,) = company.rows("hub.customer")
    with engine.begin() as connection:
        values = {"dossier_code": "998", "customer_id": account["customer_id"], "updated_at": clock.now()}
        words = {"status_erp": "INACTIVE_ERP", "status_gp": "INACTIVE_GP"}
        connection.execute(sa.insert(routine_schema.account_status).values(**values, **words))
    company.pass_time()
    shop.change("customers", customer["id"], first_name="Anna")
    product = shop.add_product("Lamp", "12.50")
    shop.add_order([(product["id"], 2)], customer_id=customer["id"])
    assert company.round(everything=True)["998"].failures == []
    (edited,) = company.rows("hub.customer")
    assert edited["first_name"] == "Anna"
    (order,) = company.rows("hub.order_header")
    assert order["customer_id"] == account["customer_id"]
