"""A company that trades: its shop, its ERP and its CRM on their ports, written to by the tests' rounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from erpcrm_orchestration.demo.crm_api import Crm
from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from tests.integrated_company import IntegratedCompany


@dataclass
class TradingCompany:
    """The simulated systems of dossier 998."""

    shop: Shop
    erp: Erp
    crm: Crm
    company: IntegratedCompany
    urls: dict[str, str]

    def order(self, **changes: object) -> int:
        """Place an order of a customer with an e-mail address; return its number in the shop."""
        customer = self.shop.add_customer(email="ana@example.com", first_name="Ana", last_name="Durand")
        product = self.shop.add_product("Lamp", "12.50")
        return int(self.shop.add_order([(product["id"], 2)], customer_id=customer["id"], **changes)["id"])  # type: ignore[arg-type]

    def rounds(self, count: int = 1) -> None:
        """Do rounds, one minute apart; none of them may fail."""
        for _ in range(count):
            done = self.company.round()["998"]
            assert done.failures == []
            self.company.pass_time()

    def known_customer(self) -> tuple[int, str]:
        """Return the id of a customer in the shop and in the CRM, after all systems know of them."""
        self.order()
        self.rounds(2)
        (contact,) = self.crm.find("contacts")
        return 1, contact["id"]

    def states_told(self) -> list[tuple[str, str]]:
        """Return path and status of the requests that told the shop a status, in order."""
        return [(path, str(body["status"])) for method, path, body in self.shop.writes if method == "PUT" and "status" in body]

    def patiently(self) -> None:
        """Do rounds twenty minutes apart, so that what failed is tried again until it is through."""
        for _ in range(3):
            self.company.pass_time(1200)
            self.rounds(1)


@contextmanager
def trading_company(engine: sa.Engine, clock: FixedClock) -> Iterator[TradingCompany]:
    """Run shop, ERP and CRM; they are connected by the test."""
    shop, erp, crm = Shop(clock=clock), Erp(clock=clock), Crm(clock=clock)
    company = IntegratedCompany(engine, clock)
    company.dossier()
    with ExitStack() as stack:
        servers = {name: stack.enter_context(WebServer(one)) for name, one in (("shop", shop), ("erp", erp), ("crm", crm))}
        yield TradingCompany(shop, erp, crm, company, {name: server.url for name, server in servers.items()})
