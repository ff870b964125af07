"""The simulated shop, CRM and ERP behave as their systems do, and break in the ways that are asked for."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from erpcrm_orchestration.demo.crm_api import Crm
from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.life import WRONG, CompanyLife
from erpcrm_orchestration.demo.message import Refused
from erpcrm_orchestration.demo.shop_api import ROOT, Shop
from erpcrm_orchestration.demo.shop_payload import Basket
from erpcrm_orchestration.demo.web import WebServer, WebSystem
from erpcrm_orchestration.demo.webhooks import signature
from erpcrm_orchestration.domain.clock import FixedClock

NEW_YEAR = datetime(2025, 12, 31, 23, 30, tzinfo=UTC)
SHOP_KEYS = ("ck_demo", "cs_demo")
CRM_TOKEN = {"Authorization": "Bearer crm_demo"}
ERP_KEY = {"X-Api-Key": "erp_demo"}
Get = Callable[..., requests.Response]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NEW_YEAR)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        yield made


def _served(system: WebSystem, session: requests.Session) -> Iterator[Get]:
    with WebServer(system) as server:

        def ask(path: str, method: str = "GET", **options: Any) -> requests.Response:
            return session.request(method, server.url + path, **{"timeout": 5, "allow_redirects": False, **options})

        yield ask


@pytest.fixture
def shop(clock: FixedClock) -> Shop:
    made = Shop(clock=clock)
    for number in range(3):
        made.add_product(f"Pump {number}", "12.50")
    made.add_customer(first_name="Anne", last_name="Durand", email="anne@example.com", city="Lyon", country="FR")
    return made


@pytest.fixture
def ask_shop(shop: Shop, session: requests.Session) -> Iterator[Get]:
    session.auth = SHOP_KEYS
    yield from _served(shop, session)


@pytest.fixture
def crm(clock: FixedClock) -> Crm:
    return Crm(clock=clock)


@pytest.fixture
def ask_crm(crm: Crm, session: requests.Session) -> Iterator[Get]:
    session.headers.update(CRM_TOKEN)
    yield from _served(crm, session)


@pytest.fixture
def erp(clock: FixedClock) -> Erp:
    made = Erp(clock=clock)
    made.add_customer("Anne Durand", external_reference="shop-1")
    made.add_product("SKU-1", "Pump", price="12.50")
    return made


@pytest.fixture
def ask_erp(erp: Erp, session: requests.Session) -> Iterator[Get]:
    session.headers.update(ERP_KEY)
    yield from _served(erp, session)


def test_the_shop_lets_only_its_key_in(ask_shop: Get) -> None:
    answer = ask_shop(f"{ROOT}/orders", auth=("ck_demo", "wrong"))
    assert (answer.status_code, answer.json()["code"]) == (401, "woocommerce_rest_cannot_view")


def test_an_order_has_all_parts_and_its_totals_add_up(shop: Shop, ask_shop: Get) -> None:
    """B23, B24: money is text with two decimals, dates have no zone and their *_gmt is UTC."""
    shop.add_order([(1, 2), (2, 1)], customer_id=1, basket=Basket(coupon=("spring", Decimal("5.00")), fee=Decimal("2.00")))
    order = ask_shop(f"{ROOT}/orders/1").json()
    assert (order["date_created"], order["date_created_gmt"]) == ("2026-01-01T00:30:00", "2025-12-31T23:30:00")
    assert order["billing"]["email"] == "anne@example.com"
    parts = [order[name] for name in ("line_items", "shipping_lines", "fee_lines")]
    assert Decimal(order["total"]) == sum(Decimal(row["total"]) + Decimal(row["total_tax"]) for rows in parts for row in rows)
    assert Decimal(order["discount_total"]) == sum(
        Decimal(row["subtotal"]) - Decimal(row["total"]) for row in order["line_items"]
    )
    assert order["total"] == "47.40"
    assert {"tax_lines", "coupon_lines", "refunds", "meta_data", "shipping", "order_key", "number"} <= set(order)
    assert order["line_items"][0]["taxes"][0]["id"] == order["tax_lines"][0]["rate_id"]


def test_250_changed_orders_are_three_pages_that_a_link_leads_through(shop: Shop, ask_shop: Get, clock: FixedClock) -> None:
    """B9 on the side of the source: X-WP-Total, X-WP-TotalPages and Link."""
    for _ in range(10):
        shop.add_order([(1, 1)])
    clock.at += timedelta(minutes=1)
    for _ in range(250):
        shop.add_order([(1, 1)])
    query = "orderby=modified&order=asc&per_page=100&modified_after=2025-12-31T23:30:30&dates_are_gmt=true"
    answer = ask_shop(f"{ROOT}/orders?{query}")
    found = answer.json()
    assert (answer.headers["X-WP-Total"], answer.headers["X-WP-TotalPages"]) == ("250", "3")
    while "next" in answer.links:
        address = answer.links["next"]["url"]
        answer = ask_shop(address[address.index("/wp-json") :])
        found += answer.json()
    assert [one["id"] for one in found] == list(range(11, 261))
    assert "prev" in answer.links
    assert shop.log.count("GET", "/orders") == 3


def test_modified_after_is_strict_and_in_the_zone_of_the_shop_unless_said(shop: Shop, ask_shop: Get) -> None:
    shop.add_order([(1, 1)])
    assert len(ask_shop(f"{ROOT}/orders?modified_after=2026-01-01T00:29:59").json()) == 1
    assert ask_shop(f"{ROOT}/orders?modified_after=2026-01-01T00:30:00").json() == []
    assert ask_shop(f"{ROOT}/orders?modified_after=2025-12-31T23:30:00&dates_are_gmt=true").json() == []


@pytest.mark.parametrize("kind", ["customers", "subscriptions"])
def test_customers_and_subscriptions_know_no_modified_after(shop: Shop, ask_shop: Get, kind: str) -> None:
    """B13 on the side of the source: the parameter is ignored, the order refused."""
    shop.add_subscription([(1, 1)], customer_id=1)
    assert len(ask_shop(f"{ROOT}/{kind}?modified_after=2030-01-01T00:00:00").json()) == 1
    assert ask_shop(f"{ROOT}/{kind}?orderby=modified").status_code == 400


@pytest.mark.parametrize("query", ["per_page=101", "per_page=0", "page=0", "page=x", "modified_after=soon"])
def test_a_parameter_out_of_range_is_refused(ask_shop: Get, query: str) -> None:
    assert ask_shop(f"{ROOT}/orders?{query}").status_code == 400


def test_an_order_is_changed_by_put(shop: Shop, ask_shop: Get, clock: FixedClock) -> None:
    shop.add_order([(1, 1)], status="pending")
    clock.at += timedelta(minutes=1)
    body = {"set_paid": True, "meta_data": [{"key": "logistic_state", "value": "ready"}]}
    assert ask_shop(f"{ROOT}/orders/1", "PUT", json=body).json()["status"] == "processing"
    order = ask_shop(f"{ROOT}/orders/1", "PUT", json={"status": "completed"}).json()
    assert order["date_paid_gmt"] == order["date_completed_gmt"] == "2025-12-31T23:31:00"
    assert [(one["key"], one["value"]) for one in order["meta_data"]] == [("_source", "web"), ("logistic_state", "ready")]
    assert ask_shop(f"{ROOT}/orders/1", "PUT", json={"status": "foo"}).status_code == 400
    assert ask_shop(f"{ROOT}/orders/9", "PUT", json={"status": "completed"}).status_code == 404
    assert len(shop.writes) == 3


def test_a_line_that_is_removed_is_gone_and_the_others_keep_their_ids(shop: Shop) -> None:
    """B21 on the side of the source."""
    before = shop.add_order([(1, 1), (2, 1)])
    after = shop.change_order(before["id"], lines=[(2, 3), (3, 1)])
    ids = {line["product_id"]: line["id"] for line in after["line_items"]}
    assert ids[2] == before["line_items"][1]["id"]
    assert set(ids) == {2, 3}
    assert ids[3] not in {line["id"] for line in before["line_items"]}


def test_a_transition_of_a_subscription_moves_its_dates_and_a_status_does_not(shop: Shop, ask_shop: Get) -> None:
    """B34 on the side of the source."""
    one = shop.add_subscription([(1, 1)], customer_id=1)["id"]
    path = f"{ROOT}/subscriptions/{one}"
    assert ask_shop(path, "PUT", json={"status": "on-hold"}).json()["suspension_count"] == 0
    assert ask_shop(path, "PUT", json={"transition_status": "active"}).json()["next_payment_date_gmt"] is not None
    held = ask_shop(path, "PUT", json={"transition_status": "on-hold"}).json()
    assert (held["suspension_count"], held["next_payment_date_gmt"]) == (1, None)
    ended = ask_shop(path, "PUT", json={"transition_status": "cancelled"}).json()
    assert (ended["status"], ended["cancelled_date_gmt"]) == ("cancelled", "2025-12-31T23:30:00")
    assert ask_shop(path, "PUT", json={"transition_status": "active"}).status_code == 400


def test_records_are_created_over_http(shop: Shop, ask_shop: Get) -> None:
    assert ask_shop(f"{ROOT}/customers", "POST", json={"email": "anne@example.com"}).status_code == 400
    customer = ask_shop(f"{ROOT}/customers", "POST", json={"email": "paul@example.com", "first_name": "Paul"}).json()
    body = {"customer_id": customer["id"], "line_items": [{"product_id": 2, "quantity": 2}], "set_paid": True}
    answer = ask_shop(f"{ROOT}/orders", "POST", json=body)
    assert (answer.status_code, answer.json()["status"], answer.json()["total"]) == (201, "processing", "36.00")
    assert ask_shop(f"{ROOT}/orders", "POST", json={"line_items": [{"product_id": 55}]}).status_code == 400


class _Inbox:
    """A receiver of webhooks that answers what the test says."""

    def __init__(self) -> None:
        self.status = 200
        self.received: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        inbox = self

        class Receive(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.received.put(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(inbox.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Receive)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def ids(self) -> list[int]:
        return [json.loads(self.received.get_nowait()[1])["id"] for _ in range(self.received.qsize())]


@pytest.fixture
def inbox() -> Iterator[_Inbox]:
    made = _Inbox()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_a_webhook_is_signed_and_says_its_topic(shop: Shop, ask_shop: Get, inbox: _Inbox) -> None:
    """B10 on the side of the source."""
    body = {"topic": "order.created", "delivery_url": inbox.url, "secret": "s3cret"}
    assert "secret" not in ask_shop(f"{ROOT}/webhooks", "POST", json=body).json()
    order = shop.add_order([(1, 1)])
    shop.webhooks.settle()
    headers, sent = inbox.received.get_nowait()
    assert json.loads(sent) == order
    assert headers["x-wc-webhook-signature"] == signature("s3cret", sent)
    assert headers["x-wc-webhook-topic"] == "order.created"
    assert headers["x-wc-webhook-delivery-id"]


def test_five_failures_in_a_row_disable_a_webhook_until_it_is_set_active(shop: Shop, ask_shop: Get, inbox: _Inbox) -> None:
    """F29, B12 on the side of the source."""
    shop.add_webhook("order.created", inbox.url, "s3cret")
    for status in (500, 500, 200, 500, 500, 500, 500):
        inbox.status = status
        shop.add_order([(1, 1)])
        shop.webhooks.settle()
    assert ask_shop(f"{ROOT}/webhooks/1").json()["status"] == "active"
    shop.add_order([(1, 1)])
    shop.webhooks.settle()
    assert ask_shop(f"{ROOT}/webhooks?status=disabled").json()[0]["id"] == 1
    inbox.ids()
    shop.add_order([(1, 1)])
    shop.webhooks.settle()
    assert inbox.ids() == []
    inbox.status = 200
    ask_shop(f"{ROOT}/webhooks/1", "PUT", json={"status": "active"})
    shop.add_order([(1, 1)])
    shop.webhooks.settle()
    assert inbox.ids() == [10]
    assert inbox.received.empty()


def test_webhooks_come_twice_late_or_not_at_all(shop: Shop, inbox: _Inbox) -> None:
    """F27, F28."""
    shop.add_webhook("order.created", inbox.url, "s3cret")
    for fault in ("webhook_late", "webhook_twice", "webhook_lost", "webhook_again"):
        shop.faults.arm(fault)
        shop.add_order([(1, 1)])
    shop.webhooks.settle()
    assert inbox.ids() == [2, 2, 1, 4, 4]
    assert len({sent.delivery_id for sent in shop.webhooks.sent}) == 4
    shop.stop()


def test_a_deleted_order_is_told_and_a_trashed_one_is_in_no_list(shop: Shop, ask_shop: Get, inbox: _Inbox) -> None:
    shop.add_webhook("order.deleted", inbox.url, "s3cret")
    for _ in range(2):
        shop.add_order([(1, 1)])
    assert ask_shop(f"{ROOT}/orders/1", "DELETE").status_code == 200
    assert ask_shop(f"{ROOT}/orders/2?force=true", "DELETE").status_code == 200
    shop.webhooks.settle()
    assert inbox.ids() == [1, 2]
    assert ask_shop(f"{ROOT}/orders").json() == []
    assert ask_shop(f"{ROOT}/orders/1").json()["status"] == "trash"
    assert ask_shop(f"{ROOT}/orders/2").status_code == 404


def test_fifty_thousand_orders_would_be_read_in_seconds(shop: Shop, ask_shop: Get) -> None:
    """A tenth of the size, in pages of 1000, is built and read in a tenth of that time."""
    shop.most = 1000
    for _ in range(5_000):
        shop.add_order([(1, 1), (2, 1), (3, 1)])
    found = [
        one["id"]
        for page in range(1, 6)
        for one in ask_shop(f"{ROOT}/orders?orderby=modified&order=asc&per_page=1000&page={page}").json()
    ]
    assert found == list(range(1, 5_001))


# The faults.


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_a_status_is_answered_so_many_times_without_an_effect(shop: Shop, ask_shop: Get, status: int) -> None:
    """F17, F18."""
    shop.faults.arm(str(status), times=2, path="/orders", value="120")
    body = {"line_items": [{"product_id": 1}]}
    for _ in range(2):
        answer = ask_shop(f"{ROOT}/orders", "POST", json=body)
        assert (answer.status_code, answer.headers["Retry-After"]) == (status, "120")
    assert ask_shop(f"{ROOT}/products").status_code == 200
    assert len(shop.orders) == 0
    assert ask_shop(f"{ROOT}/orders", "POST", json=body).status_code == 201


def test_a_lost_answer_has_its_effect_and_a_dropped_request_has_none(shop: Shop, ask_shop: Get) -> None:
    """F30."""
    for fault, orders in (("dropped", 0), ("lost_answer", 1)):
        shop.faults.arm(fault)
        with pytest.raises(requests.ConnectionError):
            ask_shop(f"{ROOT}/orders", "POST", json={"line_items": [{"product_id": 1}]})
        assert len(shop.orders) == orders


@pytest.mark.parametrize("fault", ["truncated", "truncated_chunked"])
def test_a_truncated_answer_breaks_the_connection(shop: Shop, ask_shop: Get, fault: str) -> None:
    """F20."""
    shop.faults.arm(fault)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        ask_shop(f"{ROOT}/products")


def test_an_answer_that_ends_with_its_connection_is_cut_silently(shop: Shop, ask_shop: Get) -> None:
    """F20."""
    whole = ask_shop(f"{ROOT}/products").content
    shop.faults.arm("truncated_close")
    answer = ask_shop(f"{ROOT}/products")
    assert answer.status_code == 200
    assert answer.content == whole[: len(whole) // 2]


def test_a_drip_and_a_slow_answer_outlast_a_timeout_but_not_the_server(shop: Shop, session: requests.Session) -> None:
    """F19; stopping the server does not wait for them."""
    with WebServer(shop) as server:
        for fault in ("drip", "slow"):
            shop.faults.arm(fault, value="60")
            with pytest.raises(requests.RequestException):
                session.get(f"{server.url}{ROOT}/products", auth=SHOP_KEYS, timeout=0.1)


def test_pages_repeat_loop_or_lead_elsewhere(shop: Shop, ask_shop: Get) -> None:
    """F22, catalogue 26."""
    path = f"{ROOT}/products?per_page=1&order=asc&orderby=id"
    first = ask_shop(path).json()
    shop.faults.arm("duplicate_page")
    again = ask_shop(f"{path}&page=2")
    assert again.json() == first
    assert again.links["next"]["url"].endswith("page=3")
    shop.faults.arm("loop", times=None)
    assert ask_shop(f"{path}&page=2").links["next"]["url"] == ask_shop(f"{path}&page=3").links["next"]["url"]
    shop.faults.clear()
    shop.faults.arm("next_elsewhere", value="http://169.254.169.254/")
    assert ask_shop(path).links["next"]["url"] == "http://169.254.169.254/"


def test_a_list_changes_while_it_is_paged(shop: Shop, ask_shop: Get, clock: FixedClock) -> None:
    """F23: by page numbers a row is never seen."""
    for _ in range(4):
        shop.add_order([(1, 1)])
    clock.at += timedelta(minutes=1)
    path = f"{ROOT}/orders?per_page=2&orderby=modified&order=asc"
    seen = [one["id"] for one in ask_shop(path).json()]
    shop.faults.arm("shifting_pages")
    seen += [one["id"] for one in ask_shop(f"{path}&page=2").json()]
    assert seen == [1, 2, 4, 1]


def test_rows_come_in_another_order_or_twice(shop: Shop, ask_shop: Get) -> None:
    shop.faults.arm("reordered")
    shop.faults.arm("repeated_row")
    asked = [[one["id"] for one in ask_shop(f"{ROOT}/products?order=asc&orderby=id").json()] for _ in range(3)]
    assert sorted(asked[0]) == [1, 2, 3]
    assert asked[1:] == [[1, 1, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize(
    ("fault", "value", "status", "body"),
    [
        ("html", None, 200, b"<!doctype html>"),
        ("empty", None, 200, b""),
        ("empty_list", None, 200, b"[]"),
        ("error_in_200", "no", 200, b'{"error": "internal", "message": "no"}'),
        ("redirect", None, 302, b""),
        ("body", '[{"total": NaN}]', 200, b'[{"total": NaN}]'),
    ],
)
def test_content_that_is_no_list(shop: Shop, ask_shop: Get, fault: str, value: str | None, status: int, body: bytes) -> None:
    """F21, catalogue 1, 24, 25."""
    shop.faults.arm(fault, value=value)
    answer = ask_shop(f"{ROOT}/orders")
    assert answer.status_code == status
    assert answer.content.startswith(body)


def test_text_in_another_code_and_a_bomb(shop: Shop, ask_shop: Get) -> None:
    """Catalogue 11 and 12."""
    shop.add_product("Thermostat d'été")
    shop.faults.arm("latin_1")
    assert "été".encode("latin-1") in ask_shop(f"{ROOT}/products").content
    shop.faults.arm("gzip_bomb", value="3")
    answer = ask_shop(f"{ROOT}/products")
    assert int(answer.headers["Content-Length"]) < 10_000
    assert len(answer.content) == 3_000_000


def test_faults_are_armed_over_http_and_wait_for_their_path_method_and_turn(shop: Shop, ask_shop: Get) -> None:
    fault = {"name": "500", "times": 1, "path": "/orders", "method": "GET", "skip": 1}
    assert ask_shop("/_faults", "POST", json=fault).json()["armed"][0]["name"] == "500"
    assert [ask_shop(f"{ROOT}/orders").status_code for _ in range(3)] == [200, 500, 200]
    assert ask_shop("/_faults").json() == {"armed": [], "fired": {"500": 1}}
    assert ask_shop("/_faults", "POST", json={"name": "earthquake"}).status_code == 400
    ask_shop("/_faults", "POST", json={"name": "500", "times": None})
    ask_shop("/_faults", "DELETE")
    assert ask_shop(f"{ROOT}/orders").status_code == 200


def test_a_probable_fault_falls_the_same_way_with_the_same_seed(shop: Shop, ask_shop: Get) -> None:
    fallen = []
    for _ in range(2):
        shop.faults.clear()
        shop.faults.arm("500", times=None, probability=0.5, seed=7)
        fallen.append([ask_shop(f"{ROOT}/orders").status_code for _ in range(20)])
    assert fallen[0] == fallen[1]
    assert set(fallen[0]) == {200, 500}


def test_a_stopped_server_refuses_and_comes_back_at_its_address(shop: Shop, session: requests.Session) -> None:
    server = WebServer(shop)
    server.start()
    address = server.url
    server.stop()
    with pytest.raises(requests.ConnectionError):
        session.get(f"{address}{ROOT}/orders", auth=SHOP_KEYS, timeout=5)
    with server:
        assert session.get(f"{address}{ROOT}/orders", auth=SHOP_KEYS, timeout=5).status_code == 200


# The CRM.


def test_contacts_are_listed_from_an_instant_on_through_tokens(crm: Crm, ask_crm: Get, clock: FixedClock) -> None:
    """Equal instants across the border of a page are all seen (F24)."""
    crm.add("contacts", email="old@example.com")
    clock.at += timedelta(minutes=1)
    for number in range(5):
        crm.add("contacts", email=f"c{number}@example.com")
    page = ask_crm("/api/v2/contacts?limit=2&updated_since=2025-12-31T23:31:00Z").json()
    found = page["data"]
    while page["has_more"]:
        page = ask_crm(f"/api/v2/contacts?limit=2&page_token={page['next_token']}").json()
        found += page["data"]
    assert [one["id"] for one in found] == [f"C00000{number}" for number in range(2, 7)]
    assert page["next_token"] is None


def test_the_same_key_has_one_effect_and_another_content_is_refused(crm: Crm, ask_crm: Get) -> None:
    body = {"name": "Durand SARL", "email": "info@durand.example", "external_ref": "shop-1"}
    crm.faults.arm("lost_answer")
    with pytest.raises(requests.ConnectionError):
        ask_crm("/api/v2/accounts", "POST", json=body, headers={"Idempotency-Key": "k1"})
    again = ask_crm("/api/v2/accounts", "POST", json=body, headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert crm.idempotency.effects["k1"] == 1
    assert [one["id"] for one in crm.find("accounts", external_ref="shop-1")] == [again.json()["id"]]
    other = ask_crm("/api/v2/accounts", "POST", json={**body, "name": "X"}, headers={"Idempotency-Key": "k1"})
    assert other.status_code == 422


def test_an_address_of_mail_belongs_to_one_contact(crm: Crm, ask_crm: Get) -> None:
    """F30: 409 with the record that is there."""
    first = crm.add("contacts", email="anne@example.com", first_name="Anne")
    taken = ask_crm("/api/v2/contacts", "POST", json={"email": "anne@example.com"})
    assert (taken.status_code, taken.json()["existing"]["id"]) == (409, first["id"])
    with pytest.raises(Refused):
        crm.add("contacts", email="anne@example.com")
    crm.delete("contacts", first["id"])
    assert ask_crm("/api/v2/contacts", "POST", json={"email": "anne@example.com"}).status_code == 201
    assert len(ask_crm("/api/v2/contacts").json()["data"]) == 1
    assert len(ask_crm("/api/v2/contacts?include_deleted=true").json()["data"]) == 2


def test_the_crm_refuses_strangers_unknown_fields_and_bad_tokens(ask_crm: Get, crm: Crm) -> None:
    assert ask_crm("/api/v2/contacts", headers={"Authorization": "Bearer x"}).status_code == 401
    assert ask_crm("/api/v2/contacts", "POST", json={"colour": "red"}).json()["fields"] == ["colour"]
    assert ask_crm("/api/v2/contacts?page_token=!").status_code == 400
    account = crm.add("accounts", name="Durand")
    assert ask_crm(f"/api/v2/accounts/{account['id']}", "PATCH", json={"name": "Durand SA"}).json()["name"] == "Durand SA"
    assert ask_crm("/api/v2/accounts/C000001").status_code == 404


# The ERP.


def test_an_order_of_the_erp_is_created_once_per_key_and_found_by_its_reference(erp: Erp, ask_erp: Get) -> None:
    body = {"external_reference": "shop-41", "customer_id": 1, "lines": [{"sku": "SKU-1", "quantity": 2}]}
    for _ in range(2):
        assert ask_erp("/api/v1/orders", "POST", json=body, headers={"Idempotency-Key": "o41"}).status_code == 201
    found = ask_erp("/api/v1/orders?external_reference=shop-41").json()
    assert (found["total"], found["items"][0]["total"]) == (1, "30.00")
    assert erp.created["orders", "shop-41"] == erp.idempotency.effects["o41"] == 1
    ask_erp("/api/v1/orders", "POST", json=body)
    assert erp.created["orders", "shop-41"] == 2
    erp.unique_references = True
    assert ask_erp("/api/v1/orders", "POST", json=body).json()["existing"]["id"] == 1


def test_an_order_of_the_erp_is_shipped_in_parts_invoiced_and_paid(erp: Erp, ask_erp: Get, clock: FixedClock) -> None:
    order = erp.add_order(1, [(1, 3)])
    states = []
    for act in (
        lambda: erp.ship(1, {order["lines"][0]["id"]: 1}),
        lambda: erp.ship(1),
        lambda: erp.invoice(1),
        lambda: erp.pay(1),
    ):
        clock.at += timedelta(minutes=1)
        act()
        page = ask_erp(f"/api/v1/orders?updated_since={clock.at.isoformat()}").json()["items"]
        states.append((page[0]["shipment_state"], page[0]["invoice_state"]))
    assert states == [("partial", "none"), ("shipped", "none"), ("shipped", "invoiced"), ("shipped", "paid")]
    assert [one["lines"][0]["quantity"] for one in erp.orders[0]["shipments"]] == [1, 2]
    assert erp.record("products", 1)["stock_quantity"] == 97
    assert ask_erp("/api/v1/orders/1", "PATCH", json={"state": "cancelled"}).status_code == 409


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ({"product_id": 9, "quantity": 1}, "unknown_product"),
        ({"product_id": 1, "quantity": "1,5"}, "invalid_quantity"),
        ({"product_id": 1, "quantity": 1, "unit_price": "1.234,56"}, "invalid_price"),
    ],
)
def test_the_erp_refuses_a_bad_line(ask_erp: Get, line: dict[str, object], error: str) -> None:
    answer = ask_erp("/api/v1/orders", "POST", json={"customer_id": 1, "lines": [line]})
    assert (answer.status_code, answer.json()["error"]) == (422, error)
    assert ask_erp("/api/v1/orders", headers={"X-Api-Key": "x"}).status_code == 401


# The life of the company.


def test_the_company_lives_the_same_life_with_the_same_seed(clock: FixedClock) -> None:
    lives = []
    for _ in range(2):
        company = CompanyLife(Shop(clock=clock), Crm(clock=clock), Erp(clock=clock))
        company.found()
        moments = [company.live(orders=7) for _ in range(len(WRONG))]
        lives.append(([company.shop.orders.entry(one).body for one in company.shop.orders], moments))
    assert lives[0] == lives[1]
    assert {name for moment in lives[0][1] for name in moment.wrong} == set(WRONG)


def test_goods_go_out_and_invoices_are_paid(clock: FixedClock) -> None:
    company = CompanyLife(Shop(clock=clock), Crm(clock=clock), Erp(clock=clock))
    company.found()
    customer = company.erp.add_customer("Anne")["id"]
    order = company.erp.add_order(customer, [(1, 1)])["id"]
    moments = [company.live() for _ in range(3)]
    assert [(moment.shipped, moment.invoiced, moment.paid) for moment in moments] == [
        ([order], [], []),
        ([], [order], []),
        ([], [], [order]),
    ]
