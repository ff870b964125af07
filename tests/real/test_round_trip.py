"""From a real shop to a real ERP and back, by connectors that hold no line of Python: each effect once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from tests.integrated_company import SHOP_CREDENTIALS, IntegratedCompany
from tests.real.systems.forward import Forward
from tests.real.systems.oscar import OscarShop
from tests.real.systems.tryton import TrytonErp

CONNECTORS = Path(__file__).parent / "connectors"

OSCAR = """
connections:
  shop_998: {{dossier: "998", system: shop, connector: oscar, url: "{url}", credentials: {{token: "${{env:OSCAR_TOKEN}}"}}}}
"""
TRYTON = """
connections:
  erp_998:
    dossier: "998"
    system: erp
    connector: tryton
    url: "{url}"
    credentials: {{user: "${{env:TRYTON_USER}}", password: "${{env:TRYTON_PASSWORD}}"}}
    options: {{database: {database}}}
    outbound_enabled: true
"""


@dataclass
class Trade:
    """Dossier 998 with a shop and Tryton; `front` is what stands before the shop and logs what it is asked."""

    company: IntegratedCompany
    erp: TrytonErp
    front: Forward | None = None

    def rounds(self, count: int = 1) -> None:
        """Do rounds that read everything, none of which may fail."""
        for _ in range(count):
            assert self.company.round(everything=True)["998"].failures == []
            assert [row["last_error"] for row in self.company.rows("flow.work_item") if row["last_error"]] == []
            self.company.pass_time()

    def sale(self, number: str) -> int:
        """Return the id of the one sale of an order."""
        (found,) = self.erp.search("sale.sale", [["reference", "=", number]])
        return found

    def order(self, number: str) -> dict[str, Any]:
        """Return the header of an order."""
        (found,) = self.company.rows("hub.order_header", number=number)
        return dict(found)

    def document(self, invoice: int) -> dict[str, Any]:
        """Return the document that an invoice of Tryton has become."""
        (link,) = self.company.rows("hub.cross_reference", entity="document", external_id=str(invoice))
        (found,) = self.company.rows("hub.document", document_id=link["record_id"])
        return dict(found)


@pytest.fixture
def company(engine: sa.Engine, tryton_erp: TrytonErp) -> IntegratedCompany:
    """Dossier 998 with Tryton as its ERP, at the time of the real systems."""
    made = IntegratedCompany(engine, FixedClock(datetime.now(UTC)))
    made.environment |= {"TRYTON_USER": tryton_erp.user, "TRYTON_PASSWORD": tryton_erp.password}
    made.dossier()
    return made


@pytest.fixture
def oscar(company: IntegratedCompany, oscar_shop: OscarShop, tryton_erp: TrytonErp) -> Iterator[Trade]:
    """Oscar as the shop, behind a server that can spoil its answers."""
    company.environment["OSCAR_TOKEN"] = oscar_shop.admin
    front = Forward(oscar_shop.url, keep_host=True)
    with WebServer(front) as server:
        company.connect((CONNECTORS / "oscar.yaml").read_text(encoding="utf-8") + OSCAR.format(url=server.url))
        company.connect(tryton("tryton.yaml", tryton_erp))
        yield Trade(company, tryton_erp, front)


def tryton(connector: str, erp: TrytonErp) -> str:
    """Return the YAML of the ERP."""
    text = (CONNECTORS / connector).read_text(encoding="utf-8")
    return text + TRYTON.format(url=erp.url, database=erp.database)


def invoice(erp: TrytonErp, sale: int) -> None:
    """Post the invoice as the ERP's people do: Tryton warns that an order of the shop names no taxes, and they go on."""
    with pytest.raises(RuntimeError) as warned:
        erp.invoice(sale)
    kind, (name, *_) = warned.value.args[0]
    assert kind == "UserWarning"
    erp.rpc("res.user.warning", "skip", name, False)
    erp.invoice(sale)


def same_articles(shop: OscarShop) -> None:
    """Give the shop's first two articles the codes that Tryton knows them by."""
    for number in (1, 2):
        shop.ask("PATCH", f"admin/products/{number}/", json={"upc": f"P00{number - 1}"})


def test_an_order_of_oscar_stands_in_third_normal_form_in_the_hub(oscar: Trade, oscar_shop: OscarShop) -> None:
    same_articles(oscar_shop)
    numbers = [oscar_shop.place_order([(1, 2), (2, 1)], client=client) for client in (0, 1, 0)]
    oscar.rounds()
    company = oscar.company
    order = oscar.order(numbers[0])
    (customer,) = company.rows("hub.customer", email="client0@example.com")
    assert (order["customer_id"], order["currency"], order["total"]) == (customer["customer_id"], "EUR", Decimal("32.50"))
    (address,) = company.rows("hub.address", address_hash=order["shipping_address_hash"])
    assert (address["last_name"], address["city"], address["country"]) == ("Durand", "Lyon", "FR")
    lines = company.rows("hub.order_line", order_id=order["order_id"])
    products = {row["product_id"]: row["sku"] for row in company.rows("hub.product")}
    assert sorted((products[line["product_id"]], line["quantity"], line["total"]) for line in lines) == [
        ("P000", 2, Decimal("21.00")),
        ("P001", 1, Decimal("11.50")),
    ]
    assert {oscar.order(number)["shipping_address_hash"] for number in numbers} == {order["shipping_address_hash"]}
    assert set(company.states(system_code="shop")) == {"TRANSFORMED"}


