"""From the shop to the tables, on a real PostgreSQL and a real HTTP server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from tests.integrated_company import IntegratedCompany


@pytest.fixture
def shop(clock: FixedClock) -> Shop:
    """The simulated shop."""
    return Shop(clock=clock)


@pytest.fixture
def company(engine: sa.Engine, clock: FixedClock, shop: Shop) -> Iterator[IntegratedCompany]:
    """Dossier 998 with the shop connected."""
    made = IntegratedCompany(engine, clock)
    made.dossier()
    server = WebServer(shop)
    server.start()
    made.connect_shop(server.url)
    yield made
    server.stop()


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
