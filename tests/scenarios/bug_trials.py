"""What brings a seeded bug to light: short stories of a company, each with what is found wrong at its end.

Without any bug every story ends well.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.received import Received, Via
from erpcrm_orchestration.domain.work import ATTEMPTS
from erpcrm_orchestration.store.inbox import Arrival, StreamKey, receive
from tests.scenarios.child_round import go_on, receive_again, wait_until_stopped
from tests.scenarios.crash_harness import STEP, CrashHarness

ORDERS = StreamKey("998", "shop_998", "shop", "orders", "order")
Trial = Callable[[CrashHarness], list[str]]


def account(harness: CrashHarness) -> list[str]:
    """Work in peace until nothing is left to do; return what is lost, doubled or stale."""
    harness.settle()
    found = harness.account()
    return [*found.lost, *found.doubled, *found.stale]


def peaceful(harness: CrashHarness) -> list[str]:
    """Orders come in and are changed; nothing dies and no answer is lost."""
    for number in range(3):
        harness.live()
        harness.work(f"peace-{number}")
    harness.shop.change_order(min(harness.shop.kinds["orders"]), customer_note="once more")
    return account(harness)


def killed_at(*failpoints: str) -> Trial:
    """A round dies at each of these places."""

    def trial(harness: CrashHarness) -> list[str]:
        for failpoint in failpoints:
            harness.live()
            harness.ended(harness.start("killed", f"{failpoint}:kill"))
        return account(harness)

    return trial


def after_a_first_load(story: Trial) -> Trial:
    """The company is read once before: a first load that is killed begins again from the start, whatever its cursor says."""

    def trial(harness: CrashHarness) -> list[str]:
        harness.live()
        harness.work("first")
        return story(harness)

    return trial


def stands_still(harness: CrashHarness) -> list[str]:
    """A run stands still until another has its lease, and comes back."""
    harness.live()
    zombie = harness.start("zombie", "delivery.written:stop")
    wait_until_stopped(zombie)
    harness.company.clock.at += STEP
    harness.work("heir")
    return ["a run that had lost its lease went on writing"] if go_on(zombie) == 0 else account(harness)


def two_at_once(harness: CrashHarness) -> list[str]:
    """A second run begins while the first one lives."""
    harness.live()
    first = harness.start("first", "delivery.claimed:stop")
    wait_until_stopped(first)
    harness.company.clock.at += timedelta(seconds=5)
    second = harness.work("second")
    go_on(first)
    return ["two runs worked on one dossier"] if second else account(harness)


def slow_request(harness: CrashHarness) -> list[str]:
    """A run has a change in its hands for longer than its lease of the dossier, but not longer than a request may take."""
    harness.live()
    slow = harness.start("slow", "delivery.claimed:stop")
    wait_until_stopped(slow)
    harness.company.clock.at += timedelta(seconds=45)
    harness.work("heir")
    states = {row["state"] for row in harness.company.rows("flow.work_item")}
    go_on(slow)
    harness.company.clock.at += STEP
    return account(harness) if "LEASED" in states else ["a change was sent that another process had in its hands"]


def committed_late(harness: CrashHarness) -> list[str]:
    """The shop commits an order with an instant that has been read past."""
    harness.live()
    harness.work("before")
    harness.shop.clock = FixedClock(harness.company.clock.now() - timedelta(seconds=5))
    harness.shop.add_order([(harness.products[0], 1)], customer_id=harness.customer)
    harness.shop.clock = harness.company.clock
    return account(harness)


def clock_goes_back(harness: CrashHarness) -> list[str]:
    """Our clock was two hours ahead and is set right."""
    harness.shop.clock = harness.erp.clock = FixedClock(harness.company.clock.now())
    harness.company.clock.at += timedelta(hours=2)
    harness.work("ahead")
    harness.shop.add_order([(harness.products[0], 1)], customer_id=harness.customer)
    harness.company.clock.at -= timedelta(hours=2) - STEP
    harness.work("right")
    return [] if harness.company.rows("hub.order_header") else ["an order waits for the clock to come round again"]


def late_webhook(harness: CrashHarness) -> list[str]:
    """An old version of an order arrives after its change."""
    harness.live()
    harness.work("first")
    harness.company.clock.at += STEP
    harness.shop.change_order(min(harness.shop.kinds["orders"]), customer_note="changed")
    harness.work("changed")
    receive_again(harness.company.engine, harness.company.clock.now())
    harness.work("late", reading=False)
    return account(harness)


def late_update_of_a_deleted_order(harness: CrashHarness) -> list[str]:
    """A deletion is followed by an update from before it."""
    harness.live()
    harness.work("first")
    now, number = harness.company.clock.now(), min(harness.shop.kinds["orders"])
    harness.company.clock.at += STEP
    for record in (
        Received(str(number), "", now + timedelta(minutes=1), deleted=True),
        Received(str(number), json.dumps(harness.shop.order(number) | {"customer_note": "late"}), now + timedelta(seconds=30)),
    ):
        arrives(harness, record)
        harness.work("webhook", reading=False)
    (row,) = harness.company.rows("hub.order_header")
    return [] if row["deleted_at"] else ["a deleted order is there again"]


def arrives(harness: CrashHarness, record: Received) -> None:
    """Receive a record as a webhook brings it."""
    with harness.company.engine.begin() as connection:
        receive(connection, ORDERS, [record], Arrival(Via.WEBHOOK, harness.company.clock.now()))


def two_changes_in_one_second(harness: CrashHarness) -> list[str]:
    """The shop changes an order twice within a second, and is read in between."""
    harness.live()
    harness.work("first")
    harness.shop.clock = FixedClock(harness.company.clock.now() + timedelta(seconds=30))
    for note in ("one", "two"):
        harness.shop.change_order(min(harness.shop.kinds["orders"]), customer_note=note)
        harness.company.clock.at += timedelta(seconds=61)
        harness.work(note)
    return account(harness)


def shorter_order(harness: CrashHarness) -> list[str]:
    """A line is taken out of an order."""
    made = harness.shop.add_order([(one, 1) for one in harness.products[:2]], customer_id=harness.customer)
    harness.work("two lines")
    harness.company.clock.at += STEP
    harness.shop.change_order(int(made["id"]), lines=[(harness.products[0], 1)])
    harness.work("one line")
    lines = len(harness.company.rows("hub.order_line"))
    return [] if lines == 1 else [f"an order of one line has {lines}"]


def before_its_customer(harness: CrashHarness) -> list[str]:
    """A webhook brings an order of a customer whom nobody has read."""
    made = harness.shop.add_order([], customer_id=harness.customer)
    at = harness.company.clock.now()
    arrives(harness, Received(str(made["id"]), json.dumps(harness.shop.order(int(made["id"]))), at))
    harness.work("webhook", reading=False)
    return [] if harness.company.rows("hub.order_header") else ["an order waits for a customer who is there"]


def of_nobody(harness: CrashHarness) -> list[str]:
    """An order's customer is not known to anybody, for longer than a day."""
    made = harness.shop.add_order([], customer_id=harness.customer)
    content = json.dumps(harness.shop.order(int(made["id"])) | {"customer_id": 4711})
    arrives(harness, Received(str(made["id"]), content, harness.company.clock.now()))
    for number in range(2):
        harness.work(f"webhook-{number}", reading=False)
        harness.company.clock.at += timedelta(hours=25)
    states = harness.company.states(entity="order")
    return [] if states == ["DEAD"] else [f"an order that waits for a day is {states}"]


