"""A long list is integrated while its last pages are still read: nothing waits that need not, nothing is done twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.message import Answer, Request
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.failpoint import FailpointRaised
from erpcrm_orchestration.services.round import Round, work_round
from erpcrm_orchestration.store.engine import create_engine
from tests.integrated_company import IntegratedCompany

PAGE = 100
"""What WooCommerce gives at most."""
ORDERS = "/wp-json/wc/v3/orders"
CATEGORIES = "/wp-json/wc/v3/products/categories"
PATIENCE_S = 25


class SlowShop(Shop):
    """A shop that does something before it answers a request for the last page of a list."""

    before_last: Callable[[], None] = staticmethod(lambda: None)
    slow_path = ORDERS

    def answer(self, request: Request) -> Answer:
        if request.path == self.slow_path and int(request.query.get("page", 1)) == 3:
            self.before_last()
        return super().answer(request)


@pytest.fixture
def shop(clock: FixedClock) -> SlowShop:
    """A shop whose orders are three pages."""
    made = SlowShop(clock=clock)
    product = int(made.add_product("Lamp", "12.50")["id"])
    customer = int(made.add_customer(email="ana@example.com", first_name="Ana", last_name="Durand")["id"])
    for _ in range(2 * PAGE + 30):
        made.add_order([(product, 1)], customer_id=customer)
    return made


@pytest.fixture
def company(engine: sa.Engine, clock: FixedClock, shop: SlowShop) -> Iterator[IntegratedCompany]:
    """Dossier 998 with the shop connected."""
    made = IntegratedCompany(engine, clock)
    made.dossier()
    with ExitStack() as stack:
        made.connect_shop(stack.enter_context(WebServer(shop)).url)
        yield made


def count(company: IntegratedCompany, table: str = "hub.order_header") -> int:
    with company.engine.connect() as connection:
        found: int = connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one()
        return found


def wait_for(look: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_the_first_page_is_in_the_tables_before_the_last_one_is_read(company: IntegratedCompany, shop: SlowShop) -> None:
    """The shop gives its last page only after the orders of the first are there."""
    shop.before_last = lambda: wait_for(lambda: count(company) == PAGE)
    done = company.round()["998"]
    assert done.failures == []
    assert count(company) == len(shop.kinds["orders"])
    tally = done.tallies["shop_998", "orders"]
    assert (tally.transformed, tally.changed, tally.rejected, tally.waiting) == (230, 230, 0, 0)
    assert set(company.states()) == {"TRANSFORMED"}
    assert count(company, "hub.order_line") == 230


def test_a_record_whose_parent_is_on_a_later_page_waits_for_it_without_asking(
    company: IntegratedCompany, shop: SlowShop
) -> None:
    """Not one by one: the page with the parent is on its way."""
    root = shop.add_category("the first")
    for number in range(2 * PAGE + 28):
        shop.add_category(f"category {number}", parent=int(root["id"]) + 229)
    shop.add_category("the last, and the parent of all but the first")
    shop.slow_path = CATEGORIES
    shop.before_last = lambda: wait_for(lambda: count(company, "hub.product_category") == 1)
    assert company.round()["998"].failures == []
    assert count(company, "hub.product_category") == 230
    assert shop.log.count("GET", f"{CATEGORIES}/") == 0
    assert {row["state"] for row in company.rows("flow.inbox", entity="category")} == {"TRANSFORMED"}


def test_a_page_with_many_rejects_is_judged_with_all_that_follow_it(company: IntegratedCompany, shop: SlowShop) -> None:
    """Eight of the first hundred are bad, and 3.5 % of all: the stream goes on."""
    bad = list(shop.kinds["orders"])[:8]
    shop.clock.at -= timedelta(days=1)
    for order_id in bad:
        shop.change_order(order_id, total={"amount": "1"})
    shop.clock.at += timedelta(days=1)
    shop.before_last = lambda: time.sleep(1)
    tally = company.round()["998"].tallies["shop_998", "orders"]
    assert (tally.stopped, tally.rejected, tally.transformed) == (None, 8, 222)


def test_what_integrating_meets_beside_the_reading_is_told_and_the_next_round_makes_it_good(
    company: IntegratedCompany, shop: SlowShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERPCRM_FAILPOINT", "integration.before_commit:raise")
    with pytest.raises(FailpointRaised):
        company.round()
    monkeypatch.delenv("ERPCRM_FAILPOINT")
    assert count(company) == 0
    company.pass_time()
    assert company.round(everything=True)["998"].failures == []
    assert count(company) == 230
    assert len(company.rows("flow.inbox", entity="order")) == 230


def test_a_lock_in_the_way_leaves_the_records_to_the_integration_after_the_reading(
    company: IntegratedCompany, shop: SlowShop
) -> None:
    impatient = create_engine(company.engine.url, lock_timeout_s=0.3)
    with company.engine.connect() as locking:
        locking.execute(sa.text("LOCK TABLE hub.order_header IN EXCLUSIVE MODE"))

        def unlock() -> None:
            time.sleep(1)
            locking.rollback()

        shop.before_last = unlock
        done = work_round(impatient, ["998"], Round(company.clock, company.environment))["998"]
    impatient.dispose()
    assert done.failures == []
    assert count(company) == 230
