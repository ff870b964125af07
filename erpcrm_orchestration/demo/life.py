"""The life of the simulated company: orders come in, some of them wrong, goods go out, invoices are paid."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from erpcrm_orchestration.demo.crm_api import Crm
from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.message import Json
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.shop_payload import Basket

WRONG: Mapping[str, str] = MappingProxyType(
    {
        "total_differs": "the total is 0.05 above what the parts add up to",
        "unknown_product": "a line names a product that the shop has lost",
        "unknown_status": "a plug-in's order status",
        "unknown_currency": "a currency code that nobody uses",
        "quantity_as_text": "a quantity with a comma",
        "no_date": "no date of change",
        "extra_field": "a field that nobody maps: no fault, it is kept and ignored",
    }
)
"""The wrong orders by name, in the order in which they come."""
_FIRST = ("Anne", "Paul", "Chloé", "Jean", "Inès", "Marc", "Zoé", "Luc")
_LAST = ("Durand", "Martin", "Lefèvre", "Moreau", "Garnier", "Roux", "Noël", "Blanc")
_CITIES = (("69001", "Lyon"), ("38000", "Grenoble"), ("42000", "Saint-Étienne"), ("73000", "Chambéry"))
_GOODS = ("Heat pump", "Thermostat", "Circulator", "Filter", "Expansion tank", "Valve", "Sensor", "Pipe kit")
LOST_PRODUCT = 999_999


@dataclass(frozen=True)
class Moment:
    """What happened in one moment: order ids of the shop, wrong ones by their name, order ids of the ERP."""

    ordered: Sequence[int] = ()
    wrong: Mapping[str, int] = field(default_factory=dict)
    shipped: Sequence[int] = ()
    invoiced: Sequence[int] = ()
    paid: Sequence[int] = ()


@dataclass
class CompanyLife:
    """Moves shop, CRM and ERP on; the same seed tells the same story. One in `wrong_each` orders is wrong, 0 for none.

    `guests` is the share of orders without an account in the shop.
    """

    shop: Shop
    crm: Crm
    erp: Erp
    seed: int = 998
    wrong_each: int = 7
    guests: float = 0.2

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311 - a simulation
        self._products: list[int] = []
        self._customers: list[int] = []
        self._ordered = 0
        self._wrongs = 0

    def found(self, *, customers: int = 8, products: int = 8, orders: int = 10) -> list[int]:
        """Make customers, categories, products and first orders; return the ids of the orders."""
        root = self.shop.add_category("Heating")
        leaves = [self.shop.add_category(name, root["id"]) for name in ("Machines", "Parts")]
        for number in range(products):
            price = f"{self._chance.randrange(500, 90_000) / 100:.2f}"
            name = f"{_GOODS[number % len(_GOODS)]} {number + 1}"
            made = self.shop.add_product(name, price, categories=[leaves[number % 2]])
            self._products.append(made["id"])
            self.erp.add_product(made["sku"], name, price=price, stock=1000, external_reference=str(made["id"]))
        self._customers = [self.shop.add_customer(**self._person(number))["id"] for number in range(customers)]
        return [self._order() for _ in range(orders)]

    def live(self, orders: int = 2) -> Moment:
        """Let one more moment pass."""
        shipped, invoiced, paid = self._move()
        ordered: list[int] = []
        wrong: dict[str, int] = {}
        for _ in range(orders):
            is_wrong = bool(self.wrong_each) and (self._ordered + 1) % self.wrong_each == 0
            # Nobody may see the order before it is spoiled, a webhook neither.
            with self.shop.lock:
                if is_wrong:
                    self.shop.faults.arm("webhook_lost", path="order.created")
                order_id = self._order()
                if is_wrong:
                    wrong[self._spoil(order_id)] = order_id
            ordered.append(order_id)
        return Moment(ordered, wrong, shipped, invoiced, paid)

    def _person(self, number: int) -> dict[str, str]:
        postcode, city = self._chance.choice(_CITIES)
        first, last = _FIRST[number % len(_FIRST)], _LAST[(number // len(_FIRST) + number) % len(_LAST)]
        return {
            "first_name": first,
            "last_name": last,
            "email": f"client{number + 1}@example.com",
            "phone": f"+33478{number:06}",
            "address_1": f"{self._chance.randrange(1, 90)} rue des Alpes",
            "postcode": postcode,
            "city": city,
            "country": "FR",
        }

    def _order(self) -> int:
        self._ordered += 1
        chosen = self._chance.sample(self._products, min(3, len(self._products)))
        lines = [(product_id, self._chance.randrange(1, 4)) for product_id in chosen]
        if self._customers and self._chance.random() < 1 - self.guests:
            return int(self.shop.add_order(lines, customer_id=self._chance.choice(self._customers))["id"])
        guest = {**self._person(self._ordered), "email": f"guest{self._ordered}@example.com"}
        return int(self.shop.add_order(lines, basket=Basket(billing=guest))["id"])

    def _spoil(self, order_id: int) -> str:
        name = tuple(WRONG)[self._wrongs % len(WRONG)]
        self._wrongs += 1
        spoil(self.shop, order_id, name)
        return name

    def _waiting(self, **states: str) -> list[int]:
        """Return up to two orders of the ERP in these states, the oldest first."""
        found = (one for one in self.erp.orders if all(one[name] == state for name, state in states.items()))
        return [one["id"] for one in list(found)[:2]]

    def _move(self) -> tuple[list[int], list[int], list[int]]:
        """Let the ERP's orders go one step further each: shipped, invoiced, paid."""
        shipped = self._waiting(state="confirmed", shipment_state="waiting")
        invoiced = self._waiting(state="confirmed", shipment_state="shipped", invoice_state="none")
        paid = self._waiting(state="confirmed", invoice_state="invoiced")
        for act, going in ((self.erp.ship, shipped), (self.erp.invoice, invoiced), (self.erp.pay, paid)):
            for order_id in going:
                act(order_id)
        return shipped, invoiced, paid


def spoil(shop: Shop, order_id: int, name: str) -> None:
    """Make an order wrong in one of the ways of WRONG."""
    order = shop.order(order_id)
    first, *others = order["line_items"]
    changes: Mapping[str, Json] = {
        "total_differs": {"total": str(Decimal(order["total"]) + Decimal("0.05"))},
        "unknown_product": {"line_items": [{**first, "product_id": LOST_PRODUCT}, *others]},
        "unknown_status": {"status": "awaiting-pickup"},
        "unknown_currency": {"currency": "XXY"},
        "quantity_as_text": {"line_items": [{**first, "quantity": "1,5"}, *others]},
        "no_date": {"date_modified": None, "date_modified_gmt": None},
        "extra_field": {"loyalty_points": 12},
    }
    shop.spoil("orders", order_id, **changes[name])
