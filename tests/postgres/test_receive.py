"""What the inbox takes for new, known, older or contradictory, and what it asks for anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.clients.rest import RestClient
from erpcrm_orchestration.demo.message import Json
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.connection import ConnectorEntity
from erpcrm_orchestration.domain.received import Received
from tests.integrated_company import SIGNED, IntegratedCompany, at_shop, order_at, shop_company
from tests.postgres.test_tables_and_files import connect, put
from tests.webhook_receiver import Receiver, running_receiver

SECRET = "whsec_of_the_tests"  # noqa: S105 - of the simulated shop


@pytest.fixture
def shop(clock: FixedClock) -> Shop:
    """The simulated shop."""
    return Shop(clock=clock)


@pytest.fixture
def company(engine: sa.Engine, clock: FixedClock, shop: Shop) -> Iterator[IntegratedCompany]:
    """Dossier 998 with the shop connected, which signs its webhooks."""
    with shop_company(engine, clock, shop, SIGNED) as made:
        made.environment["SHOP_WEBHOOK"] = SECRET
        yield made


@pytest.fixture
def receiver(company: IntegratedCompany) -> Iterator[Receiver]:
    """The running receiver."""
    with running_receiver(company.engine, company.environment, company.clock, SECRET) as running:
        yield running


def at(order: Json, second: int, **changes: object) -> bytes:
    """Return an order as the shop sends it, as it was at a second of 12:00."""
    return order_at(order, second, **changes).payload.encode()


def note(company: IntegratedCompany) -> str | None:
    """Return the note of the only order, None when it is deleted."""
    (header,) = company.rows("hub.order_header")
    return None if header["deleted_at"] else header["customer_note"]


def fetches(company: IntegratedCompany) -> list[tuple[str, str | None]]:
    """Return what became of the records that were asked for."""
    return [(item["state"], item["last_error"]) for item in company.rows("flow.work_item", event="on_demand")]


@pytest.mark.parametrize("way", ["poll", "webhook", "its deletion comes last"])
@pytest.mark.parametrize("changes", [{}, {"customer_note": "restored"}])
def test_a_record_that_was_trashed_and_restored_before_we_heard_of_it_is_there(
    company: IntegratedCompany, shop: Shop, receiver: Receiver, way: str, changes: dict[str, object]
) -> None:
    """F28: a deletion has the instant of its receipt, so what was restored is older; the shop is asked which of both it is."""
    order_id = at_shop(shop, customer_note="before")
    company.round()
    company.clock.at += timedelta(seconds=30)
    if changes:
        shop.change_order(order_id, **changes)
    body = shop.orders.entry(order_id).body
    company.clock.at += timedelta(seconds=10)
    deletion = b'{"id":%d}' % order_id
    if way == "its deletion comes last":
        assert receiver.post(body).status_code == 200
    assert receiver.post(deletion, "order.deleted").status_code == 200
    if way == "webhook":
        assert receiver.post(body).status_code == 200
    if way == "poll":
        # The shop was asked about the deletion while the order still lay in its trash.
        with company.engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM flow.work_item"))
        company.round(reading=False)
        assert note(company) is None
    company.pass_time()
    company.round()
    company.round(reading=False)
    assert note(company) == changes.get("customer_note", "before")
    company.pass_time(600)
    assert company.round()["998"].fetched == 0


def test_what_was_deleted_and_is_shown_once_more_by_an_older_text_stays_deleted(
    company: IntegratedCompany, shop: Shop, receiver: Receiver
) -> None:
    """F28: the shop has no such record, which is an answer and no failure."""
    order = shop.order(at_shop(shop))
    company.round()
    company.clock.at += timedelta(minutes=1)
    shop.delete("orders", order["id"])
    for body, topic in ((b'{"id":%d}' % order["id"], "order.deleted"), (at(order, 0), "order.updated")):
        assert receiver.post(body, topic).status_code == 200
        company.round(reading=False)
        assert note(company) is None
    assert fetches(company) == [("DONE", None)] * 2


def test_what_lies_in_the_trash_is_deleted_however_we_hear_of_it(
    company: IntegratedCompany, shop: Shop, receiver: Receiver
) -> None:
    """WooCommerce gives a trashed order when it is asked for by its id, and tells of its change by webhook, too."""
    order_id = at_shop(shop)
    company.round()
    company.clock.at += timedelta(minutes=1)
    shop.delete("orders", order_id, force=False)
    trashed = shop.orders.entry(order_id).body
    company.clock.at += timedelta(seconds=1)
    for body, topic in ((b'{"id":%d}' % order_id, "order.deleted"), (trashed, "order.updated")):
        assert receiver.post(body, topic).status_code == 200
        company.round(reading=False)
        assert note(company) is None
    assert {state for state, _ in fetches(company)} == {"DONE"}
    company.clock.at += timedelta(minutes=1)
    shop.change_order(order_id, status="processing", customer_note="restored")
    company.pass_time()
    company.round()
    assert note(company) == "restored"


def test_what_contradicts_and_is_disproved_is_withdrawn(company: IntegratedCompany, shop: Shop, receiver: Receiver) -> None:
    """B6: other content of the same version came; the shop, asked for it, has what we have."""
    order = shop.order(at_shop(shop, customer_note="right"))
    company.round()
    assert receiver.post(at(order, 0, customer_note="wrong")).json() == {"status": "stored"}
    assert company.states(entity="order") == ["TRANSFORMED", "REJECTED"]
    assert company.round(reading=False)["998"].fetched == 1
    assert company.states(entity="order") == ["TRANSFORMED", "SUPERSEDED"]
    assert [row["refused_hash"] for row in company.rows("hub.cross_reference", entity="order")] == [None]
    assert note(company) == "right"


def test_a_fault_that_the_source_has_corrected_by_what_stood_before_is_withdrawn(
    company: IntegratedCompany, shop: Shop
) -> None:
    """F31: a bad text between two readings of the same good one."""
    order_id = at_shop(shop, customer_note="good")
    company.round()
    good, entry = shop.order(order_id), shop.orders.entry(order_id)
    company.pass_time()
    shop.spoil("orders", order_id, date_modified_gmt="yesterday")
    company.round()
    assert company.states(entity="order") == ["TRANSFORMED", "REJECTED"]
    shop.orders.put(order_id, good, entry)
    company.pass_time()
    company.round(everything=True)
    assert company.states(entity="order") == ["TRANSFORMED", "SUPERSEDED"]


def test_a_deletion_that_comes_while_the_record_is_fetched_stands(
    company: IntegratedCompany, shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F28: what was answered is from before it; the shop is asked once more."""
    order = shop.order(at_shop(shop))
    company.round()
    company.clock.at += timedelta(minutes=1)
    assert receiver.post(at(order, 0, customer_note="contradicts")).status_code == 200
    fetch, asked = RestClient.fetch, []

    def late(self: RestClient, entity: ConnectorEntity, record_id: str) -> Received | None:
        found = fetch(self, entity, record_id)
        if not asked:
            shop.delete("orders", order["id"])
            assert receiver.post(b'{"id":%d}' % order["id"], "order.deleted").status_code == 200
        asked.append(found is not None)
        return found

    monkeypatch.setattr(RestClient, "fetch", late)
    company.round(reading=False)
    company.round(reading=False)
    assert asked == [True, False]
    assert note(company) is None
    assert fetches(company) == [("DONE", None)]


