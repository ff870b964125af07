"""The crash harness: a living company whose rounds are killed, and the account of what is there in the end.

Each round something happens in shop and ERP, a process works, and dies: at a named failpoint between two side effects, or at
a random instant. Now and then an answer is lost. After the last death, good rounds follow until nothing is left to do; then
every order of the shop is in our tables as the shop has it, is exactly one sale in the ERP with its lines, and what was
shipped is completed in the shop.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.process import BaseProcess

import sqlalchemy as sa

from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.message import Json
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.services.round import DossierRound
from tests.integrated_company import CONNECTORS, IntegratedCompany
from tests.scenarios.child_round import FAILED, start

FAILPOINTS = (
    "round.before_lease",
    "round.after_lease",
    "poll.after_insert",
    "poll.before_commit",
    "poll.between_pages",
    "integration.claimed",
    "integration.before_merge",
    "integration.after_merge",
    "integration.before_commit",
    "integration.after_commit",
    "delivery.claimed",
    "delivery.written",
    "delivery.before_commit",
    "delivery.settled",
)
"""Between every two side effects of a round. Those of a fetch are met when a parent is missing, see test_kills."""
STEP = timedelta(minutes=21)
"""Longer than any wait of a retry and any lease: what a dead process left is due again."""
GOOD_ROUNDS = 12
NEEDED = ("customers", "products", "orders")
"""What an order needs; reading no more makes a round cheaper."""
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "300"))
"""Rounds that die for every change; `make crash` kills as many as it is told. A round that outlives its kill is one more."""
MOST_ROUNDS = 2
"""So many rounds are begun for one that is to die, at most."""
IN_PEACE = 15
"""Every so many rounds one comes to its end: else what waits to be delivered would grow for ever, and few die delivering."""
SEED = int(os.environ.get("CRASH_SEED", "20261122"))
MOST_LOST = 4
"""After so many attempts no answer is lost: what is given up after the last one is meant to be, and not what is looked for."""
LONGEST_LIFE_S = 0.4
"""Some of the rounds that are killed at a random instant come to their end before."""
DEADLY = {"kill": -signal.SIGKILL, "term": -signal.SIGTERM, "raise": 1}
"""What a failpoint does -> the exit code of a round that died of it."""
ALIVE = (0, FAILED)
"""The exit codes of a round that came to its end, well or with failures that it told."""

FIND = """          find: {path: /api/v1/orders, query: {external_reference: "{number}"}}
          find_records: items
"""


def connectors(*, keys: bool) -> str:
    """Return the demo company's connectors: with an ERP that knows idempotency keys, or one that can only be looked into."""
    text = CONNECTORS.read_text(encoding="utf-8").replace("requests_per_s: 50", "requests_per_s: 1000")
    assert FIND in text
    if keys:
        return text.replace(FIND, "")
    return text.replace("          find_records: items", "          find_records: items\n          idempotency_header: null")


@dataclass
class Account:
    """What a harness run found. All lists are empty when nothing was lost, doubled or left behind."""

    kills: int = 0
    orders: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.stale)


