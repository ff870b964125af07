"""From the shop to the tables, on a real PostgreSQL and a real HTTP server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.failpoint import FailpointRaised
from erpcrm_orchestration.domain.integration import Tally
from erpcrm_orchestration.services.inbox_health import judge
from erpcrm_orchestration.services.integration import StreamIntegration
from erpcrm_orchestration.store import integration_schema as tables
from erpcrm_orchestration.store.inbox import wake
from erpcrm_orchestration.store.work import requeue
from tests.integrated_company import IntegratedCompany, at_shop, category, deliver, order_at, shop_company


@pytest.fixture
def shop(clock: FixedClock) -> Shop:
    """The simulated shop."""
    return Shop(clock=clock)


@pytest.fixture
def company(engine: sa.Engine, clock: FixedClock, shop: Shop) -> Iterator[IntegratedCompany]:
    """Dossier 998 with the shop connected."""
    with shop_company(engine, clock, shop) as made:
        yield made


def test_a_new_order_is_in_the_tables_after_one_round(company: IntegratedCompany, shop: Shop) -> None:
    """B1 B14 B23: one inbox row, one header, all lines; amounts are exact."""
    customer = shop.add_customer(email="ana@example.com", first_name="Ana", last_name="Durand")
    product = shop.add_product("Lamp", "12.50")
    order = shop.add_order([(product["id"], 2)], customer_id=customer["id"])
    done = company.round()["998"]
    assert done.failures == []
    (message,) = company.rows("flow.inbox", entity="order")
    assert (message["state"], message["source_id"]) == ("TRANSFORMED", str(order["id"]))
    (header,) = company.rows("hub.order_header")
    assert header["total"] == Decimal(order["total"])
    assert str(header["total"]) == order["total"]
    lines = company.rows("hub.order_line", order_id=header["order_id"])
    assert [line["quantity"] for line in lines] == [Decimal(2)]
    company.clock.at += timedelta(seconds=61)
    again = company.round()["998"]
    assert again.failures == []
    assert len(company.rows("flow.inbox", entity="order")) == 1


def test_a_changed_order_updates_its_header_and_is_no_second_one(company: IntegratedCompany, shop: Shop) -> None:
    """B2"""
    order = at_shop(shop)
    company.round()
    company.pass_time()
    shop.change_order(order, customer_note="ring twice")
    company.round()
    (header,) = company.rows("hub.order_header")
    assert header["customer_note"] == "ring twice"
    assert company.states(entity="order") == ["TRANSFORMED", "TRANSFORMED"]


def test_every_entity_is_integrated_with_its_lines_and_relations(company: IntegratedCompany, shop: Shop) -> None:
    """B3"""
    lamps = shop.add_category("Lamps")
    product = shop.add_product("Lamp", categories=[lamps])
    customer = shop.add_customer(email="ana@example.com", last_name="Durand")
    shop.add_order([(product["id"], 1)], customer_id=customer["id"])
    shop.add_subscription([(product["id"], 1)], customer_id=customer["id"])
    assert company.round()["998"].failures == []
    (person,), (article,) = company.rows("hub.customer"), company.rows("hub.product")
    (link,) = company.rows("hub.product_category_link")
    assert (link["product_id"], link["category_id"]) == (
        article["product_id"],
        company.rows("hub.product_category")[0]["category_id"],
    )
    for header, line in (("hub.order_header", "hub.order_line"), ("hub.subscription", "hub.subscription_line")):
        assert company.rows(header)[0]["customer_id"] == person["customer_id"]
        assert company.rows(line)[0]["product_id"] == article["product_id"]


def test_the_same_message_three_times_has_one_effect(company: IntegratedCompany, shop: Shop) -> None:
    """B4"""
    order = shop.order(at_shop(shop))
    for _ in range(3):
        deliver(company, "orders", order_at(order, 1))
    assert company.states(entity="order") == ["TRANSFORMED"]
    assert len(company.rows("hub.order_header")) == 1


def test_an_older_version_that_arrives_later_changes_nothing(company: IntegratedCompany, shop: Shop) -> None:
    """B5 F28"""
    order = shop.order(at_shop(shop))
    deliver(company, "orders", order_at(order, 2, customer_note="second"))
    deliver(company, "orders", order_at(order, 1, customer_note="first"))
    assert company.states(entity="order") == ["TRANSFORMED", "SUPERSEDED"]
    assert company.rows("hub.order_header")[0]["customer_note"] == "second"


def test_other_content_with_the_same_version_is_refused_and_fetched_anew(company: IntegratedCompany, shop: Shop) -> None:
    """B6: two changes within the second that the shop's clock knows; what it holds now wins in the end."""
    order_id = at_shop(shop)
    company.round()
    shop.change_order(order_id, customer_note="a second later in the same second")
    company.pass_time()
    done = company.round()["998"]
    refused = company.rows("flow.inbox", entity="order", state="SUPERSEDED")
    assert "same version different hash" in refused[0]["error"]
    assert done.fetched == 1
    assert company.rows("hub.order_header")[0]["customer_note"] == "a second later in the same second"


