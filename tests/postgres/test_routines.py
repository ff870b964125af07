"""Orders and routines on real tables: what they write, what they count, and what stops them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.routine import Counts, OrderState
from tests.routine_company import RoutineCompany

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def company(engine: sa.Engine) -> RoutineCompany:
    """A dossier with an ERP that is integrated."""
    return RoutineCompany(engine, FixedClock(NOON)).founded()


def test_E21_E22_E23_the_complement_adds_up_the_invoices_up_to_the_run_date(company: RoutineCompany) -> None:
    buyer, stranger, today = company.account("K1"), company.account("K2"), company.account("K3")
    company.invoice(buyer, date(2026, 1, 10), "100")
    company.invoice(buyer, date(2026, 2, 20), "50", number="F-2")
    company.invoice(buyer, date(2026, 4, 1), "1000")
    company.invoice(buyer, date(2026, 2, 25), "70", state="cancelled")
    company.invoice(today, date(2026, 3, 1), "5")
    order = company.executed("account_complement")
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=3))
    found = company.complements()
    assert (found[buyer].first_purchase_value, found[buyer].last_purchase_value) == (Decimal(100), Decimal(50))
    assert (found[buyer].accumulated_value, found[buyer].purchase_count) == (Decimal(150), 2)
    assert (found[buyer].days_since_last_purchase, found[buyer].last_invoice_code) == (9, "F-2")
    nothing = found[stranger]
    assert (nothing.purchase_count, nothing.accumulated_value) == (0, 0)
    assert {nothing.first_purchase_date, nothing.last_purchase_value, nothing.days_since_last_purchase} == {None}
    assert found[today].days_since_last_purchase == 0


def test_E25_a_second_run_without_new_data_changes_nothing(company: RoutineCompany) -> None:
    company.invoice(company.account("K1"), date(2026, 1, 10), "100")
    company.executed("account_complement")
    before = company.complements()
    assert company.executed("account_complement").counts == Counts(unchanged=1)
    assert company.complements() == before


def test_E24_without_an_integrated_erp_the_order_fails_before_anything_is_written(
    company: RoutineCompany,
) -> None:
    company.account("K1")
    company.switch_erp_off()
    order = company.executed("account_complement")
    assert order.state is OrderState.FAILED
    assert str(order.failure).startswith("E-ORD-021 ")
    assert company.complements() == {}


def test_E1_an_order_before_now_is_refused_and_one_at_now_is_accepted(company: RoutineCompany) -> None:
    with pytest.raises(InputError) as refused:
        company.order("account_complement", at=NOON - timedelta(minutes=1))
    assert refused.value.code == "E-ORD-003"
    assert company.orders() == []
    company.order("account_complement", at=NOON)
    assert [one.state for one in company.orders()] == [OrderState.PENDING]


def test_E20_all_nine_fields_are_written_from_the_documents_of_the_erp(company: RoutineCompany) -> None:
    account = company.account("K1")
    company.invoice(account, date(2026, 1, 10), "100.50", number="F-1")
    company.invoice(account, date(2026, 2, 20), "50.25", number="F-2")
    company.invoice(account, date(2026, 2, 22), "10", type="credit_note", number="A-1")
    company.invoice(account, date(2026, 2, 24), "999", type="quotation", number="Q-1")
    company.executed("account_complement")
    found = company.complements()[account]
    assert found.last_purchase_date == date(2026, 2, 20)
    assert found.first_purchase_date == date(2026, 1, 10)
    assert found.last_purchase_value == Decimal("50.25")
    assert found.first_purchase_value == Decimal("100.50")
    assert found.accumulated_value == Decimal("140.75"), "net of what was returned"
    assert found.last_quotation_date == date(2026, 2, 24)
    assert found.purchase_count == 2
    assert found.days_since_last_purchase == 9
    assert found.last_invoice_code == "F-2"
