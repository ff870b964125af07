"""The demo company's configuration with its simulated systems: what `erpcrm demo` shows happens in every round."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import sqlalchemy as sa

from erpcrm_orchestration.config.folder import read_folder
from erpcrm_orchestration.demo.life import WRONG
from erpcrm_orchestration.demo.orders import has_accounts, schedule_orders
from erpcrm_orchestration.demo.round import forget_the_systems, integration_milestones, refused, routine_milestones
from erpcrm_orchestration.demo.systems import Systems, write_environment
from erpcrm_orchestration.domain.clock import FixedClock, SystemClock
from erpcrm_orchestration.domain.routine import OrderState
from erpcrm_orchestration.services.configuration import apply
from erpcrm_orchestration.services.round import Round, work_round
from erpcrm_orchestration.store.integration_schema import cross_reference, inbox, work_item
from tests.routine_company import RoutineCompany

CONFIG = Path(__file__).parents[2] / "config"
NOBODY = "http://127.0.0.1:9"


def play(engine: sa.Engine, rounds: int) -> Systems:
    """Let a company begin and live for some rounds; return its systems, stopped."""
    systems = Systems()
    with systems.serving() as environment:
        forget_the_systems(engine)
        systems.found(NOBODY)
        apply(engine, read_folder(CONFIG), clock=SystemClock(), actor="test")
        for _ in range(rounds):
            done = work_round(engine, ["998", "210"], Round(SystemClock(), environment, everything=True))
            assert [one.failures for one in done.values()] == [[], []]
            systems.live()
    return systems


def test_the_demo_reaches_every_milestone_of_the_orders(engine: sa.Engine) -> None:
    """Orders go to the ERP once, what is shipped is completed in the shop, one wrong order waits with its correction."""
    systems = play(engine, rounds=4)
    assert [one.name for one in integration_milestones(engine, systems) if not one.is_reached] == []
    references = [one["external_reference"] for one in systems.erp.orders]
    assert len(references) == len(set(references))
    for one in systems.journeys():
        assert one.sold_at <= one.shipped_at
    assert systems.wrong is not None
    assert systems.wrong.name in WRONG
    waits = refused(engine, systems.wrong.order_id)
    assert waits is not None
    assert "$.line_items.0.quantity: '1,5'" in waits.error


def test_the_field_service_of_the_demo_comes_through_the_inbox_and_one_intervention_is_wrong(engine: sa.Engine) -> None:
    """Time that runs is kept and not exported; as soon as it is ended and its intervention closed, it is."""
    systems = play(engine, rounds=1)
    assert systems.service.wrong is not None
    assert _states(engine, "intervention").count("REJECTED") == 1
    assert _states(engine, "time_entry") == ["IGNORED", "TRANSFORMED"]
    assert _states(engine, "document") == ["TRANSFORMED"] * 3
    with engine.connect() as connection:
        columns = inbox.c
        wrong = sa.select(columns.source_id, columns.error).where(columns.state == "REJECTED", columns.entity == "intervention")
        (row,) = connection.execute(wrong)
    assert row.source_id == systems.service.wrong
    assert "$.started: '2026-02-30T09:00:00Z'" in row.error


def _states(engine: sa.Engine, entity: str) -> list[str]:
    columns = inbox.c
    with engine.connect() as connection:
        return sorted(connection.scalars(sa.select(columns.state).where(columns.entity == entity)))


def test_nothing_of_the_demo_is_given_up_but_the_product_that_the_shop_lost(engine: sa.Engine) -> None:
    play(engine, rounds=3)
    columns = work_item.c
    with engine.connect() as connection:
        dead = connection.execute(sa.select(columns.event, columns.source_id).where(columns.state.in_(["DEAD", "CONFLICT"])))
        assert [tuple(row) for row in dead] == [("on_demand", "999999")]


def test_a_second_demo_in_the_same_database_begins_with_its_own_systems(engine: sa.Engine) -> None:
    play(engine, rounds=2)
    systems = play(engine, rounds=4)
    assert systems.journeys()
    with engine.connect() as connection:
        known = connection.scalars(sa.select(cross_reference.c.external_id).where(cross_reference.c.entity == "order"))
        assert set(known) <= {str(number) for number in range(1, 100)}
        refused_now = connection.execute(sa.select(inbox.c.entity).where(inbox.c.state == "REJECTED").order_by(inbox.c.entity))
        assert list(refused_now.scalars()) == ["intervention", "order"]


def test_the_variables_of_the_demo_are_read_by_a_shell_and_by_the_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "demo" / "environment"
    write_environment(file, {"ERPCRM_A": "it's $HOME", "ERPCRM_B": "b"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    script = f'. {file}; printf "%s|%s" "$ERPCRM_A" "$ERPCRM_B"'
    shown = subprocess.run(["/bin/sh", "-c", script], env=dict(os.environ), capture_output=True, text=True, check=True)
    assert shown.stdout == "it's $HOME|b"


def test_the_routines_of_the_demo_are_executed_and_the_agenda_has_its_next_order(engine: sa.Engine) -> None:
    """Complement, status, a class transition as a dry run, and greetings; a new run of the demo forgets them."""
    play(engine, rounds=4)
    assert has_accounts(engine)
    schedule_orders(engine, clock=SystemClock())
    company = RoutineCompany(engine, FixedClock(SystemClock().now()))
    done = company.started()
    assert [(one.failure, one.counts.errors) for one in done] == [(None, 0)] * 4
    assert all(one.counts.considered for one in done)
    assert [one.name for one in routine_milestones(engine) if not one.is_reached] == []
    assert [one.auto_agenda for one in company.orders() if one.state is OrderState.PENDING] == [True]
    forget_the_systems(engine)
    assert company.orders() == []