def test_a_record_that_changes_back_with_the_same_version_is_what_the_source_holds(
    company: IntegratedCompany, shop: Shop
) -> None:
    """B6: one note, another, and the first again, none of which moves the date of change; nothing is fetched without end."""
    order_id = at_shop(shop)
    entry, record = shop.kinds["orders"].entry(order_id), shop.order(order_id)
    for number, note in enumerate(("first", "second", "first", "second")):
        shop.kinds["orders"].put(order_id, {**record, "customer_note": note}, entry)
        done = company.round(everything=True)["998"]
        assert (done.failures, done.fetched) == ([], min(number, 1))
        assert [row["customer_note"] for row in company.rows("hub.order_header")] == [note]
        company.pass_time(2)
        assert company.round(everything=True)["998"].fetched == 0
        company.pass_time(2)


def test_two_orders_of_the_same_second_over_a_page_border_are_both_there(company: IntegratedCompany, shop: Shop) -> None:
    """B8 B9: 250 orders of one second, 100 a page: three requests, 250 messages."""
    product = shop.add_product("Lamp")["id"]
    for _ in range(250):
        shop.add_order([(product, 1)])
    done = company.round()["998"]
    assert shop.log.count("GET", "/wp-json/wc/v3/orders") == 3
    assert done.polls["shop_998", "orders"].receipt.new == 250
    assert len(company.rows("hub.order_header")) == 250


