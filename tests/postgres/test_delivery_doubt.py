"""Changes of which nobody knows whether they were carried out, and what ends the doubt; on real HTTP servers and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.domain.checks import Verdict
from erpcrm_orchestration.services.inbox_health import judge
from erpcrm_orchestration.store import integration_schema as tables
from erpcrm_orchestration.store.connection_state import resume_connection
from erpcrm_orchestration.store.work import requeue
from tests.integrated_company import CONNECTORS
from tests.trading_company import TradingCompany

CRM_LOOKS = """          find: {path: /api/v2/contacts, query: {email: "{email}"}}
          find_records: data
"""
ERP_LOOKS = """          find: {path: /api/v1/orders, query: {external_reference: "{number}"}}
          find_records: items
"""
BY_KEY = "          idempotency_header: null\n"


def connect(company: TradingCompany, *, but: dict[str, str]) -> None:
    """Connect with the demo company's connectors, some lines of which are others."""
    text = CONNECTORS.read_text(encoding="utf-8").replace("requests_per_s: 50", "requests_per_s: 1000")
    for ours, others in but.items():
        assert ours in text
        text = text.replace(ours, others)
    company.company.connect(text)


def work(company: TradingCompany, system: str, entity: str | None = None) -> list[tuple[Any, ...]]:
    """Return state, doubt and the code of the error of the changes for a system, the oldest first."""
    rows = company.company.rows("flow.work_item", system_code=system, event="outbound")
    rows = sorted((row for row in rows if entity in (None, row["entity"])), key=lambda row: row["work_id"])
    return [(row["state"], row["in_doubt"], (row["last_error"] or "").partition(" ")[0]) for row in rows]


def read_daily(company: TradingCompany, days: int = 3) -> None:
    """Do rounds a day apart that read everything, what has no list of changes too; some may meet a fault."""
    for _ in range(days):
        company.company.pass_time(86_400)
        company.company.round(everything=True)


def test_f30_a_creation_that_was_not_carried_out_is_made_of_what_the_record_is_by_then(outbound: TradingCompany) -> None:
    order = outbound.order()
    outbound.erp.faults.arm("500", path="/api/v1/orders", method="POST")
    outbound.company.round()
    outbound.shop.change_order(order, lines=[(outbound.shop.order(order)["line_items"][0]["product_id"], 9)])
    outbound.patiently()
    assert [[line["quantity"] for line in sale["lines"]] for sale in outbound.erp.orders] == [[9]]


def test_f30_a_record_that_was_deleted_meanwhile_is_not_created(outbound: TradingCompany) -> None:
    connect(outbound, but={"          match: [email]\n": ""})
    outbound.crm.faults.arm("500", path="/api/v2/contacts", method="POST")
    gone = int(outbound.shop.add_customer(email="gone@example.com", first_name="Gone")["id"])
    outbound.company.round(everything=True)
    outbound.shop.delete("customers", gone)
    read_daily(outbound)
    assert outbound.crm.find("contacts") == []
    assert work(outbound, "crm") == [("SUPERSEDED", False, "the")]


def test_f30_a_look_without_a_value_takes_nobody_elses_record(outbound: TradingCompany) -> None:
    """A lead without e-mail: the list of everybody is no answer to the question whether it was created."""
    connect(outbound, but={"          find: {path: /api/v1/customers,": f"{BY_KEY}          find: {{path: /api/v1/customers,"})
    outbound.erp.add_customer("Existing", email="existing@example.com", external_reference="old")
    outbound.crm.add("contacts", first_name="Lead", last_name="Without mail", phone="+34 600")
    outbound.erp.faults.arm("500", path="/api/v1/customers", method="POST")
    outbound.company.round()
    outbound.patiently()
    assert work(outbound, "erp") == [("DEAD", True, "E-SRC-057")]
    assert [(one["name"], one["phone"]) for one in outbound.erp.records("customers")] == [("Existing", None)]


