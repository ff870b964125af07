"""Execution orders on the board: scheduled once, seen by whom they concern, cancelled, retried, and simulated."""

from __future__ import annotations

import threading
from datetime import date, time
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.routine import OrderState
from erpcrm_orchestration.domain.routine_settings import (
    Agenda,
    ClassMetric,
    ClassOperator,
    ClassRule,
    Server,
    ServerState,
)
from tests.board_house import Guest, House, text_of
from tests.routine_company import RoutineCompany, instant

PROGRAM = "account_complement"
FORM = {"dossier": "998", "program": PROGRAM}


@pytest.fixture
def routines(engine: sa.Engine, clock: FixedClock) -> RoutineCompany:
    """Dossier 998 in Paris and 001, each with an account; two servers and an audience."""
    made = RoutineCompany(engine, clock).founded()
    made.founded("001")
    made.configure("servers", Server("day"), Server("night", state=ServerState.BLOCKED))
    made.account("K1", company="Nord SA")
    made.account("K2", first_name="Anne", last_name="Petit")
    made.account("X1", dossier="001")
    made.static_audience("vip", "K2")
    return made


def made(guest: Guest, **typed: str) -> int:
    """Schedule an order with the form; return its number."""
    answer = guest.post("/orders/new", {**FORM, **typed})
    assert answer.status_code == 303, text_of(answer)
    return int(answer.headers["location"].rpartition("/")[2])


def test_E2_E46_schedule_makes_one_order_of_the_person_and_cancel_makes_none(routines: RoutineCompany, house: House) -> None:
    guest = house.guest({"998": "operate"})
    page = guest.get("/orders/new?dossier=998")
    assert '<a class="button" href="/orders">Cancel</a>' in page.text
    assert routines.orders() == []
    typed = {"date": "2026-11-19", "hour": "22:00", "server": "day", "audience": "vip", "dry_run": "true", "summary": "false"}
    number = made(guest, **typed, email="eve@example.com")
    (order,) = routines.orders()
    assert (order.order_number, order.requested_by, order.state) == (number, guest.login, OrderState.PENDING)
    assert order.scheduled_at == instant("2026-11-19T21:00")
    assert (order.server_code, order.audience_code, order.dry_run) == ("day", "vip", True)
    assert (order.summary, order.email) == (False, "eve@example.com")


def test_E2_a_second_click_joins_the_order_of_the_first_and_another_order_is_one_more(
    routines: RoutineCompany, house: House
) -> None:
    guest, other = house.guest({"998": "operate"}), house.guest({"998": "operate"})
    first = made(guest)
    assert made(guest) == first
    assert made(guest, dry_run="true") != first
    assert made(other) != first
    routines.clock.at = instant("2026-11-18T12:00:11")
    assert made(guest) > first
    assert len(routines.orders()) == 4


def test_E2_two_clicks_at_the_same_moment_make_one_order(routines: RoutineCompany, house: House) -> None:
    guest = house.guest({"998": "operate"})
    start, found = threading.Barrier(4), []

    def click() -> None:
        start.wait()
        found.append(made(guest, date="2026-12-01", hour="06:00"))

    threads = [threading.Thread(target=click) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(set(found)) == 1
    assert len(routines.orders()) == 1


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ({"date": "2026-11-17", "hour": "12:00"}, "E-ORD-003"),
        ({"date": "2026-02-30"}, "E-WEB-422 date"),
        ({"hour": "25:00"}, "E-WEB-422 hour"),
        ({"program": "crm999"}, "E-ORD-002"),
        ({"agenda": "true"}, "E-ORD-004"),
        ({"program": "birthday_greeting", "p:subject": "Happy <birthday>"}, "E-ORD-005"),
        ({"server": "S9"}, "E-ORD-006"),
        ({"audience": "A9"}, "E-ORD-007"),
        ({"depends_on": "4711"}, "E-ORD-001"),
        ({"depends_on": "first"}, "E-WEB-422 depends_on"),
        ({"email": "eve"}, "E-ORD-013"),
    ],
)
def test_E1_E5_E11_E17_what_is_refused_is_told_on_the_form_that_keeps_what_was_typed(
    routines: RoutineCompany, house: House, typed: dict[str, str], code: str
) -> None:
    guest = house.guest({"998": "operate"})
    answer = guest.post("/orders/new", {**FORM, "email": "anna@example.com", **typed})
    assert answer.status_code == 422
    assert code in text_of(answer)
    assert f'value="{typed.get("email", "anna@example.com")}"' in answer.text
    if "p:subject" in typed:
        assert 'value="Happy &lt;birthday&gt;"' in answer.text
    assert routines.orders() == []