def test_an_article_is_one_product_of_both_systems_and_the_erps_own_stay_its_own(oscar: Trade, oscar_shop: OscarShop) -> None:
    same_articles(oscar_shop)
    oscar.rounds()
    systems: dict[str, set[str]] = {}
    skus = {row["product_id"]: row["sku"] for row in oscar.company.rows("hub.product")}
    for link in oscar.company.rows("hub.cross_reference", entity="product"):
        systems.setdefault(skus[link["record_id"]], set()).add(link["system_code"])
    assert (systems["P000"], systems["P004"], systems["UPC00002"]) == ({"shop", "erp"}, {"erp"}, {"shop"})
    assert len(skus) == len(set(skus.values()))


def test_an_order_of_oscar_becomes_one_sale_and_what_the_erp_does_comes_back(oscar: Trade, oscar_shop: OscarShop) -> None:
    """Shipped and invoiced in Tryton; Oscar's orders cannot be changed through its API, so nothing is sent there."""
    same_articles(oscar_shop)
    number = oscar_shop.place_order([(1, 2), (2, 1)], client=1)
    oscar.rounds(3)
    erp, sale = oscar.erp, oscar.sale(number)
    made = erp.read("sale.sale", sale, "party.email", "lines.product.code", "lines.quantity", "untaxed_amount", "state")
    assert (made["state"], made["party."]["email"]) == ("draft", "client1@example.com")
    assert sorted((line["product."]["code"], line["quantity"]) for line in made["lines."]) == [("P000", 2.0), ("P001", 1.0)]
    assert made["untaxed_amount"]["decimal"] == "32.50"
    assert len(erp.search("party.party", [["contact_mechanisms.value", "=", "client1@example.com"]])) == 1

    erp.process(sale)
    oscar.rounds()
    assert (oscar.order(number)["logistic_state"], oscar.order(number)["financial_state"]) == ("waiting", None)
    erp.ship(sale)
    invoice(erp, sale)
    oscar.rounds(2)
    order = oscar.order(number)
    assert (order["logistic_state"], order["financial_state"], order["state"]) == ("shipped", "invoiced", "processing")
    assert oscar.sale(number) == sale
    assert oscar.front is not None
    assert {request.method for request in oscar.front.log.requests} == {"GET"}
    assert [row for row in oscar.company.rows("flow.work_item", event="outbound") if row["system_code"] == "shop"] == []


@pytest.mark.parametrize("fault", ["429", "500", "truncated"])
def test_a_fault_of_oscar_loses_no_order_and_doubles_none(oscar: Trade, oscar_shop: OscarShop, fault: str) -> None:
    """F2: in the middle of the list and at the lines of an order; the reading is whole in the end."""
    same_articles(oscar_shop)
    before = {one["number"] for one in oscar_shop.orders()}
    numbers = [oscar_shop.place_order([(1, 1)], client=number % 3) for number in range(5)]
    front = oscar.front
    assert front is not None
    front.faults.arm(fault, path="/api/admin/orders/", skip=2, times=2)
    front.faults.arm(fault, path="/lines/", skip=1, times=1)
    for _ in range(3):
        oscar.company.round(everything=True)
        oscar.company.pass_time(600)
    assert front.faults.fired[fault] == 3
    assert {row["number"] for row in oscar.company.rows("hub.order_header")} == before | set(numbers)
    assert len(oscar.company.rows("hub.order_header")) == len(before) + len(numbers)
    lines = oscar.company.rows("hub.order_line")
    assert all(len([line for line in lines if line["order_id"] == oscar.order(one)["order_id"]]) == 1 for one in numbers)
    assert all(oscar.sale(number) for number in numbers)


@dataclass
class WebTrade(Trade):
    """Dossier 998 with the simulated WooCommerce shop and Tryton."""

    shop: Shop = field(default_factory=Shop)

    def buyer(self, name: str) -> int:
        """Return the id of a customer with an address."""
        address = {"address_1": "1 rue des Alpes", "city": "Lyon", "postcode": "69001", "country": "FR"}
        email = f"{name.lower()}.round@example.com"
        return int(self.shop.add_customer(email=email, first_name=name, last_name="Durand", **address)["id"])

    def told(self, key: str) -> list[tuple[str, str]]:
        """Return path and word of the PUTs that told the shop this key, in order."""
        return [(path, str(body[key])) for method, path, body in self.shop.writes if method == "PUT" and key in body]