def test_f30_an_update_never_carries_the_key_of_the_creation_before_it(outbound: TradingCompany) -> None:
    """The answer of the creation was lost, the contact came in and is matched: what is told then is an update."""
    outbound.crm.faults.arm("lost_answer", path="/api/v2/contacts", method="POST")
    outbound.order()
    outbound.company.round()
    outbound.patiently()
    outbound.shop.change("customers", 1, last_name="Martin")
    read_daily(outbound, 2)
    assert {state for state, _, _ in work(outbound, "crm")} <= {"DONE", "SUPERSEDED"}
    assert [one["last_name"] for one in outbound.crm.find("contacts")] == ["Martin"]


def test_a_refusal_ends_the_doubt_and_what_was_corrected_goes_on(outbound: TradingCompany) -> None:
    """The first request was lost before any effect, the second is refused for the address: the corrected one is told."""
    connect(outbound, but={"          match: [email]\n": ""})
    customer = outbound.shop.add_customer(email="ana.example.com", first_name="Ana", last_name="Durand")
    outbound.crm.faults.arm("dropped", path="/api/v2/contacts", method="POST")
    outbound.company.round(everything=True)
    outbound.patiently()
    assert work(outbound, "crm") == [("DEAD", False, "E-SRC-048")]
    outbound.shop.change("customers", customer["id"], email="ana@example.com")
    read_daily(outbound, 1)
    assert [one["email"] for one in outbound.crm.find("contacts")] == ["ana@example.com"]


def test_what_was_claimed_and_never_sent_is_not_in_doubt(outbound: TradingCompany) -> None:
    """The credentials are refused at the first of four: without a way to look, the others are sent once it goes on."""
    connect(outbound, but={CRM_LOOKS: BY_KEY})
    for number in range(4):
        outbound.shop.add_customer(email=f"c{number}@example.com", first_name=f"C{number}")
    outbound.crm.faults.arm("403", path="/api/v2/contacts", method="POST")
    outbound.company.round(everything=True)
    assert work(outbound, "crm") == [("QUEUED", False, "E-SRC-049"), *[("QUEUED", False, "")] * 3]
    with outbound.company.engine.begin() as connection:
        resume_connection(connection, "998", "crm_998")
    outbound.company.pass_time()
    outbound.company.round()
    assert {state for state, _, _ in work(outbound, "crm")} == {"DONE"}
    assert len(outbound.crm.find("contacts")) == 4


def test_what_was_there_already_is_told_what_we_hold(outbound: TradingCompany) -> None:
    """The creation failed, and somebody made a contact of this address meanwhile: found, it is not taken for told."""
    connect(outbound, but={"          match: [email]\n": ""})
    outbound.crm.faults.arm("500", path="/api/v2/contacts", method="POST")
    outbound.order()
    outbound.company.round()
    outbound.crm.add("contacts", email="ana@example.com", first_name="Other", last_name="Person")
    outbound.patiently()
    assert [(one["first_name"], one["last_name"]) for one in outbound.crm.find("contacts")] == [("Ana", "Durand")]


def test_f2_a_limit_of_the_system_gives_up_no_change(outbound: TradingCompany) -> None:
    """One request a minute is let through: the others are neither sent against it nor counted as tried."""
    for number in range(12):
        outbound.shop.add_customer(email=f"c{number}@example.com", first_name=f"C{number}")
    for number in range(20):
        outbound.crm.faults.clear()
        outbound.crm.faults.arm("429", times=None, path="/api/v2/contacts", method="POST", skip=1, value="60")
        outbound.company.round(everything=number == 0)
        outbound.company.pass_time(61)
    assert {state for state, _, _ in work(outbound, "crm")} == {"DONE"}
    assert len(outbound.crm.find("contacts")) == 12