@dataclass
class CrashHarness:
    """A company that lives while its rounds die.

    The seed draws what happens, and when a round is killed. How far it came by then depends on the machine, and what is drawn
    later on that: the same seed begins the same way, and need not end so.
    """

    company: IntegratedCompany
    shop: Shop
    erp: Erp
    seed: int
    bug: str = ""
    kills: int = 0
    rounds: int = 0
    lived: int = 0
    """How often something happened: each time there is one order more."""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - a test's own dice
        customer = self.shop.add_customer(email="ana@example.com", first_name="Ana", last_name="Durand")
        self.customer = int(customer["id"])
        self.products = [int(self.shop.add_product(f"Article {number}", "10.00")["id"]) for number in range(3)]

    def run(self, deaths: int) -> Account:
        """Go on until so many rounds have died, then work in peace and take account."""
        for number in range(deaths * MOST_ROUNDS):
            if self.kills == deaths:
                break
            self.live()
            self.disturb()
            self.die(number)
            if number % IN_PEACE == IN_PEACE - 1:
                self.work(f"peace-{number}")
        self.erp.faults.clear()
        self.shop.faults.clear()
        self.settle()
        return self.account()

    def settle(self) -> None:
        """Work in peace until two rounds in a row found nothing to do."""
        quiet = 0
        for number in range(GOOD_ROUNDS):
            before = self._footprint()
            self.company.clock.at += STEP
            self.work(f"good-{number}")
            quiet = quiet + 1 if self._footprint() == before else 0
            if quiet == 2:
                return

    def _footprint(self) -> tuple[object, ...]:
        """Return what any work would change."""
        with self.company.engine.connect() as connection:
            messages = connection.execute(sa.text("SELECT count(*), sum(length(state)) FROM flow.inbox")).one()
            work = connection.execute(
                sa.text("SELECT count(*), sum(attempts), count(*) FILTER (WHERE closed_at IS NULL) FROM flow.work_item")
            ).one()
        return (*messages, *work, len(self.shop.writes), len(self.erp.orders))

    def live(self) -> None:
        """Let something happen in the shop and in the ERP; now and then an answer is lost."""
        self.company.clock.at += STEP
        self.lived += 1
        lines = [(self.chance.choice(self.products), self.chance.randint(1, 3))]
        self.shop.add_order(lines, customer_id=self.customer)
        orders = list(self.shop.kinds["orders"])
        if self.chance.random() < 0.5:
            self.shop.change_order(self.chance.choice(orders), customer_note=f"note {self.chance.random():.6f}")
        waiting = [sale for sale in self.erp.orders if sale["shipment_state"] == "waiting"]
        if waiting and self.chance.random() < 0.5:
            self.erp.ship(self.chance.choice(waiting)["id"])

    def disturb(self) -> None:
        """Let an answer of the ERP be lost, or the shop be out of order, now and then."""
        lose = self.chance.random() < 0.2
        if lose and not self.erp.faults.armed() and self._tried() < MOST_LOST:
            self.erp.faults.arm("lost_answer", times=1, path="/api/v1/", method="POST")
        if self.chance.random() < 0.1:
            self.shop.faults.arm("500", times=1, path="/wp-json/wc/v3/orders")

    def _tried(self) -> int:
        """Return how often the change was tried that needs most attempts."""
        most = sa.text("SELECT coalesce(max(attempts), 0) FROM flow.work_item WHERE closed_at IS NULL")
        with self.company.engine.connect() as connection:
            return int(connection.scalar(most) or 0)

    def die(self, number: int) -> None:
        """Start a round and end it: half of them at a failpoint, half at a random instant; some come to their end before."""
        action = "kill"
        if self.chance.random() < 0.5:
            action = self.chance.choice(("kill", "kill", "term", "raise"))
            process = self.start(f"run-{number}", f"{self.chance.choice(FAILPOINTS)}:{action}")
        else:
            process = self.start(f"run-{number}")
            time.sleep(self.chance.uniform(0.0, LONGEST_LIFE_S))
            process.kill()
        code = self.ended(process)
        assert code in (*ALIVE, DEADLY[action]), f"seed {self.seed}: round {number} ended by itself with {code}"
        self.kills += code == DEADLY[action]

    def account(self) -> Account:
        """Compare what is there with what happened."""
        found = Account(kills=self.kills, orders=len(self.shop.kinds["orders"]))
        headers = {row["number"]: row for row in self.company.rows("hub.order_header")}
        sales, notes = self._sales(), self._notes()
        shipped = {str(one["external_reference"]) for one in self.erp.orders if one["shipment_state"] == "shipped"}
        for order_id in self.shop.kinds["orders"]:
            order = self.shop.order(order_id)
            number = str(order["number"])
            if number not in headers:
                found.lost.append(f"order {number} is not in the tables")
                continue
            found.stale += self._stale(order, headers[number])
            if not sales[number]:
                found.lost.append(f"order {number} is not in the ERP")
            if len(sales[number]) > 1:
                found.doubled.append(f"order {number} is {len(sales[number])} sales in the ERP")
            found.stale += [wrong for sale in sales[number] for wrong in _unlike(order, sale, notes[number])]
            if number in shipped and order["status"] != "completed":
                found.stale.append(f"order {number} is shipped, and {order['status']} in the shop")
        if len(headers) != len(self.company.rows("hub.order_header")):
            found.doubled.append("an order is two rows")
        customers = len(self.erp.records("customers"))
        if customers > 1:
            found.doubled.append(f"the customer is {customers} in the ERP")
        products = Counter(str(one["sku"]) for one in self.erp.records("products"))
        found.doubled += [f"product {sku} is {count} in the ERP" for sku, count in products.items() if count > 1]
        found.doubled += self._told_twice()
        found.stale += self._went_back()
        found.lost += self._given_up()
        return found

    def _sales(self) -> Mapping[str, list[Json]]:
        """Return number of an order -> the sales that the ERP made of it."""
        found: dict[str, list[Json]] = defaultdict(list)
        for sale in self.erp.orders:
            found[str(sale["external_reference"])].append(sale)
        return found

    def _notes(self) -> Mapping[str, set[str]]:
        """Return number of an order -> the notes of all its versions that came to us."""
        found: dict[str, set[str]] = defaultdict(set)
        for row in self.company.rows("flow.inbox", system_code="shop", entity="order", deleted=False):
            version = json.loads(row["payload"])
            found[str(version["number"])].add(version["customer_note"])
        return found

    def _stale(self, order: dict[str, object], header: object) -> list[str]:
        row = dict(header)  # type: ignore[call-overload]
        told = {"total": str(row["total"]), "status": row["status"], "note": row["customer_note"] or ""}
        holds = {"total": order["total"], "status": order["status"], "note": order["customer_note"] or ""}
        return [] if told == holds else [f"order {order['number']}: we hold {told}, the shop {holds}"]

    def _went_back(self) -> list[str]:
        """Return the records of which an older version was integrated after a newer one, even if that was put right later."""
        with self.company.engine.connect() as connection:
            rows = connection.execute(
                sa.text(
                    "SELECT DISTINCT late.source_id FROM flow.inbox late JOIN flow.inbox newer"
                    " ON newer.dossier_code = late.dossier_code AND newer.system_code = late.system_code"
                    " AND newer.entity = late.entity AND newer.source_id = late.source_id"
                    " AND newer.message_id < late.message_id AND newer.version_at > late.version_at"
                    " WHERE late.state = 'TRANSFORMED'"
                )
            )
            return [f"{row.source_id} went back to an older version" for row in rows]

    def _given_up(self) -> list[str]:
        """Return what was given up, or waits still, and why: no fault lasts so long that a person would be needed."""
        with self.company.engine.connect() as connection:
            rows = connection.execute(
                sa.text(
                    "SELECT entity, source_id AS record, state, coalesce(error, waiting_for) AS why FROM flow.inbox"
                    " WHERE state IN ('NEW', 'WAITING', 'REJECTED', 'DEAD')"
                    " UNION ALL SELECT entity, record_id::text, state, last_error FROM flow.work_item"
                    " WHERE state IN ('QUEUED', 'LEASED', 'RETRY', 'DEAD', 'CONFLICT')"
                )
            )
            return [f"{row.entity} {row.record} is {row.state}: {row.why}" for row in rows]

    def _told_twice(self) -> list[str]:
        """Return the orders that the shop was told to complete more often than was tried.

        One of which a process died after it was told and before it could say so is told once more: its change is in doubt.
        """
        puts = Counter(path for method, path, body in self.shop.writes if method == "PUT" and body.get("status") == "completed")
        with self.company.engine.connect() as connection:
            attempts = dict(
                connection.execute(
                    sa.text(
                        "SELECT x.external_id, CASE WHEN bool_or(w.in_doubt) THEN 1000000 ELSE sum(w.attempts) END"
                        " FROM flow.work_item w JOIN hub.cross_reference x"
                        " ON x.dossier_code = w.dossier_code AND x.system_code = w.system_code AND x.entity = w.entity"
                        " AND x.record_id = w.record_id WHERE w.system_code = 'shop' AND w.event = 'outbound'"
                        " GROUP BY x.external_id"
                    )
                )
                .tuples()
                .all()
            )
        return [
            f"{path} was told {count} times in {attempts.get(path.rpartition('/')[2], 0)} attempts"
            for path, count in puts.items()
            if count > attempts.get(path.rpartition("/")[2], 0)
        ]

    def work(self, run_id: str, **job: bool) -> DossierRound | None:
        """Do a round in this process; return what it did, or None when another run has the dossier."""
        self.rounds += 1
        return self.company.round(run_id=run_id, **job).get("998")

    def start(self, run_id: str, failpoint: str = "") -> BaseProcess:
        """Begin a round in a process of its own."""
        url = self.company.engine.url.render_as_string(hide_password=False)
        self.rounds += 1
        return start(
            url, self.company.clock.now(), run_id, self.company.environment, failpoint=failpoint, bug=self.bug,
            stray=self.chance.random() < 0.2,
        )  # fmt: skip

    def ended(self, process: BaseProcess) -> int | None:
        """Wait for the end of a round; return its exit code."""
        process.join(60)
        return process.exitcode