def test_a_crash_between_inbox_and_cursor_leaves_no_double(
    company: IntegratedCompany, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B7 F2"""
    at_shop(shop)
    monkeypatch.setenv("ERPCRM_FAILPOINT", "poll.between_pages:raise")
    with pytest.raises(FailpointRaised):
        company.round()
    monkeypatch.delenv("ERPCRM_FAILPOINT")
    company.clock.at += timedelta(minutes=2)
    company.round(run_id="run-2")
    assert len(company.rows("flow.inbox", entity="order")) == 1
    assert len(company.rows("hub.order_header")) == 1


def test_a_customer_that_changed_without_a_webhook_is_found_by_the_nightly_comparison(
    company: IntegratedCompany, shop: Shop
) -> None:
    """B13"""
    customer = shop.add_customer(email="ana@example.com", first_name="Ana")
    company.round()
    shop.change("customers", customer["id"], first_name="Anna")
    company.pass_time()
    company.round()
    assert company.rows("hub.customer")[0]["first_name"] == "Ana"
    company.pass_time(86_400)
    company.round()
    assert company.rows("hub.customer")[0]["first_name"] == "Anna"


def test_the_payload_is_kept_as_it_was_sent_before_anything_is_made_of_it(company: IntegratedCompany, shop: Shop) -> None:
    """B14"""
    order = at_shop(shop)
    company.round()
    payload = company.rows("flow.inbox", entity="order")[0]["payload"]
    assert json.loads(payload, parse_float=str) == json.loads(json.dumps(shop.order(order)), parse_float=str)
    with pytest.raises(sa.exc.DBAPIError, match="never changed"), company.engine.begin() as connection:
        connection.execute(sa.text("UPDATE flow.inbox SET payload = '{}'"))


def test_a_record_that_cannot_be_mapped_is_rejected_with_its_place_and_earlier_rows_stay(
    company: IntegratedCompany, shop: Shop
) -> None:
    """B15 F31: the neighbours pass."""
    order = at_shop(shop)
    total = shop.order(order)["total"]
    company.round()
    company.pass_time()
    shop.change_order(order, total="ten")
    at_shop(shop)
    company.round()
    (bad,) = company.rows("flow.inbox", state="REJECTED")
    assert bad["error"].startswith("E-MAP-001 shop_998 orders 1: $.total: 'ten' is not a number")
    assert [str(one["total"]) for one in company.rows("hub.order_header")] == [total, total]
    assert any(line["outcome"] == "REJECT" for line in company.rows("flow.logbook_entry"))


def test_lines_are_rows_and_no_table_holds_lists(company: IntegratedCompany, shop: Shop) -> None:
    """B16"""
    at_shop(shop, lines=3)
    company.round()
    assert len({(row["dossier_code"], row["order_id"], row["line_key"]) for row in company.rows("hub.order_line")}) == 3
    kinds = {
        (table.name, column.name)
        for table in tables.metadata.tables.values()
        if table.schema == "hub" and table.name in {*(one.name for one in tables.entity_table.values()), "order_line"}
        for column in table.columns
        if isinstance(column.type, sa.JSON | sa.ARRAY)
    }
    assert kinds == set()


def test_two_orders_with_the_same_billing_address_share_one_row(company: IntegratedCompany, shop: Shop) -> None:
    """B17"""
    customer = shop.add_customer(email="ana@example.com", first_name="Ana", address_1="1 rue des Tests", city="Lyon")
    product = shop.add_product("Lamp")["id"]
    for _ in range(2):
        shop.add_order([(product, 1)], customer_id=customer["id"])
    company.round()
    hashes = [row["billing_address_hash"] for row in company.rows("hub.order_header")]
    assert len(hashes) == 2
    assert len(set(hashes)) == 1
    assert len([row for row in company.rows("hub.address") if row["address_hash"] == hashes[0]]) == 1


def test_a_tree_that_arrives_leaf_first_has_its_parents_in_the_end(company: IntegratedCompany) -> None:
    """B18"""
    for number, parent in ((3, 2), (2, 1), (1, 0)):
        deliver(company, "categories", category(number, parent))
    ids = {row["slug"]: row for row in company.rows("hub.product_category")}
    assert ids["c3"]["parent_id"] == ids["c2"]["category_id"]
    assert ids["c2"]["parent_id"] == ids["c1"]["category_id"]
    assert ids["c1"]["parent_id"] is None
    assert company.states() == ["TRANSFORMED"] * 3


@pytest.mark.parametrize("together", [True, False])
def test_a_circle_of_categories_is_rejected_whole(company: IntegratedCompany, together: bool) -> None:
    """B19"""
    if together:
        deliver(company, "categories", category(1, 2), category(2, 1))
    else:
        deliver(company, "categories", category(1, 2))
        deliver(company, "categories", category(2, 1))
    assert company.states() == ["REJECTED", "REJECTED"]
    assert all("cycle" in row["error"] for row in company.rows("flow.inbox"))
    assert company.rows("hub.product_category") == []


@pytest.mark.parametrize("mended", [1, 2, 3])
@pytest.mark.parametrize("together", [True, False])
def test_a_circle_that_is_mended_at_one_place_is_integrated_whole(
    company: IntegratedCompany, together: bool, mended: int
) -> None:
    """B19: what was refused for another record's fault goes on when that one is corrected; nothing else does."""
    circle = [category(1, 2), category(2, 3), category(3, 1)]
    for records in [circle] if together else [[one] for one in circle]:
        deliver(company, "categories", *records)
    deliver(company, "categories", category(7, 7))
    assert company.states() == ["REJECTED"] * 4
    deliver(company, "categories", category(mended, 0))
    states = {row["message_id"]: (row["source_id"], row["state"], row["error"] is None) for row in company.rows("flow.inbox")}
    assert sorted(states.values()) == sorted(
        [*((str(one), "TRANSFORMED", True) for one in (1, 2, 3)), (str(mended), "SUPERSEDED", False), ("7", "REJECTED", False)]
    )
    parents = {row["slug"]: row["parent_id"] is None for row in company.rows("hub.product_category")}
    assert parents == {f"c{one}": one == mended for one in (1, 2, 3)}


def test_of_two_circles_that_one_batch_closes_each_waits_for_its_own(company: IntegratedCompany) -> None:
    """B19: 1 and 2 wait for 11 and 12, which come together and close both."""
    deliver(company, "categories", category(1, 11), category(2, 12))
    deliver(company, "categories", category(11, 1), category(12, 2))
    assert company.states() == ["REJECTED"] * 4
    deliver(company, "categories", category(12, 0))
    states = {(row["source_id"], row["state"]) for row in company.rows("flow.inbox")}
    assert states == {("1", "REJECTED"), ("11", "REJECTED"), ("12", "SUPERSEDED"), ("12", "TRANSFORMED"), ("2", "TRANSFORMED")}


@pytest.mark.parametrize(("levels", "rejected"), [(32, 0), (33, 1)])
def test_a_tree_may_have_32_levels_and_no_more(company: IntegratedCompany, levels: int, rejected: int) -> None:
    """B20"""
    deliver(company, "categories", *(category(number, number - 1) for number in range(1, levels + 1)))
    assert company.states().count("REJECTED") == rejected
    assert len(company.rows("hub.product_category")) == 32


def test_a_line_that_a_newer_version_does_not_have_is_deleted(company: IntegratedCompany, shop: Shop) -> None:
    """B21"""
    order = at_shop(shop, lines=2)
    company.round()
    company.pass_time()
    shop.change_order(order, lines=[(shop.order(order)["line_items"][0]["product_id"], 1)])
    company.round()
    assert len(company.rows("hub.order_line")) == 1


def test_an_order_of_a_guest_has_no_customer_and_keeps_the_address(company: IntegratedCompany, shop: Shop) -> None:
    """B22"""
    product = shop.add_product("Lamp")["id"]
    order = shop.add_order([(product, 1)], customer_id=0)
    shop.change_order(order["id"], billing={**order["billing"], "email": "guest@example.com"})
    company.round()
    (header,) = company.rows("hub.order_header")
    assert header["customer_id"] is None
    (address,) = company.rows("hub.address", address_hash=header["billing_address_hash"])
    assert address["email"] == "guest@example.com"


def test_the_instant_is_the_one_in_utc(company: IntegratedCompany, shop: Shop) -> None:
    """B24"""
    order = at_shop(shop)
    dates = {"date_created": "2026-01-01T00:30:00", "date_created_gmt": "2025-12-31T23:30:00"}
    shop.change_order(order, **dates)
    company.round()
    assert company.rows("hub.order_header")[0]["ordered_at"] == datetime(2025, 12, 31, 23, 30, tzinfo=UTC)


def test_a_missing_product_is_fetched_and_then_the_order_goes_on(company: IntegratedCompany, shop: Shop) -> None:
    """B25 B27: at once, although it is peak time; the order has lost no attempt."""
    order = shop.order(at_shop(shop))
    deliver(company, "orders", order_at(order, 1))
    assert company.states(entity="order") == ["TRANSFORMED"]
    (fetched,) = company.rows("flow.work_item")
    assert (fetched["entity"], fetched["state"], fetched["urgent"]) == ("product", "DONE", True)
    assert company.rows("flow.inbox", entity="product")[0]["via"] == "on_demand"


def test_a_parent_that_is_missing_for_a_day_gives_the_order_up(company: IntegratedCompany, shop: Shop) -> None:
    """B26"""
    order = shop.order(at_shop(shop))
    line = {**order["line_items"][0], "product_id": 55}
    deliver(company, "orders", order_at(order, 1, line_items=[line]))
    assert company.states(entity="order") == ["WAITING"]
    company.pass_time(86_400)
    company.round(reading=False)
    assert company.states(entity="order") == ["WAITING"]
    company.pass_time(1)
    company.round(reading=False)
    (given_up,) = company.rows("flow.inbox", entity="order")
    assert given_up["state"] == "DEAD"
    assert "missing product 55" in given_up["error"]


def test_503_is_tried_again_after_1_2_4_8_and_16_minutes_and_then_given_up(company: IntegratedCompany, shop: Shop) -> None:
    """B28 B30 F18"""
    order = shop.order(at_shop(shop))
    shop.faults.arm("503", times=6, path="/wp-json/wc/v3/products/")
    waits = []
    deliver(company, "orders", order_at(order, 1))
    while (item := company.rows("flow.work_item")[0])["state"] == "RETRY":
        waits.append((item["not_before"] - company.clock.now()).total_seconds() / 60)
        company.clock.at = item["not_before"]
        company.round(reading=False)
    assert [round(wait / expected, 2) for wait, expected in zip(waits, (1, 2, 4, 8, 16), strict=True)] == pytest.approx(
        [1] * 5, abs=0.2
    )
    assert (item["state"], item["attempts"]) == ("DEAD", 6)
    with company.engine.begin() as connection:
        assert requeue(connection, "998", [item["work_id"]], company.clock.now()) == 1
    again = company.rows("flow.work_item")[0]
    assert (again["state"], again["attempts"]) == ("QUEUED", 0)
    company.round(reading=False)
    assert company.states(entity="order") == ["TRANSFORMED"]


def test_404_is_not_tried_again(company: IntegratedCompany, shop: Shop) -> None:
    """B29"""
    order = shop.order(at_shop(shop))
    line = {**order["line_items"][0], "product_id": 55}
    deliver(company, "orders", order_at(order, 1, line_items=[line]))
    (item,) = company.rows("flow.work_item")
    assert (item["state"], item["attempts"]) == ("DEAD", 1)


def test_401_stops_the_connection_and_other_dossiers_go_on(company: IntegratedCompany, shop: Shop) -> None:
    """B29"""
    other = Shop(clock=company.clock)
    at_shop(other)
    at_shop(shop)
    company.dossier("001")
    with WebServer(other) as server:
        company.connect_shop(server.url, "001")
        shop._authorization = "Basic changed"
        done = company.round("001", "998")
    assert done["001"].failures == []
    assert "E-SRC-049" in str(done["998"].failures[0])
    assert len(company.rows("hub.order_header", dossier_code="001")) == 1
    (state,) = company.rows("flow.connection_state", dossier_code="998")
    assert "401" in state["stopped_reason"]
    shop.log.clear()
    company.pass_time()
    company.round("998")
    assert shop.log.count() == 0


def test_a_total_that_is_not_the_sum_of_its_parts_is_integrated_with_a_warning(company: IntegratedCompany, shop: Shop) -> None:
    """B36 catalogue 22"""
    order = at_shop(shop)
    right = Decimal(shop.order(order)["total"])
    shop.change_order(order, total=str(right + Decimal("0.05")))
    company.round()
    (message,) = company.rows("flow.inbox", entity="order")
    assert message["state"] == "TRANSFORMED"
    assert message["warning"].startswith(f"order {order}: total {right + Decimal('0.05')} is not the sum {right}")
    judged = judge(company.engine, ["998"], [("998", "order")], clock=company.clock)["998", "order"]
    assert not judged.verdicts["order_totals_reconcile"].passed
    assert judged.verdicts["order_totals_reconcile"].severity == "WARN"
    assert f"order {order}" in str(judged.verdicts["order_totals_reconcile"].metadata["sample"])


def test_two_dossiers_with_the_same_id_at_the_source_have_rows_of_their_own(company: IntegratedCompany, shop: Shop) -> None:
    """B37"""
    other = Shop(clock=company.clock)
    company.dossier("001")
    for one in (shop, other):
        one.add_order([(one.add_product("Lamp")["id"], 1)], order_id=4750)
    with WebServer(other) as server:
        company.connect_shop(server.url, "001")
        company.round("001", "998")
    rows = company.rows("hub.cross_reference", entity="order", external_id="4750")
    assert [row["dossier_code"] for row in rows] == ["001", "998"]
    assert len({row["record_id"] for row in rows}) == 2
    assert len(company.rows("hub.order_header")) == 2


def test_a_new_field_is_kept_and_reported_and_a_missing_id_is_rejected(company: IntegratedCompany, shop: Shop) -> None:
    """B38 F40"""
    shop.change_order(at_shop(shop), loyalty_points=7)
    spoiled = at_shop(shop)
    shop.spoil("orders", spoiled, without=["id"])
    company.round()
    (drift,) = company.rows("flow.stream_drift")
    assert (drift["path"], drift["example"]) == ("loyalty_points", "7")
    assert sorted(company.states(entity="order")) == ["REJECTED", "TRANSFORMED"]
    assert '"loyalty_points"' in company.rows("flow.inbox", state="TRANSFORMED", entity="order")[0]["payload"]


def test_an_unknown_status_is_kept_as_it_is_and_mapped_to_unknown(company: IntegratedCompany, shop: Shop) -> None:
    """B39"""
    shop.change_order(at_shop(shop), status="foo")
    company.round()
    (header,) = company.rows("hub.order_header")
    assert (header["status"], header["state"]) == ("foo", "UNKNOWN")
    judged = judge(company.engine, ["998"], [("998", "order")], clock=company.clock)["998", "order"]
    assert not judged.verdicts["records_keep_their_contract"].passed


@pytest.mark.parametrize(("seconds", "passed"), [(300, True), (301, False)])
def test_a_record_may_wait_five_minutes(company: IntegratedCompany, shop: Shop, seconds: int, passed: bool) -> None:
    """B40"""
    deliver(company, "orders", order_at(shop.order(at_shop(shop)), 1), integrate=False)
    company.pass_time(seconds)
    judged = judge(company.engine, ["998"], [("998", "order")], clock=company.clock)
    verdict = judged["998", "order"].verdicts["records_are_integrated_in_time"]
    assert (verdict.passed, verdict.severity) == (passed, "WARN")


def test_more_than_five_percent_rejects_stop_the_stream_until_a_person_resumes_it(
    company: IntegratedCompany, shop: Shop
) -> None:
    """F40"""
    for number in range(40):
        shop.change_order(at_shop(shop), **({"total": {"amount": "1"}} if number % 10 == 0 else {}))
    company.round()
    (cursor,) = company.rows("flow.source_cursor", stream="orders")
    assert cursor["stopped_reason"].startswith("4 of 40 records rejected")
    shop.log.clear()
    company.pass_time()
    company.round()
    assert shop.log.count("GET", "/wp-json/wc/v3/orders") == 0


def test_a_page_that_lacks_too_many_records_deletes_nothing(company: IntegratedCompany, shop: Shop) -> None:
    """F21: a complete pass that suddenly shows nothing stops the stream; one that lacks a single record marks it."""
    for number in range(30):
        shop.add_customer(email=f"c{number}@example.com")
    company.round()
    shop.delete("customers", 3)
    company.pass_time(86_400)
    company.round()
    assert [row["email"] for row in company.rows("hub.customer") if row["deleted_at"]] == ["c2@example.com"]
    for number in range(4, 31):
        shop.delete("customers", number)
    company.pass_time(86_400)
    company.round()
    assert len([row for row in company.rows("hub.customer") if row["deleted_at"]]) == 1
    (cursor,) = company.rows("flow.source_cursor", stream="customers")
    assert "misses 27 of 29 records" in cursor["stopped_reason"]


def test_a_word_that_nobody_mapped_lets_the_record_wait_and_adding_it_lets_it_go_on(
    company: IntegratedCompany, shop: Shop
) -> None:
    """Catalogue 99: the missing pair is named; the mapping releases what was parked."""
    company.connect(
        "connectors: {shop: {kind: woocommerce, requests_per_s: 1000,"
        " entities: {products: {map: {fields: {unit: {path: weight_unit, lookup: unit}}}}}}}"
    )
    product = shop.add_product("Lamp")
    shop.change("products", product["id"], weight_unit="PCE")
    company.round()
    (message,) = company.rows("flow.inbox", entity="product")
    assert (message["state"], message["waiting_for"]) == ("WAITING", "unit PCE")
    with company.engine.begin() as connection:
        connection.execute(
            sa.insert(tables.value_mapping).values(
                dossier_code="998", system_code="shop", kind="unit", external_value="PCE", our_value="pcs",
                updated_at=company.clock.now(),
            )
        )  # fmt: skip
        assert wake(connection, "998", "shop", ["unit PCE"]) == 1
    company.round(reading=False)
    assert company.rows("hub.product")[0]["unit"] == "pcs"


def test_a_record_that_our_tables_refuse_is_rejected_alone(company: IntegratedCompany, shop: Shop) -> None:
    """F31: bad in the merge; its neighbours of the same batch pass."""
    orders = [at_shop(shop) for _ in range(3)]
    shop.change_order(orders[1], customer_note="no way")
    with company.engine.begin() as connection:
        connection.execute(
            sa.text("ALTER TABLE hub.order_header ADD CONSTRAINT strange CHECK (customer_note <> 'no way') NOT VALID")
        )
    company.round()
    (bad,) = company.rows("flow.inbox", state="REJECTED")
    assert bad["source_id"] == str(orders[1])
    assert bad["error"].startswith("E-INT-006 shop_998 orders 2: our tables refuse it")
    assert len(company.rows("hub.order_header")) == 2


@pytest.mark.parametrize("has_neighbours", [True, False])
def test_a_newer_version_that_comes_while_our_tables_refuse_the_older_one_is_integrated_and_no_neighbour_is_rejected(
    company: IntegratedCompany, shop: Shop, monkeypatch: pytest.MonkeyPatch, has_neighbours: bool
) -> None:
    """F31: the older version gives way between its failure and its rejection."""
    bad, neighbour = (shop.order(at_shop(shop)) for _ in range(2))
    with company.engine.begin() as connection:
        connection.execute(
            sa.text("ALTER TABLE hub.order_header ADD CONSTRAINT strange CHECK (customer_note <> 'no way') NOT VALID")
        )
    refuse = StreamIntegration._refuse

    def late(self: StreamIntegration, error: DBAPIError) -> Tally:
        deliver(company, "orders", order_at(bad, 2, customer_note="well"), integrate=False)
        return refuse(self, error)

    monkeypatch.setattr(StreamIntegration, "_refuse", late)
    messages = [order_at(bad, 1, customer_note="no way"), *([order_at(neighbour, 1)] if has_neighbours else [])]
    deliver(company, "orders", *messages)
    assert sorted(company.states(entity="order")) == sorted(["SUPERSEDED", "TRANSFORMED", *["TRANSFORMED"] * has_neighbours])
    assert "well" in {row["customer_note"] for row in company.rows("hub.order_header")}