def test_E1_the_minute_that_is_running_is_accepted(routines: RoutineCompany, house: House) -> None:
    routines.clock.at = instant("2026-11-18T12:00:40")
    made(house.guest({"998": "operate"}), date="2026-11-18", hour="13:00")
    assert routines.orders()[0].scheduled_at == routines.clock.at


def test_E4_E7_an_order_of_the_agenda_tells_of_the_next_one(routines: RoutineCompany, house: House) -> None:
    routines.configure("agendas", Agenda(PROGRAM, (time(6), time(18))))
    guest = house.guest({"998": "operate"})
    number = made(guest, agenda="true", date="2020-01-01")
    assert routines.orders()[0].scheduled_at == instant("2026-11-18T17:00")
    assert made(guest, agenda="true") == number
    assert "the next order is made when this one starts" in text_of(guest.get(f"/orders/{number}"))
    routines.clock.at = instant("2026-11-18T17:00")
    routines.started()
    following = routines.orders()[-1].order_number
    guest = house.guest({"998": "view"})
    assert f'href="/orders/{following}"' in guest.get(f"/orders/{number}").text
    assert guest.get(f"/api/v1/orders/{number}").json()["next_order"] == following


def test_an_order_is_seen_by_those_who_may_see_its_dossier_and_acted_upon_by_operators(
    routines: RoutineCompany, house: House
) -> None:
    """Unknown and foreign numbers are answered alike."""
    own, foreign = routines.order(PROGRAM), routines.order(PROGRAM, dossier_code="001")
    viewer = house.guest({"998": "view"})
    assert [one["order_number"] for one in viewer.get("/api/v1/orders").json()["orders"]] == [own]
    shown = text_of(viewer.get(f"/orders/{own}"))
    assert "waiting" in shown
    assert "Cancel the order" not in shown
    answers = [viewer.get(f"/orders/{number}") for number in (foreign, 4711)]
    assert [one.status_code for one in answers] == [404, 404]
    assert answers[0].text == answers[1].text
    assert viewer.post(f"/orders/{own}/cancel").status_code == 404
    assert viewer.post("/orders/new", FORM).status_code == 404
    operator = house.guest({"998": "operate"})
    for number in (foreign, 4711):
        refused = operator.post("/orders/new", {**FORM, "depends_on": str(number)})
        assert f"E-ORD-001 order {number}: dossier 998 has none of this number" in text_of(refused)
    assert operator.post("/orders/new", {**FORM, "dossier": "001"}).status_code == 404
    assert operator.post(f"/orders/{foreign}/cancel").status_code == 404
    assert operator.post(f"/orders/{own}/cancel").status_code == 303
    assert routines.state(own) is OrderState.CANCELLED
    late = operator.post(f"/orders/{own}/cancel")
    assert late.status_code == 409
    assert "E-ORD-010" in text_of(late)


def test_a_failed_order_says_why_and_is_tried_again(routines: RoutineCompany, house: House) -> None:
    routines.switch_erp_off()
    order = routines.executed(PROGRAM)
    guest = house.guest({"998": "operate"})
    shown = text_of(guest.get(f"/orders/{order.order_number}"))
    assert "failed" in shown
    assert "E-ORD-02" in shown
    assert guest.post(f"/orders/{order.order_number}/retry").status_code == 303
    assert routines.state(order.order_number) is OrderState.PENDING
    again = guest.call(f"/api/v1/orders/{order.order_number}/retry", {})
    assert (again.status_code, again.json()["errors"][0][:9]) == (409, "E-ORD-011")


def test_E44_E45_the_counts_and_the_results_are_shown_errors_first_and_paged(routines: RoutineCompany, house: House) -> None:
    bad = routines.account("K3", company="Zebra SA")
    routines.refuse_complement_of(bad)
    order = routines.executed(PROGRAM)
    guest = house.guest({"998": "view"})
    found = guest.get(f"/api/v1/orders/{order.order_number}?size=1").json()
    assert found["considered"] == found["changed"] + found["unchanged"] + found["skipped"] + found["errors"] == 3
    assert (found["pages"], found["results"][0]["code"], found["results"][0]["outcome"]) == (found["total"], "K3", "error")
    shown = guest.get(f"/orders/{order.order_number}?size=1")
    assert "E-ORD-020" in text_of(shown)
    assert "Zebra SA" in text_of(shown)


