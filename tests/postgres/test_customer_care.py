"""What background routines read of customers, on its way from the simulated CRM and ERP into the tables, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.care import KNOWN, USERS, CustomerCare
from erpcrm_orchestration.demo.crm_api import Crm
from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.message import Json, Request
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.routine import Counts
from erpcrm_orchestration.domain.routine_settings import ClassMetric, ClassOperator, ClassRule
from erpcrm_orchestration.services.connectors import connected
from erpcrm_orchestration.services.outbound import plan, targets_of
from erpcrm_orchestration.store.entity_schema import entity_table
from tests.integrated_company import IntegratedCompany
from tests.routine_company import RoutineCompany

CARE = ("employee", "customer", "contact", "opportunity", "occurrence", "activity", "document")
TABLES = tuple(f"hub.{ENTITIES[name].table}" for name in CARE)
Row = Mapping[str, Any]


@dataclass
class House:
    """CRM and ERP of dossier 998, connected."""

    crm: Crm
    erp: Erp
    company: IntegratedCompany

    def rounds(self, count: int = 1, **job: Any) -> None:
        """Do rounds, a minute apart; none of them may fail, be refused or leave something behind."""
        for _ in range(count):
            assert self.company.round(**job)["998"].failures == []
            self.company.pass_time()

    def only(self, table: str, **where: object) -> Row:
        """Return the one row of a table of schema hub."""
        (row,) = self.company.rows(f"hub.{table}", **where)
        return row

    def contents(self) -> dict[str, list[Row]]:
        """Return the rows of every table of customer care."""
        return {table: self.company.rows(table) for table in TABLES}

    def account(self, **values: object) -> tuple[Json, Json]:
        """Make a user and an account in the CRM for whom the user is responsible; return both."""
        user = self.crm.add("users", code="CF", name="Claire Fontaine", email="claire@meridian.example", active=True)
        given = {"email": "ana@example.com", "first_name": "Ana", "last_name": "Durand", "type": "ACCOUNT", "class": "BRONZE"}
        return user, self.crm.add("contacts", **{**given, "owner_id": user["id"], **values})


@pytest.fixture
def house(engine: sa.Engine, clock: FixedClock) -> Iterator[House]:
    """Both systems on their ports, written to."""
    crm, erp, company = Crm(clock=clock), Erp(clock=clock), IntegratedCompany(engine, clock)
    company.dossier()
    with ExitStack() as stack:
        urls = {name: stack.enter_context(WebServer(one)).url for name, one in (("crm", crm), ("erp", erp))}
        company.connect_systems(**urls)
        yield House(crm, erp, company)


def test_an_account_of_the_crm_is_a_customer_with_its_responsible_class_and_birthday(house: House) -> None:
    user, contact = house.account(birth_date="1980-05-10", second_email="office@example.com")
    house.rounds()
    customer, employee = house.only("customer"), house.only("employee")
    assert (employee["code"], employee["name"], employee["active"]) == ("CF", user["name"], True)
    assert customer["responsible_id"] == employee["employee_id"]
    assert (customer["type"], customer["class_code"]) == ("account", "BRONZE")
    assert (customer["birth_date"], customer["second_email"]) == (date(1980, 5, 10), "office@example.com")
    assert customer["changed_at"] == datetime.fromisoformat(contact["last_changed_at"])


def test_what_is_done_for_a_customer_refers_to_all_that_it_is_about(house: House) -> None:
    user, contact = house.account()
    links = {"contact_id": contact["id"], "owner_id": user["id"]}
    person = house.crm.add("persons", last_name="Roux", birth_date="1990-02-28", title="Buyer", contact_id=contact["id"])
    links["person_id"] = person["id"]
    sale = house.crm.add("opportunities", number="O-1", status="WON", amount="2400.50", currency="EUR", **links)
    case = house.crm.add("occurrences", number="Q-1", status="CLOSED", type="complaint", **links)
    house.crm.add(
        "activities", type="TASK", due="2026-12-01T09:00:00Z", opportunity_id=sale["id"], occurrence_id=case["id"], **links
    )
    house.rounds()
    customer, employee = house.only("customer")["customer_id"], house.only("employee")["employee_id"]
    found = {name: house.only(name) for name in ("contact", "opportunity", "occurrence", "activity")}
    assert (found["contact"]["customer_id"], found["contact"]["birth_date"]) == (customer, date(1990, 2, 28))
    for name in ("opportunity", "occurrence", "activity"):
        row = found[name]
        about = (row["customer_id"], row["contact_id"], row["responsible_id"])
        assert about == (customer, found["contact"]["contact_id"], employee), name
        assert row["changed_at"] is not None
    assert (found["opportunity"]["state"], found["opportunity"]["amount"]) == ("won", Decimal("2400.50"))
    assert (found["occurrence"]["state"], found["occurrence"]["type"]) == ("closed", "complaint")
    task = found["activity"]
    assert (task["type"], task["due_at"]) == ("task", datetime(2026, 12, 1, 9, tzinfo=UTC))
    assert task["opportunity_id"] == found["opportunity"]["opportunity_id"]
    assert task["occurrence_id"] == found["occurrence"]["occurrence_id"]


def test_a_customer_has_the_code_and_the_day_that_the_erp_registered_it_with(house: House) -> None:
    house.account()
    house.rounds()
    assert house.only("customer")["code"] is None
    house.rounds(2)
    customer = house.only("customer")
    assert (customer["code"], customer["registered_on"]) == ("CU-00001", house.company.clock.now().date())


def test_a_lead_is_a_prospect_of_the_erp_and_has_a_code_once_it_is_converted(house: House) -> None:
    _, lead = house.account(type="LEAD")
    house.rounds(3)
    assert house.erp.record("customers", 1)["role"] == "prospect"
    assert (house.only("customer")["type"], house.only("customer")["code"]) == ("lead", None)
    house.crm.change("contacts", lead["id"], type="ACCOUNT")
    house.rounds(2)
    assert (house.only("customer")["type"], house.only("customer")["code"]) == ("account", "CU-00001")


def test_invoices_credit_notes_and_quotations_of_the_erp_are_documents_of_their_customer(house: House) -> None:
    house.account()
    house.rounds(2)
    article = house.erp.add_product("SKU-1", "Pump", price="12.50")["id"]
    for kind, state in (("invoice", "paid"), ("invoice", "cancelled"), ("credit_note", "open"), ("quotation", "accepted")):
        house.erp.add_document(kind, 1, [(article, 2)], date="2026-10-01", state=state)
    house.rounds()
    customer, product = house.only("customer")["customer_id"], house.only("product")["product_id"]
    documents = house.company.rows("hub.document")
    assert [(one["type"], one["state"]) for one in documents] == [
        ("invoice", "paid"), ("invoice", "cancelled"), ("credit_note", "open"), ("quotation", "accepted")
    ]  # fmt: skip
    assert {(one["customer_id"], one["document_date"], one["total"]) for one in documents} == {
        (customer, date(2026, 10, 1), Decimal("30.00"))
    }
    lines = house.company.rows("hub.document_line")
    assert [(line["product_id"], line["quantity"], line["total"]) for line in lines] == [(product, 2, Decimal("25.00"))] * 4


def test_the_erp_lists_its_documents_together_and_apart(house: House) -> None:
    customer = house.erp.add_customer("Ana")["id"]
    for kind in ("invoice", "quotation", "credit_note"):
        house.erp.add_document(kind, customer, [])

    def listed(papers: str, **query: str) -> list[str]:
        request = Request("GET", f"/api/v1/{papers}", query, {"x-api-key": "erp_demo"})
        return [one["type"] for one in json.loads(house.erp.answer(request).body)["items"]]

    assert listed("documents") == ["invoice", "quotation", "credit_note"]
    assert (listed("invoices"), listed("quotations")) == (["invoice", "credit_note"], ["quotation"])
    assert (listed("invoices", type="credit_note"), listed("quotations", type="invoice")) == (["credit_note"], [])
    statuses = [
        house.erp.answer(Request("GET", f"/api/v1/{papers}/2", {}, {"x-api-key": "erp_demo"})).status
        for papers in ("documents", "quotations", "invoices")
    ]
    assert statuses == [200, 200, 404]


def test_an_order_of_the_erp_that_is_invoiced_and_paid_is_a_paid_invoice(house: House) -> None:
    house.account()
    house.rounds(2)
    article = house.erp.add_product("SKU-1", "Pump", price="12.50")["id"]
    order = house.erp.add_order(1, [(article, 2)])
    invoiced = house.erp.invoice(order["id"])
    house.rounds()
    assert (house.only("document")["state"], house.only("document")["number"]) == ("open", invoiced["invoices"][0]["number"])
    house.erp.pay(order["id"])
    house.rounds()
    assert (house.only("document")["state"], house.only("document")["total"]) == ("paid", Decimal("30.00"))


def test_reading_everything_again_changes_nothing_and_nothing_waits_or_is_refused(house: House) -> None:
    care = CustomerCare(house.crm, house.erp)
    for number in range(2):
        house.erp.add_product(f"SKU-{number}", "Pump", price="12.50")
    care.found()
    for _ in range(3):
        house.rounds(2)
        care.live()
    house.rounds(2)
    before = house.contents()
    assert [len(before[table]) for table in TABLES[:5]] == [len(USERS), *[len(KNOWN)] * 4]
    assert {row["type"] for row in before["hub.activity"]} == {"action", "task", "campaign"}
    assert {row["type"] for row in before["hub.document"]} == {"invoice", "credit_note", "quotation"}
    house.rounds(2, everything=True)
    assert house.contents() == before
    assert set(house.company.states()) <= {"TRANSFORMED", "SUPERSEDED"}
    assert {row["state"] for row in house.company.rows("flow.work_item")} == {"DONE"}


def test_a_class_and_a_responsible_that_change_here_are_written_to_the_crm_once(house: House) -> None:
    _, contact = house.account()
    other = house.crm.add("users", code="MS", name="Marco Silva", active=True)
    house.rounds(3)
    customer, now = house.only("customer")["customer_id"], house.company.clock.now()
    responsible = house.only("employee", code="MS")["employee_id"]
    table = entity_table["customer"]
    with house.company.engine.begin() as connection:
        connection.execute(
            sa.update(table)
            .where(table.c.dossier_code == "998", table.c.customer_id == customer)
            .values(class_code="SILVER", responsible_id=responsible, updated_at=now)
        )
        targets = targets_of(connected(connection, ["998"]), "customer")
        planned = [plan(connection, targets, "customer", [customer], cause="routine:1", now=now) for _ in range(2)]
    # The ERP keeps neither, so it is told nothing; the same change is planned once.
    assert planned == [1, 0]
    house.rounds()
    told = house.crm.record("contacts", contact["id"])
    assert (told["class"], told["owner_id"]) == ("SILVER", other["id"])
    assert (told["email"], told["type"]) == ("ana@example.com", "ACCOUNT")
    # What we wrote there is no change of the account, and comes back as it is here.
    assert told["last_changed_at"] == contact["last_changed_at"]
    house.rounds(2)
    row = house.only("customer")
    assert (row["class_code"], row["responsible_id"]) == ("SILVER", responsible)
    assert row["changed_at"] == datetime.fromisoformat(contact["last_changed_at"])


def test_an_invoice_is_found_by_customer_and_day_without_its_table(house: House) -> None:
    """The index holds what the routines read of a document."""
    statement = sa.text(
        "EXPLAIN SELECT document_id, type, state, number, total, document_date FROM hub.document"
        " WHERE dossier_code = '998' AND customer_id = 7 AND deleted_at IS NULL AND document_date > DATE '2026-01-01'"
    )
    with house.company.engine.begin() as connection:
        connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        connection.execute(sa.text("SET LOCAL enable_bitmapscan = off"))
        lines = "\n".join(connection.scalars(statement))
    assert "Index Only Scan using document_customer_idx" in lines


def test_the_customers_of_the_demo_have_birthdays_pasts_and_silences_for_the_routines(house: House) -> None:
    care = CustomerCare(house.crm, house.erp)
    for number in range(2):
        house.erp.add_product(f"SKU-{number}", "Pump", price="12.50")
    care.found()
    for _ in range(2):
        house.rounds(2)
        care.live()
    house.rounds(2)
    today = house.company.clock.now().date()
    customers = house.company.rows("hub.customer")
    assert any((one["birth_date"].month, one["birth_date"].day) == (today.month, today.day) for one in customers)
    a_month_ago = house.company.clock.now() - timedelta(days=30)
    assert {one["changed_at"] < a_month_ago for one in customers} == {True, False}
    invoices = house.company.rows("hub.document", type="invoice")
    ages = sorted((today - one["document_date"]).days for one in invoices)
    assert ages[0] < 30
    assert ages[-1] > 180


def test_a_class_that_a_routine_gives_reaches_the_crm_also_when_it_gives_it_again(house: House) -> None:
    """What somebody in the CRM changes in between is told over: the routine's word is the newer one each time."""
    _, contact = house.account(type="ACCOUNT", **{"class": "BRONZE"})
    house.rounds(3)
    routines = RoutineCompany(house.company.engine, house.company.clock, house.company.environment)
    routines.configure("class_rules", ClassRule("S", "SILVER", ClassMetric.PURCHASE_COUNT, ClassOperator.AT_LEAST, Decimal(0)))
    for _ in range(2):
        order = routines.executed("class_transition")
        assert order.counts == Counts(changed=1)
        house.rounds(3)
        assert house.crm.record("contacts", contact["id"])["class"] == "SILVER"
        house.crm.change("contacts", contact["id"], **{"class": "BRONZE"})
        house.rounds(2)
        assert house.only("customer")["class_code"] == "BRONZE"
