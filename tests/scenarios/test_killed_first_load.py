"""A first load of several pages whose processes are killed again and again."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter

import sqlalchemy as sa

from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from tests.integrated_company import IntegratedCompany
from tests.scenarios.child_round import start
from tests.scenarios.crash_harness import NEEDED, SEED, STEP

FAILPOINTS = (
    "poll.after_insert",
    "poll.between_pages",
    "integration.claimed",
    "integration.after_merge",
    "integration.before_commit",
    "integration.after_commit",
)
RANDOM_KILLS = 12
ORDERS = 730
LONGEST_LIFE_S = 1.2


def test_F1_F2_a_killed_first_load_is_made_good_by_the_next_one(engine: sa.Engine, clock: FixedClock) -> None:
    """At each failpoint, and at random instants."""
    chance = random.Random(SEED)  # noqa: S311 - repeatable on purpose
    shop = Shop(clock=clock)
    product = int(shop.add_product("Lamp", "12.50")["id"])
    customer = int(shop.add_customer(email="ana@example.com", first_name="Ana", last_name="Durand")["id"])
    for _ in range(ORDERS):
        shop.add_order([(product, 1), (product, 2)], customer_id=customer)
    company = IntegratedCompany(engine, clock)
    company.dossier()
    url = engine.url.render_as_string(hide_password=False)
    died = 0
    with WebServer(shop) as server:
        company.connect_systems(shop=server.url, outbound=False, of_the_shop=NEEDED)
        for number in range(len(FAILPOINTS) + RANDOM_KILLS):
            point = f"{FAILPOINTS[number]}:kill" if number < len(FAILPOINTS) else ""
            process = start(url, clock.now(), f"run-{number}", company.environment, failpoint=point)
            if not point:
                time.sleep(chance.uniform(0.05, LONGEST_LIFE_S))
                process.kill()
            process.join(60)
            died += process.exitcode == -signal.SIGKILL
            clock.at += STEP
        assert died > len(FAILPOINTS), "no round was killed by chance"
        assert company.round(everything=True)["998"].failures == []
    assert {row["number"] for row in company.rows("hub.order_header")} == {str(one) for one in shop.kinds["orders"]}
    lines = Counter(row["order_id"] for row in company.rows("hub.order_line"))
    assert set(lines.values()) == {2}
    messages = company.rows("flow.inbox", entity="order")
    assert len(messages) == ORDERS
    assert {row["state"] for row in messages} == {"TRANSFORMED"}