def test_E9_E10_an_order_that_waits_says_for_what(routines: RoutineCompany, house: House) -> None:
    parent = routines.order(PROGRAM)
    child = routines.order("account_status", depends_on=parent, server_code="night")
    shown = text_of(house.guest({"998": "view"}).get(f"/orders/{child}"))
    assert f"It waits for order {parent}, which is: waiting." in shown
    assert "It waits for server night, which is BLOCKED." in shown


def test_an_audience_is_looked_at_before_an_order_is_made_of_it(routines: RoutineCompany, house: House) -> None:
    guest = house.guest({"998": "operate"})
    found = guest.get("/api/v1/audiences/vip/preview?dossier=998").json()
    assert found["count"] == 1
    assert found["accounts"][0]["name"] == "Anne Petit"
    for path in ("/api/v1/audiences/vip/preview?dossier=001", "/api/v1/audiences/none/preview?dossier=998"):
        assert guest.get(path).status_code == 404
    looked = guest.post("/orders/new", {**FORM, "audience": "vip", "step": "look", "email": "eve@example.com"})
    assert "Accounts now: 1" in text_of(looked)
    assert 'value="eve@example.com"' in looked.text
    assert routines.orders() == []


def test_the_api_schedules_reads_lists_and_cancels(routines: RoutineCompany, house: House) -> None:
    guest = house.guest({"998": "operate"})
    wish: dict[str, Any] = {"dossier": "998", "program": "crm338", "date": "2026-12-01", "hour": "22:00"}
    answer = guest.call("/api/v1/orders", wish)
    assert answer.status_code == 201
    number = answer.json()["order_number"]
    (line,) = guest.get(f"/api/v1/orders?dossier=998&state=PENDING&program={PROGRAM}").json()["orders"]
    assert (line["order_number"], line["program"], line["scheduled_at"]) == (number, PROGRAM, "2026-12-01T21:00:00Z")
    assert guest.get("/api/v1/orders?state=DONE").json()["total"] == 0
    assert guest.call("/api/v1/orders", {**wish, "hour": "22:00+02:00"}).status_code == 422
    assert guest.call("/api/v1/orders", {**wish, "server": "S9"}).json()["errors"][0].startswith("E-ORD-006")
    assert guest.call(f"/api/v1/orders/{number}/cancel", {}).status_code == 204
    assert guest.get(f"/api/v1/orders/{number}").json()["state"] == "CANCELLED"


def test_who_would_have_moved_class_is_shown_and_nothing_is_written(routines: RoutineCompany, house: House) -> None:
    rule = ClassRule("silver", "Silver", ClassMetric.ACCUMULATED_VALUE, ClassOperator.AT_LEAST, Decimal(1000))
    routines.configure("class_rules", rule)
    routines.invoice(1, date(2026, 10, 1), "1500.00")
    guest = house.guest({"998": "view"})
    path = "/classes/simulate?dossier=998&from=2026-09-01&to=2026-11-01&every=10"
    shown = text_of(guest.get(path))
    assert "Nord SA" in shown
    assert "Silver" in shown
    found = guest.get(path.replace("/classes/simulate", "/api/v1/classes/simulation")).json()
    assert found["groups"] == [{"rule_code": "silver", "from_class": None, "to_class": "Silver", "moves": 1}]
    assert routines.classes() == {1: None, 2: None, 3: None}
    assert guest.get(path.replace("998", "001")).status_code == 404
    wrong = guest.get("/classes/simulate?dossier=998&from=2026-11-02&to=2026-11-01&every=10")
    assert (wrong.status_code, "E-CLI-054" in text_of(wrong)) == (422, True)
    assert "Nobody would have moved" in text_of(guest.get("/classes/simulate?dossier=998&from=&to=2026-09-01&every=30"))


def test_an_order_tells_its_time_in_the_zone_of_its_dossier(routines: RoutineCompany, house: House) -> None:
    number = routines.order(PROGRAM, at=instant("2026-11-19T21:00"))
    shown = text_of(house.guest({"998": "view"}).get(f"/orders/{number}"))
    assert "10:00:00 PM +01:00 Europe/Paris" in shown