def test_an_update_waits_for_what_it_refers_to(outbound: TradingCompany, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of a product that the ERP refuses at first: the change of the order is told with it, not without."""
    item = '                item: {product_id: "{row.ref.product:int}", quantity: "{row.quantity}"}\n'
    update = f"""          update:
            path: "/api/v1/orders/{{id}}"
            method: PATCH
            body:
              lines:
                for_each: lines
{item}"""
    connect(outbound, but={item: item + update})
    told = []

    def changed(_kind: str, number: int, request: Any) -> dict[str, Any]:
        told.append([line["product_id"] for line in request.json()["lines"]])
        return outbound.erp.record("orders", number)

    monkeypatch.setattr(outbound.erp, "_patched", changed)
    order = outbound.order()
    outbound.rounds(2)
    lamp = outbound.shop.order(order)["line_items"][0]["product_id"]
    chair = outbound.shop.add_product("Chair", "5.00")
    outbound.erp.faults.arm("500", path="/api/v1/products", method="POST")
    outbound.shop.change_order(order, lines=[(lamp, 2), (chair["id"], 3)])
    outbound.patiently()
    assert told == [[1, 2]]


def test_two_of_ours_that_are_one_there_wait_for_a_person_and_are_not_doubled(outbound: TradingCompany) -> None:
    """E-OUT-003: what is changed later is not created a second time."""
    connect(outbound, but={"          match: [email]\n": ""})
    outbound.crm.faults.arm("lost_answer", path="/api/v2/contacts", method="POST")
    outbound.order()
    outbound.company.round()
    with outbound.company.engine.begin() as connection:
        connection.execute(sa.update(tables.work_item).where(tables.work_item.c.system_code == "crm").values(attempts=6))
    outbound.crm.faults.arm("500", times=1, path="/api/v2/contacts", method="GET")
    outbound.company.pass_time(1200)
    outbound.company.round(reading=False)
    assert work(outbound, "crm") == [("DEAD", True, "E-SRC-047")]
    outbound.company.round(everything=True)
    assert len(outbound.company.rows("hub.customer")) == 2
    with outbound.company.engine.begin() as connection:
        (given_up,) = outbound.company.rows("flow.work_item", system_code="crm", state="DEAD")
        requeue(connection, "998", [given_up["work_id"]], outbound.company.clock.now())
    outbound.shop.change("customers", 1, last_name="Martin")
    read_daily(outbound)
    ours = [row for row in outbound.company.rows("flow.work_item", system_code="crm") if row["record_id"] == 1]
    assert [(row["state"], row["in_doubt"]) for row in ours if row["state"] != "SUPERSEDED"] == [
        ("CONFLICT", True),
        ("QUEUED", False),
    ]
    assert ours[0]["last_error"].startswith("E-OUT-003 ")
    assert len(outbound.crm.find("contacts")) == 1


def test_what_waits_for_a_delivery_goes_on_when_nothing_is_delivered_any_more(outbound: TradingCompany) -> None:
    connect(outbound, but={"          match: [email]\n": ""})
    outbound.crm.faults.arm("lost_answer", path="/api/v2/contacts", method="POST")
    outbound.order()
    outbound.company.round()
    outbound.crm.add("contacts", email="new@example.com", first_name="Noah")
    outbound.company.pass_time(5)
    outbound.company.round(everything=True)
    assert outbound.company.states(system_code="crm") == ["WAITING", "WAITING"]
    outbound.company.connect_systems(**outbound.urls, outbound=False)
    outbound.company.pass_time()
    outbound.company.round()
    assert "Noah" in {row["first_name"] for row in outbound.company.rows("hub.customer")}


def test_a_connection_without_its_secret_stops_no_other(outbound: TradingCompany) -> None:
    del outbound.company.environment["ERP_KEY"]
    outbound.order()
    failures = [str(outbound.company.round(everything=True)["998"].failures[0]) for _ in range(2)]
    assert all("E-CFG" in one and "erp_998" in one for one in failures), failures
    assert len(outbound.crm.find("contacts")) == 1


def test_a_person_who_looked_says_that_a_creation_in_doubt_was_not_carried_out(
    outbound: TradingCompany, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B30: without a way to look, only a person can know; then it is sent again, and is no longer in doubt."""
    connect(outbound, but={CRM_LOOKS: BY_KEY})
    outbound.crm.faults.arm("dropped", path="/api/v2/contacts", method="POST")
    outbound.order()
    outbound.company.round()
    outbound.patiently()
    assert work(outbound, "crm") == [("DEAD", True, "E-SRC-057")]
    assert (verdict(outbound, "customer").passed, verdict(outbound, "customer").severity) == (False, "ERROR")
    (given_up,) = outbound.company.rows("flow.work_item", system_code="crm")
    said = str(given_up["last_error"])
    command = said[said.index("erpcrm work requeue") :].split()[1:]
    monkeypatch.setenv("ERPCRM_DATABASE_URL", outbound.company.engine.url.render_as_string(hide_password=False))
    words = {"WORK": str(given_up["work_id"]), "CODE": "998", "'...'": "it is not in the CRM"}
    assert run([words.get(word, word) for word in command]) == 0
    outbound.company.clock.at = datetime.now(UTC)
    outbound.company.round()
    assert work(outbound, "crm") == [("DONE", False, "")]
    assert verdict(outbound, "customer").passed
    assert [one["email"] for one in outbound.crm.find("contacts")] == ["ana@example.com"]


def verdict(company: TradingCompany, entity: str) -> Verdict:
    """Return how the check of the deliveries of an entity stands."""
    told = judge(company.company.engine, ["998"], {("998", entity)}, clock=company.company.clock)
    return told["998", entity].verdicts["changes_are_delivered"]


def test_b40_a_change_that_waits_for_more_than_five_minutes_fails_its_check(outbound: TradingCompany) -> None:
    outbound.erp.faults.arm("503", times=None, path="/api/v1/customers", method="POST")
    outbound.order()
    outbound.company.round()
    outbound.company.pass_time(300)
    assert verdict(outbound, "customer").passed
    outbound.company.pass_time(1)
    found = verdict(outbound, "customer")
    assert (found.passed, found.severity, found.metadata["open"], found.metadata["oldest_s"]) == (False, "WARN", 1, 301)
    assert str(found.metadata["sample"]).startswith("E-SRC-047 ")


def test_b40_what_a_system_forbids_fails_its_check_until_it_is_dropped(
    outbound: TradingCompany, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = outbound.order()
    outbound.rounds(2)
    outbound.erp.ship(outbound.erp.orders[0]["id"])
    outbound.shop.change_order(order, status="cancelled")
    outbound.rounds(2)
    found = verdict(outbound, "order")
    assert (found.passed, found.severity, found.metadata["forbidden"]) == (False, "WARN", 1)
    (forbidden,) = outbound.company.rows("flow.work_item", state="CONFLICT")
    monkeypatch.setenv("ERPCRM_DATABASE_URL", outbound.company.engine.url.render_as_string(hide_password=False))
    why = ["--dossier", "998", "--reason", "cancelled by telephone"]
    assert run(["work", "drop", str(forbidden["work_id"]), *why]) == 0
    assert verdict(outbound, "order").passed
    assert run(["work", "drop", str(forbidden["work_id"]), *why]) == 2


def test_f30_what_cannot_be_looked_for_is_repeated_under_its_key(outbound: TradingCompany) -> None:
    """A lead without e-mail, as the demo's ERP is connected: it knows the key, and nobody else's record is touched."""
    outbound.erp.add_customer("Existing", email="existing@example.com", external_reference="old")
    outbound.crm.add("contacts", first_name="Lead", last_name="Without mail", phone="+34 600")
    outbound.erp.faults.arm("lost_answer", path="/api/v1/customers", method="POST")
    outbound.company.round()
    outbound.patiently()
    assert [state for state, _, _ in work(outbound, "erp")] == ["DONE"]
    assert [one["name"] for one in outbound.erp.records("customers")] == ["Existing", "Lead Without mail"]


def test_f30_a_change_back_is_told_after_one_that_may_have_been_carried_out_was_refused(outbound: TradingCompany) -> None:
    """The ERP took the second phone and its answer was lost; asked again it refuses it. Back to the first one, it is told."""
    _, contact = outbound.known_customer()
    outbound.crm.change("contacts", contact, phone="+33 1 11 11 11 11")
    outbound.rounds(2)
    outbound.erp.faults.arm("lost_answer", path="/api/v1/customers/", method="PATCH")
    outbound.erp.faults.arm("422", path="/api/v1/customers/", method="PATCH")
    outbound.crm.change("contacts", contact, phone="+33 1 22 22 22 22")
    outbound.rounds(1)
    outbound.company.pass_time(1200)
    outbound.company.round()
    assert outbound.erp.records("customers")[0]["phone"] == "+33 1 22 22 22 22"
    outbound.crm.change("contacts", contact, phone="+33 1 11 11 11 11")
    outbound.patiently()
    assert outbound.erp.records("customers")[0]["phone"] == "+33 1 11 11 11 11"
