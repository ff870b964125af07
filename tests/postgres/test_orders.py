"""Execution orders: when they start and on which server, what they wait for, and how they go on after a crash."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.errors import FenceError, InputError
from erpcrm_orchestration.domain.routine import Counts, Order, OrderState, Origin
from erpcrm_orchestration.domain.routine_settings import Agenda, Audience, Server, ServerState
from erpcrm_orchestration.services import order as service
from erpcrm_orchestration.services.ledger import ATTEMPTS, LAUNCH_PATIENCE
from erpcrm_orchestration.services.routine import RoutineRun, fail
from erpcrm_orchestration.store import routine_schema
from tests.routine_company import DOSSIER, RoutineCompany, instant

NOW = instant("2026-05-10T10:00")
PROGRAM = "account_complement"
OTHER = "account_status"


@pytest.fixture
def company(engine: sa.Engine) -> RoutineCompany:
    """A dossier in UTC, with one server and one account."""
    made = RoutineCompany(engine, FixedClock(NOW)).founded(time_zone="UTC")
    made.configure("servers", Server("S1"))
    made.account("K1")
    return made


def states(company: RoutineCompany) -> dict[int, OrderState]:
    return {one.order_number: one.state for one in company.orders()}


def test_E3_an_order_starts_not_before_its_time_and_on_its_server(company: RoutineCompany) -> None:
    number = company.order(PROGRAM, at=instant("2026-05-10T22:00"), server_code="S1")
    company.clock.at = instant("2026-05-10T21:59:59")
    assert service.take_due(company.engine, clock=company.clock) == []
    company.clock.at = instant("2026-05-10T22:00")
    (request,) = service.take_due(company.engine, clock=company.clock)
    assert (request.server_code, request.orders) == ("S1", ((DOSSIER, number),))


def test_the_tags_of_a_server_stand_on_its_runs(company: RoutineCompany) -> None:
    company.configure("servers", Server("NIGHT", tags={"dagster-celery/queue": "night"}))
    company.order(PROGRAM, server_code="NIGHT")
    (request,) = service.take_due(company.engine, clock=company.clock)
    assert request.tags == {"dagster-celery/queue": "night"}


def test_E4_with_the_agenda_date_and_hour_are_ignored_and_the_runs_follow_it(company: RoutineCompany) -> None:
    company.configure("agendas", Agenda(PROGRAM, (time(6), time(18))))
    number = company.order(PROGRAM, agenda=True, at=instant("2020-01-01T00:00"))
    assert company.orders()[0].scheduled_at == instant("2026-05-10T18:00")
    company.clock.at = instant("2026-05-10T18:00")
    assert [one.order_number for one in company.started()] == [number]
    assert company.orders()[-1].scheduled_at == instant("2026-05-11T06:00")


def test_E5_an_agenda_that_the_program_does_not_have_is_refused_naming_the_program(company: RoutineCompany) -> None:
    with pytest.raises(InputError) as refused:
        company.order(PROGRAM, agenda=True)
    assert refused.value.code == "E-ORD-004"
    assert PROGRAM in str(refused.value)
    assert company.orders() == []


def test_E6_an_agenda_without_a_generated_order_runs_nothing(company: RoutineCompany) -> None:
    company.configure("agendas", Agenda(PROGRAM, (time(6), time(18))))
    company.clock.at = instant("2026-06-10T18:00")
    assert company.started() == []
    assert company.orders() == []


def test_E7_generated_at_ten_the_next_order_of_six_and_eighteen_is_at_eighteen(company: RoutineCompany) -> None:
    company.configure("agendas", Agenda(PROGRAM, (time(6), time(18))))
    company.order(PROGRAM, agenda=True)
    assert [one.scheduled_at for one in company.orders()] == [instant("2026-05-10T18:00")]


def test_E8_the_next_order_exists_before_the_program_ends_also_when_it_fails(company: RoutineCompany) -> None:
    company.configure("agendas", Agenda(PROGRAM, (time(6), time(18))))
    company.order(PROGRAM, agenda=True)
    company.switch_erp_off()
    company.clock.at = instant("2026-05-10T18:00")
    (failed,) = company.started()
    assert failed.state is OrderState.FAILED
    following = company.orders()[-1]
    assert (following.state, following.origin) == (OrderState.PENDING, Origin.AGENDA)
    assert following.scheduled_at == instant("2026-05-11T06:00")
    # What is attempted again was followed already.
    service.retry(company.engine, failed.order_number, clock=company.clock, actor="maria")
    company.started()
    assert len(company.orders()) == 2


def test_an_agenda_has_one_next_order(company: RoutineCompany) -> None:
    company.configure("agendas", Agenda(PROGRAM, (time(6),)))
    first = company.order(PROGRAM, agenda=True)
    with pytest.raises(InputError, match=f"E-ORD-009 agenda: its next order is {first}"):
        company.order(PROGRAM, agenda=True)
    service.cancel(company.engine, first, clock=company.clock, actor="maria")
    company.order(PROGRAM, agenda=True)


def test_E9_a_dependent_order_waits_until_its_parent_is_done(company: RoutineCompany) -> None:
    parent = company.order(PROGRAM)
    child = company.order(OTHER, depends_on=parent)
    company.switch_erp_off()
    assert [one.order_number for one in company.started()] == [parent]
    assert states(company) == {parent: OrderState.FAILED, child: OrderState.PENDING}
    assert company.started() == []
    company.connect("erp")
    service.retry(company.engine, parent, clock=company.clock, actor="maria")
    assert [one.order_number for one in company.started()] == [parent]
    assert [one.order_number for one in company.started()] == [child]
    assert set(states(company).values()) == {OrderState.DONE}


@pytest.mark.parametrize("state", [ServerState.BLOCKED, ServerState.INACTIVE])
def test_E10_an_order_waits_while_its_server_is_blocked_and_starts_when_it_is_active(
    company: RoutineCompany, state: ServerState
) -> None:
    company.configure("servers", Server("S1", state=state))
    number = company.order(PROGRAM, server_code="S1")
    assert company.started() == []
    assert states(company) == {number: OrderState.PENDING}
    company.configure("servers", Server("S1"))
    company.started()
    assert states(company) == {number: OrderState.DONE}


def test_E10_a_server_that_is_blocked_after_the_order_was_claimed_does_not_start_it(company: RoutineCompany) -> None:
    number = company.order(PROGRAM, server_code="S1")
    (request,) = service.take_due(company.engine, clock=company.clock)
    company.configure("servers", Server("S1", state=ServerState.BLOCKED))
    assert company.run(number, request.batch).state is OrderState.PENDING
    company.configure("servers", Server("S1"))
    company.started()
    assert states(company) == {number: OrderState.DONE}


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"program": "crm999"}, "E-ORD-002"),
        ({"server_code": "S9"}, "E-ORD-006"),
        ({"audience": "A9"}, "E-ORD-007"),
        ({"depends_on": 4711}, "E-ORD-001"),
        ({"dossier_code": "111"}, "E-CLI-057"),
        ({"parameters": {"colour": "red"}}, "E-ORD-005"),
        ({"program": "account_monitor"}, "E-ORD-005"),
        ({"program": "account_monitor", "parameters": {"monitor": "M9"}}, "E-ORD-005"),
        ({"program": "birthday_greeting", "parameters": {"subject": "Hi"}}, "E-ORD-005"),
    ],
)
def test_E11_E17_what_is_not_there_is_refused_and_no_order_is_made(
    company: RoutineCompany, wanted: dict[str, object], code: str
) -> None:
    with pytest.raises(InputError) as refused:
        company.order(**{"program": PROGRAM, **wanted})  # type: ignore[arg-type]
    assert refused.value.code == code
    assert company.orders() == []


def test_E2_scheduling_makes_one_order_and_cancelling_makes_it_never_start(company: RoutineCompany) -> None:
    number = company.order(PROGRAM)
    assert len(company.orders()) == 1
    service.cancel(company.engine, number, clock=company.clock, actor="maria")
    assert company.started() == []
    assert states(company) == {number: OrderState.CANCELLED}
    with pytest.raises(InputError, match="E-ORD-010"):
        service.cancel(company.engine, number, clock=company.clock, actor="maria")


def test_E47_a_second_order_of_a_program_waits_for_the_first_and_another_program_runs(company: RoutineCompany) -> None:
    first, second, other = company.order(PROGRAM), company.order(PROGRAM), company.order(OTHER)
    requests = service.take_due(company.engine, clock=company.clock)
    assert [number for one in requests for _, number in one.orders] == [first, other]
    assert service.take_due(company.engine, clock=company.clock) == []
    assert company.run(first).state is OrderState.DONE
    assert [one.order_number for one in company.started()] == [second]


def test_E47_two_runs_never_execute_the_same_program_of_a_dossier_at_once(company: RoutineCompany) -> None:
    first, second = company.order(PROGRAM), company.order(PROGRAM)
    company.begun(first, "run-1")
    assert company.run(second, "run-2").state is OrderState.PENDING
    assert company.run(first, "run-1").state is OrderState.DONE


def test_a_server_has_no_more_runs_than_its_capacity(company: RoutineCompany) -> None:
    company.configure("servers", Server("S1", capacity=2))
    for code in ("100", "101", "102", "103", "104"):
        company.founded(code)
        company.order(PROGRAM, dossier_code=code, server_code="S1")
    requests = service.take_due(company.engine, clock=company.clock)
    assert [len(one.orders) for one in requests] == [3, 2]
    company.founded("105")
    company.order(PROGRAM, dossier_code="105", server_code="S1")
    assert service.take_due(company.engine, clock=company.clock) == []
    for _, number in requests[0].orders:
        company.run(number, requests[0].batch)
    assert len(service.take_due(company.engine, clock=company.clock)) == 1


def test_E26_an_empty_audience_is_done_with_nothing_considered_and_a_deleted_one_fails(company: RoutineCompany) -> None:
    company.static_audience("NOBODY", "K9")
    order = company.executed(PROGRAM, audience="NOBODY")
    assert (order.state, order.counts.considered) == (OrderState.DONE, 0)
    number = company.order(PROGRAM, audience="NOBODY")
    with company.engine.begin() as connection:
        connection.execute(sa.delete(routine_schema.audience))
    failed = company.run(number)
    assert failed.state is OrderState.FAILED
    assert str(failed.failure).startswith("E-ORD-007 ")


def test_E19_without_audience_all_accounts_are_considered_and_with_one_exactly_its_own(company: RoutineCompany) -> None:
    for number in range(2, 11):
        company.account(f"K{number}")
    company.static_audience("THREE", "K2", "K3", "K4")
    assert company.executed(PROGRAM, audience="THREE").counts == Counts(changed=3)
    assert len(company.complements()) == 3
    assert company.executed(PROGRAM).counts == Counts(changed=7, unchanged=3)


def test_the_audience_of_an_order_is_what_it_was_when_its_first_run_began(company: RoutineCompany) -> None:
    company.static_audience("ONE", "K1")
    number = company.order(PROGRAM, audience="ONE")
    order = company.begun(number, "run-1", prepared=True)
    company.configure("audiences", Audience("ONE"))
    company.account("K2")
    assert company.run(order.order_number, "run-1").counts == Counts(changed=1)


@pytest.mark.parametrize("slice_size", [1, 2, 3, 100])
def test_E44_the_counts_add_up_whatever_the_slices_and_attempts(company: RoutineCompany, slice_size: int) -> None:
    for number in range(2, 8):
        company.account(f"K{number}")
    mixed = company.account("MIXED")
    company.invoice(mixed, date(2026, 1, 1), "5")
    company.invoice(mixed, date(2026, 1, 1), "5", currency="USD")
    counts = company.run(company.order(PROGRAM), slice_size=slice_size).counts
    assert counts == Counts(changed=7, errors=1)
    assert counts.considered == counts.changed + counts.unchanged + counts.skipped + counts.errors == 8


def test_E45_an_account_that_the_database_refuses_is_an_error_and_the_others_are_done(company: RoutineCompany) -> None:
    good = [company.account(f"G{number}") for number in range(10)]
    company.refuse_complement_of(bad := company.account("BAD"))
    order = company.executed(PROGRAM)
    assert (order.state, order.counts) == (OrderState.DONE, Counts(changed=11, errors=1))
    assert set(good) <= set(company.complements())
    assert bad not in company.complements()
    (message,) = company.messages(order)
    assert str(message).startswith(f"E-ORD-020 account {bad}: ")


def test_the_orders_of_a_run_that_was_lost_go_on_where_it_ended(company: RoutineCompany) -> None:
    more = [company.account(f"K{number}") for number in range(2, 6)]
    company.invoice(more[0], date(2026, 1, 1), "5")
    number = company.order(PROGRAM)
    (request,) = service.take_due(company.engine, clock=company.clock)
    company.cut_off(number, request.batch, after_accounts=2)
    assert service.lost(company.engine, {request.batch: "open"}, clock=company.clock) == []
    assert states(company) == {number: OrderState.RUNNING}
    assert service.lost(company.engine, {request.batch: "ended"}, clock=company.clock) == []
    (order,) = company.started()
    assert (order.state, order.attempt, order.counts) == (OrderState.DONE, 2, Counts(changed=5))
    assert len(company.complements()) == 5


def test_a_request_that_never_became_a_run_is_claimed_again_after_a_while(company: RoutineCompany) -> None:
    number = company.order(PROGRAM)
    (request,) = service.take_due(company.engine, clock=company.clock)
    service.lost(company.engine, {}, clock=company.clock)
    assert service.take_due(company.engine, clock=company.clock) == []
    company.clock.at = NOW + LAUNCH_PATIENCE + timedelta(seconds=1)
    service.lost(company.engine, {request.batch: "unknown"}, clock=company.clock)
    (again,) = service.take_due(company.engine, clock=company.clock)
    assert again.orders == ((DOSSIER, number),)
    assert again.batch != request.batch


def test_an_order_whose_runs_are_lost_three_times_is_to_be_failed(company: RoutineCompany) -> None:
    number = company.order(PROGRAM)
    for attempt in range(1, ATTEMPTS + 1):
        (request,) = service.take_due(company.engine, clock=company.clock)
        company.cut_off(number, request.batch, after_accounts=0)
        given_up = service.lost(company.engine, {request.batch: "ended"}, clock=company.clock)
        assert [one.order_number for one in given_up] == ([number] if attempt == ATTEMPTS else [])
    (order,) = given_up
    fail(company.engine, order, "lost", RoutineRun(company.clock, {}, str(order.run_id)))
    assert states(company) == {number: OrderState.FAILED}
    service.retry(company.engine, number, clock=company.clock, actor="maria")
    assert company.started()[0].state is OrderState.DONE


def test_F10_a_run_that_was_replaced_writes_nothing_any_more(company: RoutineCompany) -> None:
    number = company.order(PROGRAM)
    (request,) = service.take_due(company.engine, clock=company.clock)
    stopped = company.cut_off(number, request.batch, after_accounts=0)
    service.lost(company.engine, {request.batch: "ended"}, clock=company.clock)
    with pytest.raises(FenceError):
        fail(company.engine, stopped, "too late", RoutineRun(company.clock, {}, request.batch))
    (order,) = company.started()
    assert (order.state, order.failure) == (OrderState.DONE, None)


def test_a_failed_order_is_retried_as_a_new_attempt_and_others_are_not(company: RoutineCompany) -> None:
    company.switch_erp_off()
    failed = company.executed(PROGRAM)
    company.connect("erp")
    service.retry(company.engine, failed.order_number, clock=company.clock, actor="maria")
    (order,) = company.started()
    assert (order.state, order.attempt) == (OrderState.DONE, 2)
    with pytest.raises(InputError, match="E-ORD-011"):
        service.retry(company.engine, failed.order_number, clock=company.clock, actor="maria")


def test_a_backfill_executes_for_the_date_that_it_names(company: RoutineCompany) -> None:
    account = company.account("K2")
    company.invoice(account, date(2026, 1, 10), "100")
    company.invoice(account, date(2026, 4, 10), "50")
    wanted = service.Backfill(PROGRAM, date(2026, 3, 1))
    (number,) = service.order_backfill(company.engine, [DOSSIER], wanted, run_id="b-1", clock=company.clock)
    assert service.take_due(company.engine, clock=company.clock) == []
    order: Order = company.run(number)
    assert (order.origin, order.run_date) == (Origin.BACKFILL, date(2026, 3, 1))
    found = company.complements()[account]
    assert (found.accumulated_value, found.days_since_last_purchase) == (Decimal(100), 50)
    tomorrow = replace(wanted, on_date=date(2026, 5, 11))
    with pytest.raises(InputError, match="E-ORD-003"):
        service.order_backfill(company.engine, [DOSSIER], tomorrow, run_id="b-1", clock=company.clock)


def test_what_a_backfill_that_was_killed_left_is_ended_so_that_its_program_can_run_again(company: RoutineCompany) -> None:
    company.founded("777")
    numbers = service.order_backfill(
        company.engine, [DOSSIER, "777"], service.Backfill(PROGRAM), run_id="b-1", clock=company.clock
    )
    company.begun(numbers[0], "b-1")
    assert service.abandoned(company.engine, set(), clock=company.clock) == []
    (running,) = service.abandoned(company.engine, service.backfill_runs(company.engine), clock=company.clock)
    fail(company.engine, running, "lost", RoutineRun(company.clock, {}, "b-1"))
    assert states(company) == {numbers[0]: OrderState.FAILED, numbers[1]: OrderState.CANCELLED}
    assert company.executed(PROGRAM).state is OrderState.DONE


def test_orders_of_a_server_without_room_do_not_stand_in_the_way_of_others(
    company: RoutineCompany, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "AT_ONCE", 2)
    company.configure("servers", Server("S2"))
    for code in ("100", "101", "102", "103"):
        company.founded(code)
        company.order(PROGRAM, dossier_code=code, server_code="S1")
    free = company.order(PROGRAM, server_code="S2")
    service.take_due(company.engine, clock=company.clock)
    (request,) = service.take_due(company.engine, clock=company.clock)
    assert request.orders == ((DOSSIER, free),)


def test_the_day_of_an_order_is_that_of_the_dossier_at_its_scheduled_time(company: RoutineCompany) -> None:
    company.founded("777", time_zone="America/Sao_Paulo")
    number = company.order(PROGRAM, dossier_code="777", at=datetime.fromisoformat("2026-05-12T01:30:00+00:00"))
    (order,) = (one for one in company.orders() if one.order_number == number)
    assert order.run_date == date(2026, 5, 11)
