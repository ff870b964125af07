"""Shop, CRM and ERP of the simulated company at free ports of this machine, with secrets of their own for each run."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from erpcrm_orchestration.demo.care import CustomerCare
from erpcrm_orchestration.demo.crm_api import Crm
from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.life import CompanyLife, spoil
from erpcrm_orchestration.demo.message import Json
from erpcrm_orchestration.demo.service import FieldService
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer

TOPICS = ("order.created", "order.updated", "order.deleted", "customer.created", "customer.updated")
REFUSED_AT_FIRST = "quantity_as_text"
OTHERS_AT_FIRST = ("unknown_product", "unknown_status")
WRONG_EACH = 40
"""One in so many orders is wrong later: a stream stops when more than 5 % of what it brings at once is refused."""


@dataclass(frozen=True)
class Journey:
    """One order's way: placed in the shop, made in the ERP, shipped there, completed in the shop."""

    order_id: int
    sale: str
    placed_at: datetime
    sold_at: datetime
    shipped_at: datetime
    completed_at: datetime


@dataclass(frozen=True)
class Wrong:
    """An order that the shop sends wrong, and the assignment that makes it right."""

    order_id: int
    name: str
    assignment: str


class Systems:
    """What dossier 998 works with, and the shop of dossier 210."""

    def __init__(self) -> None:
        self._secret = {name: secrets.token_urlsafe(24) for name in ("shop", "other", "crm", "erp", "webhook")}
        self.shop = Shop(key="ck_998", secret=self._secret["shop"])
        self.other = Shop(key="ck_210", secret=self._secret["other"], seed=210)
        self.crm = Crm(token=self._secret["crm"])
        self.erp = Erp(api_key=self._secret["erp"])
        # The ERP sells to nobody whom it does not know, so that everybody who buys here has an account.
        self.life = CompanyLife(self.shop, self.crm, self.erp, wrong_each=WRONG_EACH, guests=0)
        self.service = FieldService(self.crm)
        self.care = CustomerCare(self.crm, self.erp)
        self.wrong: Wrong | None = None
        self._goods: list[int] = []

    @contextmanager
    def serving(self) -> Iterator[dict[str, str]]:
        """Answer requests for the block; yield the environment variables of config/connections.yaml."""
        with ExitStack() as stack:
            served = (self.shop, self.other, self.crm, self.erp)
            shop, other, crm, erp = (stack.enter_context(WebServer(one)).url for one in served)
            yield {
                "ERPCRM_DEMO_SHOP_998_URL": shop,
                "ERPCRM_DEMO_SHOP_998_KEY": "ck_998",
                "ERPCRM_DEMO_SHOP_998_SECRET": self._secret["shop"],
                "ERPCRM_DEMO_SHOP_210_URL": other,
                "ERPCRM_DEMO_SHOP_210_KEY": "ck_210",
                "ERPCRM_DEMO_SHOP_210_SECRET": self._secret["other"],
                "ERPCRM_DEMO_CRM_URL": crm,
                "ERPCRM_DEMO_CRM_TOKEN": self._secret["crm"],
                "ERPCRM_DEMO_SALES_URL": erp,
                "ERPCRM_DEMO_SALES_KEY": self._secret["erp"],
                "ERPCRM_DEMO_WEBHOOK_SECRET": self._secret["webhook"],
            }

    def found(self, receiver: str) -> None:
        """Make the first records, three orders and an intervention of them wrong, and the customers that only the CRM knows.

        The shop tells the receiver of what changes from now on.
        """
        *orders, last = self.life.found(orders=8)
        quantity = self.shop.order(last)["line_items"][0]["quantity"]
        self.wrong = Wrong(last, REFUSED_AT_FIRST, f"line_items.0.quantity:={quantity}")
        for order_id, name in ((last, REFUSED_AT_FIRST), *zip(orders, OTHERS_AT_FIRST, strict=False)):
            spoil(self.shop, order_id, name)
        self.service.found()
        self.care.found()
        self._goods = [
            self.other.add_product(name, price)["id"] for name, price in (("Thermostat", "89.90"), ("Valve", "14.50"))
        ]
        for _ in range(3):
            self._sell_elsewhere()
        for topic in TOPICS:
            self.shop.add_webhook(topic, f"{receiver}/webhooks/shop_998", self._secret["webhook"])

    def live(self) -> None:
        """Let one more moment pass."""
        self.life.live(orders=1)
        self.service.live()
        self.care.live()
        self._sell_elsewhere()

    def journeys(self) -> list[Journey]:
        """Return the orders that went the whole way, in the order in which they were placed."""
        with self.shop.lock, self.erp.lock:
            pairs = [(self.shop.order(int(one["external_reference"])), one) for one in self.erp.orders if one["shipments"]]
        return sorted((_journey(*pair) for pair in pairs if pair[0]["date_completed_gmt"]), key=lambda one: one.order_id)

    def _sell_elsewhere(self) -> None:
        self.other.add_order([(product_id, 1) for product_id in self._goods])


def write_environment(file: Path, variables: dict[str, str]) -> None:
    """Write the variables for a shell to read; only the owner may, secrets are among them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    lines = (f"export {name}={shlex.quote(text)}\n" for name, text in variables.items())
    file.write_text("".join(lines), encoding="utf-8")


def _journey(order: Json, sale: Json) -> Journey:
    return Journey(
        order["id"],
        sale["number"],
        _instant(order["date_created_gmt"] + "Z"),
        _instant(sale["created_at"]),
        _instant(sale["shipments"][0]["at"]),
        _instant(order["date_completed_gmt"] + "Z"),
    )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
