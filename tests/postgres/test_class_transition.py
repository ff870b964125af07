"""Class transitions: which rule moves which account, what is written of it, and what would have been."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.routine import Counts, OrderState
from erpcrm_orchestration.domain.routine_settings import ClassMetric, ClassOperator, ClassRule
from erpcrm_orchestration.services.class_transition import simulate
from erpcrm_orchestration.store import routine_schema
from tests.routine_company import DOSSIER, RoutineCompany

NOON = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
DAY = date(2026, 3, 31)


@pytest.fixture
def company(engine: sa.Engine) -> RoutineCompany:
    """A dossier with an ERP that is integrated."""
    return RoutineCompany(engine, FixedClock(NOON)).founded()


def rule(code: str, to_class: str, threshold: int | str, metric: str = "accumulated_value", **values: Any) -> ClassRule:
    operator = ClassOperator(values.pop("operator", ">="))
    return ClassRule(code, to_class, ClassMetric(metric), operator, Decimal(threshold), **values)


def test_E39_the_threshold_itself_moves_an_account_and_a_cent_less_does_not(company: RoutineCompany) -> None:
    company.configure("class_rules", rule("SILVER", "Silver", "10000.00", from_class="Bronze"))
    less, enough = (company.account(code, class_code="Bronze") for code in ("K1", "K2"))
    company.invoice(less, date(2026, 1, 5), "9999.99")
    company.invoice(enough, date(2026, 1, 5), "10000.00")
    order = company.executed("class_transition")
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=1, unchanged=1))
    assert company.classes() == {less: "Bronze", enough: "Silver"}
    (moved,) = company.rows(routine_schema.class_transition)
    assert (moved.customer_id, moved.from_class, moved.to_class, moved.rule_code) == (enough, "Bronze", "Silver", "SILVER")
    assert (moved.metric_value, moved.on_date, moved.order_number) == (Decimal("10000.00"), DAY, order.order_number)


def test_E40_of_two_rules_that_match_the_lower_priority_moves_once(company: RoutineCompany) -> None:
    company.configure("class_rules", rule("GOLD", "Gold", 1, priority=2), rule("SILVER", "Silver", 1, priority=1))
    account = company.account("K1", class_code="Bronze")
    company.invoice(account, date(2026, 1, 5), "50")
    company.executed("class_transition")
    assert company.classes() == {account: "Silver"}
    assert len(company.rows(routine_schema.class_transition)) == 1
    # The next run takes the next step, as Silver is not moved to Silver again.
    company.executed("class_transition")
    assert company.classes() == {account: "Gold"}


def test_E41_a_rule_of_another_class_or_to_the_class_that_an_account_has_does_nothing(company: RoutineCompany) -> None:
    company.configure("class_rules", rule("A", "Gold", 0, from_class="Silver"), rule("B", "Bronze", 0, priority=1))
    account = company.account("K1", class_code="Bronze")
    assert company.executed("class_transition").counts == Counts(unchanged=1)
    assert company.classes() == {account: "Bronze"}
    assert company.rows(routine_schema.class_transition) == []


def test_E42_the_audience_limits_the_accounts_and_without_one_all_are_considered(company: RoutineCompany) -> None:
    company.configure("class_rules", rule("A", "Gold", 0))
    chosen, other = company.account("K1"), company.account("K2")
    company.static_audience("FEW", "K1")
    assert company.executed("class_transition", audience="FEW").counts == Counts(changed=1)
    assert company.classes() == {chosen: "Gold", other: None}
    assert company.executed("class_transition").counts == Counts(changed=1, unchanged=1)


def test_E48_a_dry_run_lists_the_moves_and_writes_none(company: RoutineCompany) -> None:
    company.configure("class_rules", rule("A", "Gold", 0))
    account = company.account("K1", class_code="Bronze")
    order = company.executed("class_transition", dry_run=True)
    assert order.counts == Counts(changed=1)
    assert company.classes() == {account: "Bronze"}
    assert company.rows(routine_schema.class_transition) == []
    (listed,) = company.rows(routine_schema.order_result)
    assert (listed.customer_id, listed.outcome) == (account, "changed")
    assert listed.details == {"from": "Bronze", "to": "Gold", "rule": "A", "metric_value": 0}


@pytest.mark.parametrize(
    ("metric", "operator", "threshold", "moves"),
    [
        ("value_in_window", ">=", 30, True),
        ("value_in_window", ">=", 31, False),
        ("count_in_window", ">=", 1, True),
        ("count_in_window", ">=", 2, False),
        ("purchase_count", ">=", 2, True),
        ("purchase_count", "<=", 1, False),
        ("days_since_last_purchase", "<=", 30, True),
        ("days_since_last_purchase", "<=", 29, False),
        ("days_in_class", ">=", 89, True),
        ("days_in_class", ">=", 90, False),
        ("accumulated_value", "<=", 80, True),
        ("accumulated_value", "<=", 79, False),
    ],
)
def test_each_metric_is_what_its_name_says(
    company: RoutineCompany, metric: str, operator: str, threshold: int, *, moves: bool
) -> None:
    window = 60 if metric.endswith("_window") else None
    company.configure("class_rules", rule("A", "Gold", threshold, metric, operator=operator, window_days=window))
    account = company.account("K1", created_at=datetime(2026, 1, 1, 12, tzinfo=UTC))
    company.invoice(account, date(2026, 1, 1), "60")
    company.invoice(account, date(2026, 3, 1), "30")
    company.invoice(account, date(2026, 1, 20), "10", type="credit_note")
    company.executed("class_transition")
    assert company.classes() == {account: "Gold" if moves else None}


def test_between_takes_both_bounds_and_rules_hold_only_in_their_time(company: RoutineCompany) -> None:
    between = rule("A", "Gold", 10, operator="between", threshold_to=Decimal(20))
    company.configure("class_rules", between, rule("OLD", "Lead", 0, valid_to=date(2026, 3, 30), priority=1))
    accounts = {total: company.account(f"K{total}") for total in ("9", "10", "20", "21")}
    for total, account in accounts.items():
        company.invoice(account, date(2026, 1, 1), total)
    company.executed("class_transition")
    assert company.classes() == {accounts["9"]: None, accounts["10"]: "Gold", accounts["20"]: "Gold", accounts["21"]: None}


def test_E45_an_account_whose_purchases_cannot_be_added_up_is_an_error_and_the_others_move(company: RoutineCompany) -> None:
    company.configure("class_rules", rule("A", "Gold", 1))
    good, mixed = company.account("K1"), company.account("K2")
    company.invoice(good, date(2026, 1, 1), "5")
    company.invoice(mixed, date(2026, 1, 1), "5")
    company.invoice(mixed, date(2026, 1, 1), "5", currency="USD")
    order = company.executed("class_transition")
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=1, errors=1))
    assert company.classes() == {good: "Gold", mixed: None}
    assert company.messages(order) == [f"E-ORD-022 account {mixed}: documents in EUR and USD"]


def test_without_a_rule_that_holds_the_order_fails(company: RoutineCompany) -> None:
    company.configure("class_rules", rule("A", "Gold", 1, active=False))
    order = company.executed("class_transition")
    assert order.state is OrderState.FAILED
    assert str(order.failure).startswith("E-ORD-024 ")


def test_a_simulation_says_who_would_have_moved_when_and_writes_nothing(company: RoutineCompany) -> None:
    company.configure(
        "class_rules",
        rule("SILVER", "Silver", 100, from_class="Bronze"),
        rule("GOLD", "Gold", 60, "days_in_class", from_class="Silver"),
    )
    account = company.account("K1", class_code="Bronze", created_at=datetime(2025, 12, 1, tzinfo=UTC))
    company.invoice(account, date(2026, 1, 10), "60")
    company.invoice(account, date(2026, 1, 20), "40")
    found = simulate(company.engine, DOSSIER, date(2026, 1, 1), date(2026, 3, 31))
    assert [(one.on_date, one.from_class, one.to_class, one.rule_code) for one in found] == [
        (date(2026, 1, 20), "Bronze", "Silver", "SILVER"),
        (date(2026, 3, 21), "Silver", "Gold", "GOLD"),
    ]
    assert company.classes() == {account: "Bronze"}
    assert company.rows(routine_schema.class_transition) == []
