"""kill -9 of the run of an order between any two of its side effects: every account is done once, and told of once."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from multiprocessing.process import BaseProcess

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.routine import Counts, Order, OrderState
from erpcrm_orchestration.domain.routine_settings import ClassMetric, ClassOperator, ClassRule
from erpcrm_orchestration.services import order as service
from erpcrm_orchestration.store import integration_schema, routine_schema, schema
from tests.integrated_company import IntegratedCompany
from tests.routine_company import RoutineCompany, crm_told_of, instant
from tests.scenarios.child_order import start

FAILPOINTS = (
    "order_before_begin_commit",
    "order_after_begin_commit",
    "order_after_prepare",
    "order_before_slice_progress",
    "order_before_slice_commit",
    "order_after_slice_commit",
    "order_before_end_commit",
    "order_after_end_commit",
)
PROGRAMS = ("account_complement", "account_status", "class_transition")
RANDOM_ROUNDS = int(os.environ.get("ROUTINE_KILLS", "9"))
"""Rounds that are killed at random instants, of all programs together."""
SEED = 20261122
ACCOUNTS = 10
SLICE = 3
LIVES = 2
"""So many times an order is killed: a third loss would give it up."""
LONGEST_LIFE_S = 0.15


@dataclass
class Killing:
    """Orders whose runs are killed, each in a dossier of its own with ten accounts that all change."""

    company: RoutineCompany
    rounds: int = 0
    kills: int = 0
    midway: int = 0
    """Kills that left an order RUNNING."""

    def found_dossier(self) -> tuple[str, list[int]]:
        """Store a dossier whose CRM is told of its accounts; return its code and the accounts."""
        self.rounds += 1
        code = f"R{self.rounds}"
        self.company.founded(code, time_zone="UTC", inactive_months=6)
        IntegratedCompany(self.company.engine, self.company.clock).connect(crm_told_of("class_code", "class_code", code))
        accounts = [self.company.account(f"K{number}", dossier=code, class_code="Bronze") for number in range(ACCOUNTS)]
        for number, account in enumerate(accounts):
            self.company.invoice(account, date(2026, 1 + number % 5, 1), str(100 + number), dossier=code)
        return code, accounts

    def survive(self, program: str, kill: Callable[[BaseProcess, int], None], failpoint: str = "") -> None:
        """Let runs of one order die, then one live, and look at everything that they did."""
        code, accounts = self.found_dossier()
        number = self.company.order(program, dossier_code=code, email="ann@example.com")
        for life in range(LIVES + 1):
            lives = life == LIVES
            (request,) = service.take_due(self.company.engine, clock=self.company.clock)
            url = self.company.engine.url.render_as_string(hide_password=False)
            run = start(
                url, self.company.clock.now(), number, request.batch, slice_size=SLICE, failpoint="" if lives else failpoint
            )
            if not lives:
                kill(run, number)
            run.join(60)
            assert run.exitcode in {0, -signal.SIGKILL}
            self.kills += run.exitcode == -signal.SIGKILL
            self.midway += self.company.state(number) is OrderState.RUNNING
            assert service.lost(self.company.engine, {request.batch: "ended"}, clock=self.company.clock) == []
            if self.company.state(number) is OrderState.DONE:
                break
        order, _ = service.details(self.company.engine, number)
        self.assert_done_once(order, accounts)

    def assert_done_once(self, order: Order, accounts: list[int]) -> None:
        """Every account was changed and counted once; nothing is told twice, and the summary is one mail."""
        assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=ACCOUNTS))
        assert getattr(self, f"_{order.program}")(order, accounts)
        moved = accounts if order.program == "class_transition" else []
        assert self._ids(routine_schema.class_transition, order, "customer_id") == moved
        assert self._ids(integration_schema.work_item, order, "record_id") == moved
        summaries = [row.idempotency_key for row in self._rows(schema.mail, order)]
        assert summaries == [f"order_summary:{order.order_number}:{order.attempt}"]

    def _account_complement(self, order: Order, accounts: list[int]) -> bool:
        rows = self._rows(routine_schema.account_complement, order)
        expected = [(account, Decimal(100 + number), 1) for number, account in enumerate(accounts)]
        return [(row.customer_id, row.accumulated_value, row.purchase_count) for row in rows] == expected

    def _account_status(self, order: Order, accounts: list[int]) -> bool:
        rows = self._rows(routine_schema.account_status, order)
        states = ["INACTIVE_ERP" if number % 5 < 3 else "ACTIVE_ERP" for number in range(ACCOUNTS)]
        return [(row.customer_id, row.status_erp) for row in rows] == list(zip(accounts, states, strict=True))

    def _class_transition(self, order: Order, accounts: list[int]) -> bool:
        classes = self.company.classes()
        return {classes[account] for account in accounts} == {"Silver"}

    def _rows(self, table: sa.Table, order: Order) -> list[sa.Row[tuple[object, ...]]]:
        return [row for row in self.company.rows(table) if row.dossier_code == order.dossier_code]

    def _ids(self, table: sa.Table, order: Order, column: str) -> list[int]:
        return sorted(getattr(row, column) for row in self._rows(table, order))


@pytest.fixture
def killing(engine: sa.Engine) -> Killing:
    """A company whose class rule moves every account that bought something from Bronze to Silver."""
    made = RoutineCompany(engine, FixedClock(instant("2026-09-15T10:00")))
    rule = ClassRule("SILVER", "Silver", ClassMetric.ACCUMULATED_VALUE, ClassOperator(">="), Decimal(1), from_class="Bronze")
    made.configure("class_rules", rule)
    return Killing(made)


def by_itself(run: BaseProcess, number: int) -> None:
    """The failpoint kills it."""


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_F1_a_run_that_is_killed_at_any_failpoint_of_an_order_leaves_it_to_the_next(killing: Killing, program: str) -> None:
    for failpoint in FAILPOINTS:
        killing.survive(program, by_itself, f"{failpoint}:kill")
    ends = sum(failpoint == "order_after_end_commit" for failpoint in FAILPOINTS)
    assert killing.kills == LIVES * (len(FAILPOINTS) - ends) + ends


@pytest.mark.slow
def test_F2_runs_that_are_killed_at_random_instants_leave_their_orders_to_the_next(killing: Killing) -> None:
    """ROUTINE_KILLS=1000 makes it long."""
    chance = random.Random(SEED)  # noqa: S311 - repeatable on purpose

    def kill(run: BaseProcess, number: int) -> None:
        # Half of them while the order runs, which is a short time of a life that mostly connects.
        if chance.random() < 0.5:
            while run.is_alive() and killing.company.state(number) is OrderState.PENDING:
                os.sched_yield()
        time.sleep(chance.uniform(0, LONGEST_LIFE_S))
        run.kill()

    for number in range(RANDOM_ROUNDS):
        killing.survive(PROGRAMS[number % len(PROGRAMS)], kill)
    assert killing.kills >= RANDOM_ROUNDS / 2
    assert killing.midway >= RANDOM_ROUNDS / 10