def _unlike(order: Json, sale: Json, notes: set[str]) -> list[str]:
    """Return in what a sale differs from its order: its articles, and its note, which is told with the creation alone."""
    wanted, sold = (Counter((one["sku"], one["quantity"]) for one in rows) for rows in (order["line_items"], sale["lines"]))
    found = [f"order {order['number']} has {dict(wanted)}, its sale {dict(sold)}"] if wanted != sold else []
    note = sale["note"] or ""
    return found if note in notes else [*found, f"the sale of order {order['number']} has a note that it never had: {note}"]


@contextmanager
def crashing_company(
    engine: sa.Engine, clock: FixedClock, seed: int, *, keys: bool, of_the_shop: tuple[str, ...] = ()
) -> Iterator[CrashHarness]:
    """Shop and ERP of dossier 998. `keys`: the ERP knows idempotency keys, or it can be looked into: never both.

    `of_the_shop` are the kinds of record that are read there, all when none is named.
    """
    shop, erp = Shop(clock=clock), Erp(clock=clock)
    company = IntegratedCompany(engine, clock)
    company.dossier()
    with ExitStack() as stack:
        urls = {name: stack.enter_context(WebServer(one)).url for name, one in (("shop", shop), ("erp", erp))}
        company.connect_systems(**urls, of_the_shop=of_the_shop)
        company.connect(connectors(keys=keys))
        yield CrashHarness(company, shop, erp, seed)


def killed_rounds_are_made_good(harness: CrashHarness, deaths: int) -> None:
    """Let so many rounds die; nothing may be lost, doubled or left behind. The seed stands in the failure."""
    account = harness.run(deaths)
    assert account.is_clean, f"seed {harness.seed}: {account}"
    assert account.kills == deaths, f"seed {harness.seed}: of {harness.lived} rounds only {account.kills} died, not {deaths}"
    assert account.orders == harness.lived