def test_that_a_contradicted_record_is_gone_is_seen_when_it_was_not_deleted_here(
    company: IntegratedCompany, shop: Shop, receiver: Receiver
) -> None:
    """Its deletion was not told: the request is given up with its reason, and the comparison finds it."""
    order = shop.order(at_shop(shop))
    company.round()
    assert receiver.post(at(order, 0, customer_note="contradicts")).status_code == 200
    shop.delete("orders", order["id"])
    company.round(reading=False)
    ((state, error),) = fetches(company)
    assert (state, str(error)[:9]) == ("DEAD", "E-INT-005")


def test_a_record_that_was_never_good_and_is_gone_is_withdrawn(company: IntegratedCompany, shop: Shop) -> None:
    """F31: nothing is left to be corrected, and more of them are no reason to stop."""
    for number in range(30):
        customer = shop.add_customer(email=f"c{number}@example.com")
        shop.spoil("customers", customer["id"], date_modified_gmt="yesterday")
    shop.add_customer(email="good@example.com")
    company.round()
    assert company.states(entity="customer").count("REJECTED") == 30
    for customer_id in range(2, 31):
        shop.delete("customers", customer_id)
    company.pass_time(86_400)
    assert company.round()["998"].failures == []
    assert sorted(set(company.states(entity="customer"))) == ["REJECTED", "SUPERSEDED", "TRANSFORMED"]
    assert company.states(entity="customer").count("REJECTED") == 1
    assert [row["stopped_reason"] for row in company.rows("flow.source_cursor", stream="customers")] == [None]


def test_an_older_version_that_comes_twice_is_asked_for_once(
    company: IntegratedCompany, shop: Shop, receiver: Receiver
) -> None:
    """F28 B5: the shop's clock may have gone back, so it is asked; it is kept once."""
    order = shop.order(at_shop(shop))
    company.clock.at += timedelta(seconds=2)
    shop.change_order(order["id"], customer_note="second")
    first = at(order, 1, customer_note="first")
    for body in (shop.orders.entry(order["id"]).body, first, first):
        assert receiver.post(body).status_code == 200
        company.round(reading=False)
    assert company.states(entity="order") == ["TRANSFORMED", "SUPERSEDED"]
    assert len(company.rows("flow.work_item", entity="order", state="DONE")) == 1


@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize("versions", [True, False])
def test_what_a_file_tells_twice_is_stored_at_the_first_reading_only(
    company: IntegratedCompany, tmp_path: Path, versions: bool, size: int
) -> None:
    """F20 B4: an export with every version of a record, or two rows of one number."""
    company.dossier("340")
    rows = [{"id": 1, "number": "A", "at": "2026-11-18T09:00:00Z"}, {"id": 1, "number": "B", "at": "2026-11-18T10:00:00Z"}]
    put(tmp_path / "orders.json", json.dumps(rows))
    modified = ", modified: at" if versions else ""
    reading = f'{{mode: snapshot, pages: {{path: "*.json"}}, paging: {{size: {size}}}{modified}}}'
    connect(company, "340", "files", reading, str(tmp_path), "\n        map: {entity: order, fields: {number: number}}\n")
    for _ in range(3):
        company.round("340")
        company.pass_time(86_400)
        assert company.states() == (["SUPERSEDED", "TRANSFORMED"] if versions else ["TRANSFORMED", "REJECTED"])
        assert len(company.rows("flow.logbook_entry", outcome="REJECT")) == (0 if versions else 1)
        assert [row["number"] for row in company.rows("hub.order_header")] == ["B" if versions else "A"]
