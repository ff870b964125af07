"""From the shop to ERP and CRM and back: each effect once, on real HTTP servers and a real PostgreSQL."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.services.replay import Replay, replay
from erpcrm_orchestration.store import integration_schema as tables
from erpcrm_orchestration.store.work import requeue
from tests.integrated_company import CONNECTORS
from tests.trading_company import TradingCompany


def test_an_order_of_the_shop_is_created_once_in_the_erp_with_its_customer_and_products(outbound: TradingCompany) -> None:
    order = outbound.order()
    outbound.rounds(3)
    (sale,) = outbound.erp.orders
    assert sale["external_reference"] == str(order)
    assert [(line["quantity"], line["unit_price"]) for line in sale["lines"]] == [(2, "12.50")]
    assert len(outbound.erp.records("customers")) == 1
    assert len(outbound.erp.records("products")) == 1
    assert [one["email"] for one in outbound.crm.find("contacts")] == ["ana@example.com"]
    assert {row["state"] for row in outbound.company.rows("flow.work_item")} == {"DONE"}


def test_nothing_is_written_while_outbound_is_not_enabled(systems: TradingCompany) -> None:
    """B31"""
    systems.company.connect_systems(**systems.urls, outbound=False)
    systems.order()
    systems.rounds(2)
    assert systems.erp.orders == []
    assert systems.shop.writes == []
    assert systems.company.rows("flow.work_item", event="outbound") == []


def test_shipped_in_the_erp_is_exactly_one_change_of_the_order_in_the_shop(outbound: TradingCompany) -> None:
    """B32 B33: one PUT with status completed; its echo is stored and tells nobody anything."""
    order = outbound.order()
    outbound.rounds(2)
    outbound.erp.ship(outbound.erp.orders[0]["id"])
    outbound.rounds(4)
    assert outbound.states_told() == [(f"orders/{order}", "completed")]
    assert outbound.shop.order(order)["status"] == "completed"
    (header,) = outbound.company.rows("hub.order_header")
    assert (header["state"], header["logistic_state"]) == ("completed", "shipped")
    assert len(outbound.company.rows("flow.inbox", entity="order", system_code="shop")) >= 2
    assert len(outbound.erp.orders) == 1


@pytest.mark.parametrize("status", ["processing", "on-hold"])
def test_an_invoice_holds_no_order_and_its_payment_releases_one(outbound: TradingCompany, status: str) -> None:
    """B32: an order that the shop has the money of stays as it is, whatever the ERP has not written yet."""
    order = outbound.order(status=status)
    outbound.rounds(3)
    sale = outbound.erp.orders[0]["id"]
    outbound.erp.invoice(sale)
    outbound.rounds(2)
    assert outbound.company.rows("hub.order_header")[0]["financial_state"] == "invoiced"
    assert (outbound.states_told(), outbound.shop.order(order)["status"]) == ([], status)
    outbound.erp.pay(sale)
    outbound.rounds(3)
    assert outbound.states_told() == [(f"orders/{order}", "processing")]
    assert outbound.shop.order(order)["status"] == "processing"
    assert outbound.shop.order(order)["date_paid_gmt"]


def test_an_order_that_was_cancelled_in_the_shop_is_a_conflict_and_not_overwritten(outbound: TradingCompany) -> None:
    """B35"""
    order = outbound.order()
    outbound.rounds(2)
    outbound.shop.writes.clear()
    outbound.erp.ship(outbound.erp.orders[0]["id"])
    outbound.shop.change_order(order, status="cancelled")
    outbound.rounds(2)
    assert outbound.shop.order(order)["status"] == "cancelled"
    assert outbound.shop.writes == []
    conflicts = outbound.company.rows("flow.work_item", state="CONFLICT")
    assert [row["last_error"].split(" ")[0] for row in conflicts] == ["E-OUT-002"]
    assert any("status is 'cancelled' there" in (row["message"] or "") for row in outbound.company.rows("flow.logbook_entry"))


@pytest.mark.parametrize("times", [1, 3])
def test_a_lost_answer_does_not_create_a_second_order(outbound: TradingCompany, times: int) -> None:
    """F30: the ERP created it and the answer was lost; the next attempt looks first."""
    outbound.order()
    outbound.erp.faults.arm("lost_answer", times=times, path="/api/v1/orders", method="POST")
    for _ in range(6):
        outbound.company.round()
        outbound.company.pass_time(1200)
    assert len(outbound.erp.orders) == 1
    assert {row["state"] for row in outbound.company.rows("flow.work_item", event="outbound")} == {"DONE"}


def test_a_contact_of_the_crm_with_a_known_address_is_the_same_customer(outbound: TradingCompany) -> None:
    outbound.crm.add("contacts", email="ana@example.com", first_name="Ana", last_name="Durand", language="fr")
    outbound.order()
    outbound.rounds(2)
    (customer,) = outbound.company.rows("hub.customer")
    assert customer["language"] == "fr"
    links = outbound.company.rows("hub.cross_reference", entity="customer")
    assert {(row["system_code"], row["record_id"]) for row in links} == {
        (system, customer["customer_id"]) for system in ("shop", "erp", "crm")
    }
    assert len(outbound.crm.find("contacts")) == 1


def test_refused_credentials_stop_one_connection_and_nothing_else(outbound: TradingCompany) -> None:
    """B29: the ERP refuses; shop and CRM go on, and its changes wait without losing attempts."""
    outbound.company.environment["ERP_KEY"] = "wrong"
    outbound.order()
    outbound.company.round()
    outbound.company.pass_time()
    outbound.rounds(1)
    (state,) = outbound.company.rows("flow.connection_state", connection_code="erp_998")
    assert state["stopped_at"] is not None
    assert len(outbound.company.rows("hub.order_header")) == 1
    assert len(outbound.crm.find("contacts")) == 1
    assert {row["attempts"] for row in outbound.company.rows("flow.work_item", system_code="erp")} == {0}


def test_a_field_that_only_one_system_changed_goes_to_the_others(outbound: TradingCompany) -> None:
    _, contact = outbound.known_customer()
    outbound.crm.change("contacts", contact, phone="+33 1 23 45 67 89")
    outbound.rounds(2)
    assert outbound.company.rows("hub.customer")[0]["phone"] == "+33 1 23 45 67 89"
    assert outbound.erp.records("customers")[0]["phone"] == "+33 1 23 45 67 89"
    assert outbound.company.rows("flow.field_conflict") == []


@pytest.mark.parametrize(("fault", "attempts"), [("500", 1), ("lost_answer", 1), ("lost_answer", 99), ("422", 1)])
def test_a_change_that_was_taken_back_before_it_was_told_leaves_the_system_as_it_was(
    outbound: TradingCompany, fault: str, attempts: int
) -> None:
    """It was not carried out, or was without our knowing it, or was given up: what stands there in the end is what we hold."""
    _, contact = outbound.known_customer()
    before = "+33 1 98 76 54 32"
    outbound.crm.change("contacts", contact, phone=before)
    outbound.rounds(2)
    outbound.erp.faults.arm(fault, times=attempts, path="/api/v1/customers/", method="PATCH")
    outbound.crm.change("contacts", contact, phone="+33 1 23 45 67 89")
    outbound.rounds(1)
    outbound.crm.change("contacts", contact, phone=before)
    outbound.rounds(1)
    outbound.erp.faults.clear()
    outbound.patiently()
    assert outbound.company.rows("hub.customer")[0]["phone"] == before
    assert outbound.erp.records("customers")[0]["phone"] == before
    left = {row["state"] for row in outbound.company.rows("flow.work_item", system_code="erp", event="outbound")}
    assert left <= {"DONE", "SUPERSEDED"}


def test_a_change_that_is_taken_back_while_it_is_on_its_way_is_told_once_more(outbound: TradingCompany) -> None:
    """Its process died with the request sent: the lease is still that of the dead, and what it did is not known."""
    _, contact = outbound.known_customer()
    outbound.crm.change("contacts", contact, phone="+33 1 98 76 54 32")
    outbound.rounds(2)
    outbound.erp.faults.arm("lost_answer", times=1, path="/api/v1/customers/", method="PATCH")
    outbound.crm.change("contacts", contact, phone="+33 1 23 45 67 89")
    outbound.rounds(1)
    with outbound.company.engine.begin() as connection:
        leased = tables.work_item.c
        connection.execute(
            sa.update(tables.work_item)
            .where(leased.system_code == "erp", leased.state == "RETRY")
            .values(state="LEASED", leased_until=outbound.company.clock.now() + timedelta(seconds=61))
        )
    outbound.crm.change("contacts", contact, phone="+33 1 98 76 54 32")
    for _ in range(3):
        outbound.rounds(1)
        outbound.company.pass_time(1200)
    assert outbound.erp.records("customers")[0]["phone"] == "+33 1 98 76 54 32"
    assert {row["state"] for row in outbound.company.rows("flow.work_item", system_code="erp")} == {"DONE"}


@pytest.mark.parametrize("fault", ["500", "lost_answer"])
def test_a_change_that_waits_does_not_undo_what_its_system_changed_meanwhile(outbound: TradingCompany, fault: str) -> None:
    """It is told as the record is when it is told, and once more when it may have been carried out before."""
    customer, contact = outbound.known_customer()
    outbound.crm.faults.arm(fault, times=1, path="/api/v2/contacts/", method="PATCH")
    outbound.shop.change("customers", customer, last_name="Martin")
    outbound.company.pass_time(86_400)
    assert outbound.company.round(everything=True)["998"].failures == []
    outbound.crm.change("contacts", contact, first_name="Anna")
    outbound.company.pass_time(10)
    outbound.rounds(1)
    outbound.patiently()
    there = outbound.crm.record("contacts", contact)
    (ours,) = outbound.company.rows("hub.customer")
    assert (ours["first_name"], ours["last_name"]) == ("Anna", "Martin")
    assert (there["first_name"], there["last_name"]) == ("Anna", "Martin")
    assert outbound.erp.records("customers")[0]["name"] == "Anna Martin"
    assert outbound.company.rows("flow.field_conflict") == []


def test_a_change_back_to_one_that_may_have_been_carried_out_is_the_last_word(outbound: TradingCompany) -> None:
    """To one phone, whose answer is lost, to another, and back to the first: the other is not told after it."""
    _, contact = outbound.known_customer()
    outbound.erp.faults.arm("lost_answer", times=99, path="/api/v1/customers/", method="PATCH")
    for phone in ("+33 1 11 11 11 11", "+33 1 22 22 22 22", "+33 1 11 11 11 11"):
        outbound.crm.change("contacts", contact, phone=phone)
        outbound.rounds(1)
    outbound.erp.faults.clear()
    outbound.patiently()
    assert outbound.erp.records("customers")[0]["phone"] == "+33 1 11 11 11 11"
    assert {row["state"] for row in outbound.company.rows("flow.work_item", system_code="erp")} <= {"DONE", "SUPERSEDED"}


def test_a_change_that_waited_while_nothing_was_to_be_told_is_told_as_the_record_is_now(outbound: TradingCompany) -> None:
    _, contact = outbound.known_customer()
    outbound.erp.faults.arm("500", times=1, path="/api/v1/customers/", method="PATCH")
    outbound.crm.change("contacts", contact, phone="+33 1 11 11 11 11")
    outbound.rounds(1)
    outbound.company.connect_systems(**outbound.urls, outbound=False)
    outbound.crm.change("contacts", contact, phone="+33 1 22 22 22 22")
    outbound.rounds(1)
    outbound.company.connect_systems(**outbound.urls)
    outbound.company.pass_time(1200)
    outbound.rounds(1)
    assert outbound.erp.records("customers")[0]["phone"] == "+33 1 22 22 22 22"


def test_a_record_that_is_deleted_before_it_was_told_is_not_created(outbound: TradingCompany) -> None:
    outbound.known_customer()
    outbound.crm.faults.arm("503", times=1, path="/api/v2/contacts", method="POST")
    gone = int(outbound.shop.add_customer(email="gone@example.com", first_name="Gone")["id"])
    outbound.company.pass_time(86_400)
    assert outbound.company.round(everything=True)["998"].failures == []
    outbound.shop.delete("customers", gone)
    outbound.company.pass_time(86_400)
    assert outbound.company.round(everything=True)["998"].failures == []
    outbound.company.pass_time(1200)
    outbound.rounds(1)
    assert [row["deleted_at"] is not None for row in outbound.company.rows("hub.customer")] == [False, True]
    assert [one["email"] for one in outbound.crm.find("contacts")] == ["ana@example.com"]
    dropped = outbound.company.rows("flow.work_item", system_code="crm", entity="customer", state="SUPERSEDED")
    assert [row["last_error"] for row in dropped] == ["the record is deleted"]


def test_a_field_that_two_systems_changed_is_a_conflict_for_people(outbound: TradingCompany) -> None:
    customer, contact = outbound.known_customer()
    outbound.shop.change("customers", customer, first_name="Annette")
    outbound.crm.change("contacts", contact, first_name="Anna")
    outbound.company.pass_time(86_400)
    outbound.company.round(everything=True)
    (conflict,) = outbound.company.rows("flow.field_conflict")
    assert (conflict["field"], conflict["base_value"]) == ("first_name", "Ana")
    assert {conflict["our_value"], conflict["their_value"]} == {"Annette", "Anna"}
    assert outbound.company.rows("hub.customer")[0]["first_name"] == conflict["our_value"]


def test_a_field_that_another_system_owns_is_told_back(outbound: TradingCompany) -> None:
    _, contact = outbound.known_customer()
    outbound.company.connect(
        "connectors: {shop: {kind: woocommerce, requests_per_s: 1000,"
        " entities: {customers: {map: {match: [email], owns: [first_name]}}}}}"
    )
    outbound.crm.change("contacts", contact, first_name="Nobody")
    outbound.rounds(2)
    assert outbound.company.rows("hub.customer")[0]["first_name"] == "Ana"
    assert outbound.crm.record("contacts", contact)["first_name"] == "Ana"


@pytest.mark.parametrize("seconds", [120, 90_000])
def test_a_record_that_we_may_have_created_ourselves_is_not_taken_for_a_new_one(outbound: TradingCompany, seconds: int) -> None:
    """F30: the answer of the creation was lost, and the next reading shows a contact that we do not know by its id.

    It waits for our own delivery, which may take longer than the day after which others are given up.
    """
    outbound.company.connect(CONNECTORS.read_text(encoding="utf-8").replace("          match: [email]\n", ""))
    outbound.crm.faults.arm("lost_answer", times=1, path="/api/v2/contacts", method="POST")
    outbound.order()
    outbound.company.round()
    outbound.company.pass_time(5)
    outbound.company.round(everything=True)
    (held,) = outbound.company.rows("flow.inbox", system_code="crm")
    assert (held["state"], held["waiting_for"]) == ("WAITING", "delivery customer")
    outbound.company.pass_time(seconds)
    outbound.rounds(2)
    assert len(outbound.company.rows("hub.customer")) == 1
    assert len(outbound.crm.find("contacts")) == 1


def test_an_update_whose_answer_was_lost_holds_no_new_record_back(outbound: TradingCompany) -> None:
    """F30: an update creates nothing, so what appears there meanwhile is not ours."""
    customer, _ = outbound.known_customer()
    outbound.crm.faults.arm("lost_answer", times=99, path="/api/v2/contacts", method="PATCH")
    outbound.shop.change("customers", customer, first_name="Anna")
    outbound.company.round(everything=True)
    outbound.crm.add("contacts", email="new@example.com", first_name="Noah")
    outbound.company.pass_time(5)
    outbound.company.round(everything=True)
    assert [row["in_doubt"] for row in outbound.company.rows("flow.work_item", system_code="crm", state="RETRY")] == [True]
    assert "Noah" in {row["first_name"] for row in outbound.company.rows("hub.customer")}


def test_a_line_is_told_in_the_unit_of_its_product_or_the_missing_pair_is_named(outbound: TradingCompany) -> None:
    """Catalogue 99: boxes in the shop, pieces in the ERP."""
    text = CONNECTORS.read_text(encoding="utf-8").replace("requests_per_s: 50", "requests_per_s: 1000")
    text = text.replace('quantity: "{row.quantity}"', 'quantity: "{row.base_quantity}"')
    text = text.replace(
        "      products: {map: {match: [sku]}}",
        "      products: {map: {match: [sku], fields: {unit: {constant: pcs}}}}\n"
        "      orders: {map: {children: {lines: {fields: {unit: {constant: box}}}}}}",
    )
    outbound.company.connect(text)
    outbound.order()
    outbound.rounds(1)
    (dead,) = outbound.company.rows("flow.work_item", state="DEAD")
    assert "no ratio from box to pcs" in dead["last_error"]
    with outbound.company.engine.begin() as connection:
        connection.execute(
            sa.insert(tables.unit_ratio).values(
                dossier_code="998", sku="", unit="box", base_unit="pcs", valid_from=date(2026, 1, 1), numerator=6, denominator=1
            )
        )
        requeue(connection, "998", [dead["work_id"]], outbound.company.clock.now())
    outbound.rounds(1)
    assert [line["quantity"] for line in outbound.erp.orders[0]["lines"]] == [12]


@pytest.mark.parametrize("fault", ["lost_answer", "500"])
def test_a_record_that_came_in_before_its_creation_was_tried_again_is_there_and_not_given_up(
    outbound: TradingCompany, fault: str
) -> None:
    """The product's creation may have been carried out or not; the ERP takes no update of a product that it has."""
    outbound.erp.faults.arm(fault, times=1, path="/api/v1/products", method="POST")
    outbound.order()
    outbound.rounds(1)
    if fault == "500":
        sku = outbound.company.rows("hub.product")[0]["sku"]
        outbound.erp.add_product(sku, "Lamp", price="12.50")
    outbound.patiently()
    changes = outbound.company.rows("flow.work_item", system_code="erp")
    assert {row["entity"]: (row["state"], row["last_error"]) for row in changes} == {
        "customer": ("DONE", None),
        "order": ("DONE", None),
        "product": ("SUPERSEDED", "the system has the record"),
    }
    assert len(outbound.erp.records("products")) == len(outbound.erp.orders) == 1


def test_a_backfill_tells_no_system_anything(outbound: TradingCompany) -> None:
    """Everything is made anew from the inbox, with a price changed here behind everybody's back: nothing is queued or sent."""
    outbound.order()
    outbound.rounds(3)
    with outbound.company.engine.begin() as connection:
        connection.execute(sa.update(tables.entity_table["product"]).values(price="1.00"))
    changes, cursors = outbound.company.rows("flow.work_item"), outbound.company.rows("flow.source_cursor")
    logs = [one.log for one in (outbound.shop, outbound.erp, outbound.crm)]
    for log in logs:
        log.clear()
    tallies = replay(outbound.company.engine, ["998"], list(ENTITIES), Replay(outbound.company.clock, "backfill"))
    assert tallies["998", "order"].transformed == 2, "of the shop and of the ERP"
    assert str(outbound.company.rows("hub.product")[0]["price"]) == "12.50"
    assert [log.requests for log in logs] == [[], [], []]
    assert (outbound.company.rows("flow.work_item"), outbound.company.rows("flow.source_cursor")) == (changes, cursors)
    outbound.rounds(2)
    assert {request.method for log in logs for request in log.requests} == {"GET"}