@pytest.fixture
def web(company: IntegratedCompany, tryton_erp: TrytonErp) -> Iterator[WebTrade]:
    """A WooCommerce shop, and Tryton whose states reach it."""
    trade = WebTrade(company, tryton_erp)
    with WebServer(trade.shop) as server:
        company.environment |= SHOP_CREDENTIALS
        company.connect_shop(server.url, extra="    outbound_enabled: true\n")
        company.connect(tryton("woocommerce_tryton.yaml", tryton_erp))
        yield trade


def test_an_order_of_woocommerce_is_sold_shipped_in_tryton_and_completed_once_in_the_shop(web: WebTrade) -> None:
    """B30 B32 with a real ERP: of all that the shop is told, exactly one PUT has a status, completed."""
    product = web.shop.add_product("Pump 2", "12.50", sku="P002")
    order = web.shop.add_order([(product["id"], 3)], customer_id=web.buyer("Ana"))
    web.rounds(3)
    number = str(order["number"])
    sale = web.sale(number)
    made = web.erp.read("sale.sale", sale, "party.name", "untaxed_amount", "shipment_address.city")
    total = f"{Decimal(order['line_items'][0]['total']):.2f}"
    assert (made["party."]["name"], made["untaxed_amount"]["decimal"]) == ("Ana Durand", total)
    assert made["shipment_address."]["city"] == "Lyon"
    web.erp.process(sale)
    web.erp.ship(sale)
    web.rounds(4)
    assert web.told("status") == [(f"orders/{order['id']}", "completed")]
    assert web.shop.order(order["id"])["status"] == "completed"
    assert web.order(number)["logistic_state"] == "shipped"
    assert web.sale(number) == sale


def test_an_invoice_of_tryton_is_a_document_of_its_order_and_its_payment_releases_the_order_in_the_shop(web: WebTrade) -> None:
    """B32: an invoice that is open holds no order; when Tryton has the money, the shop's order is paid."""
    product = web.shop.add_product("Pump 3", "12.50", sku="P003")
    order = web.shop.add_order([(product["id"], 2)], customer_id=web.buyer("Bea"), status="on-hold", order_id=7002)
    web.rounds()
    number = str(order["number"])
    sale = web.sale(number)
    web.erp.process(sale)
    invoice(web.erp, sale)
    web.rounds()
    document, header = web.document(web.erp.invoices(sale)[0]), web.order(number)
    assert (document["type"], document["state"], document["reference"]) == ("invoice", "open", number)
    assert (document["customer_id"], document["order_id"]) == (header["customer_id"], header["order_id"])
    (line,) = web.company.rows("hub.document_line", document_id=document["document_id"])
    (sold,) = web.company.rows("hub.order_line", order_id=header["order_id"])
    assert (line["product_id"], line["quantity"], line["unit_price"]) == (sold["product_id"], 2, Decimal("12.50"))
    assert (document["total"], document["currency"], line["total"]) == (Decimal("25.00"), "EUR", Decimal("25.00"))
    assert (header["financial_state"], web.told("status")) == ("invoiced", [])

    web.erp.pay(sale)
    web.rounds(2)
    assert web.document(web.erp.invoices(sale)[0])["state"] == "paid"
    assert web.order(number)["financial_state"] == "paid"
    assert web.told("status") == [(f"orders/{order['id']}", "processing")]
    there = web.shop.order(order["id"])
    assert (there["status"], bool(there["date_paid_gmt"])) == ("processing", True)
    assert {one["key"]: one["value"] for one in there["meta_data"]}["financial_state"] == "paid"


def test_a_subscription_of_the_shop_is_one_in_tryton_and_its_end_there_is_told_once(web: WebTrade) -> None:
    """B34 with a real ERP: exactly one PUT with transition_status, pending-cancel, and none with status."""
    web.erp.add_service("CARE-SHOP")
    product = web.shop.add_product("Care", "9.00", sku="CARE-SHOP")
    shops = web.shop.add_subscription([(product["id"], 1)], customer_id=web.buyer("Cleo"))
    web.rounds()
    (subscription,) = web.erp.search("sale.subscription", [["reference", "=", str(shops["number"])]])
    made = web.erp.read("sale.subscription", subscription, "party.name", "lines.service.product.code", "lines.unit_price")
    (line,) = made["lines."]
    assert (made["party."]["name"], line["service."]["product."]["code"]) == ("Cleo Durand", "CARE-SHOP")
    assert Decimal(line["unit_price"]["decimal"]) == 9
    web.erp.run_subscription(subscription)
    web.rounds()
    assert web.told("transition_status") == []
    web.erp.close_subscription(subscription)
    web.rounds(2)
    assert web.told("transition_status") == [(f"subscriptions/{shops['id']}", "pending-cancel")]
    assert web.told("status") == []
    (ended,) = web.company.rows("hub.subscription")
    assert (ended["financial_state"], ended["state"], ended["status"]) == ("terminated", "pending_cancel", "pending-cancel")
    assert web.erp.search("sale.subscription", [["reference", "=", str(shops["number"])]]) == [subscription]