def same_article(harness: CrashHarness) -> list[str]:
    """Shop and ERP have an article with one number."""
    harness.erp.add_product("SKU-00001", "the ERP's name")
    harness.work("first")
    harness.company.clock.at += STEP
    harness.work("second")
    numbers = Counter(row["sku"] for row in harness.company.rows("hub.product"))
    return [f"article {sku} is {count} rows" for sku, count in numbers.items() if count > 1]


def lost_answer(harness: CrashHarness) -> list[str]:
    """The ERP creates a sale and its answer is lost."""
    harness.erp.faults.arm("lost_answer", times=1, path="/api/v1/orders", method="POST")
    harness.live()
    harness.work("lost")
    return account(harness)


def moved(harness: CrashHarness) -> list[str]:
    """A customer moves; the ERP is told names and numbers of customers only."""
    harness.live()
    harness.settle()
    (before,) = harness.erp.records("customers")
    (customer,) = (harness.shop.kinds["customers"].record(one) for one in harness.shop.kinds["customers"])
    harness.shop.change("customers", customer["id"], billing={**customer["billing"], "city": "Lyon"})
    harness.company.clock.at += STEP
    harness.work("moved", everything=True)
    (address,) = [row["city"] for row in harness.company.rows("hub.address") if row["city"]]
    assert address == "Lyon"
    return [] if harness.erp.records("customers") == [before] else ["the ERP was told again what it was told"]


def refused_for_ever(harness: CrashHarness) -> list[str]:
    """The ERP fails at every attempt."""
    harness.erp.faults.arm("500", times=100, path="/api/v1/orders", method="POST")
    harness.live()
    for number in range(ATTEMPTS + 1):
        harness.work(f"attempt-{number}")
        harness.company.clock.at += STEP
    states = [row["state"] for row in harness.company.rows("flow.work_item", entity="order")]
    return [] if states == ["DEAD"] else [f"after {ATTEMPTS + 1} failures a change is {states}"]


DEATHS: Mapping[str, Trial] = {
    "marked_before_it_is_delivered": killed_at("delivery.marked"),
    "never_looks_before_it_creates": killed_at("delivery.written", "delivery.before_commit"),
    "closed_before_it_is_merged": killed_at("integration.claimed"),
    "told_after_the_commit": killed_at(*["integration.after_commit"] * 4),
}
"""Bugs that need a death; nobody sees them before."""
STORIES: Mapping[str, Trial] = {
    "cursor_moves_before_the_inbox": after_a_first_load(killed_at("poll.cursor_moved.orders", "poll.cursor_moved.orders")),
    "no_fence": stands_still,
    "lease_of_the_living_is_taken": two_at_once,
    "work_of_the_living_is_taken": slow_request,
    "cursor_without_overlap": committed_late,
    "waits_for_the_clock": clock_goes_back,
    "no_version_guard": late_webhook,
    "late_update_brings_back_the_dead": late_update_of_a_deleted_order,
    "rival_is_dropped": two_changes_in_one_second,
    "coalescing_drops_the_newest": peaceful,
    "children_are_merged": shorter_order,
    "nobody_is_woken": before_its_customer,
    "waits_for_ever": of_nobody,
    "same_article_twice": same_article,
    "key_of_every_attempt": lost_answer,
    "doubt_is_forgotten": lost_answer,
    "their_id_is_forgotten": peaceful,
    "no_echo_ledger": moved,
    "attempts_begin_anew": refused_for_ever,
}
BY_KEYS = {"key_of_every_attempt"}
"""Stories of an ERP that knows idempotency keys and cannot be looked into; the others' can only be looked into."""
