"""Orders flow from a shop into an ERP through a deployment that really runs, while its supervision is watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock, SystemClock
from erpcrm_orchestration.domain.configuration import MailSettings
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.ledger import request_refresh
from tests.company import Company
from tests.integrated_company import CONNECTORS, SECRETS, IntegratedCompany
from tests.mailbox import Mailbox

SMALLEST_PORTION, PORTIONS = 250, 10
SECONDS_FOR_AN_ORDER = 1.0
"""More than any machine needs; the patience grows with the number of orders."""
LATE = "777"
MEMBERS = ("anne@meridian.example", "paul@meridian.example")
CONNECTION = """
  {system}_998:
    {{dossier: "998", system: {system}, connector: {system}, url: "{url}", poll_interval_s: 5, outbound_enabled: true,
      credentials: {secrets}}}
"""


@dataclass
class Figures:
    """What a flow showed. `worst_age_s`: the greatest age of a state that is to be refreshed every minute, while it lasted."""

    orders: int
    seconds: float
    worst_age_s: float

    def __str__(self) -> str:
        return (
            f"{self.orders:,} orders in {self.seconds:.0f} s, {self.orders / self.seconds:.1f} a second;"
            f" no state older than {self.worst_age_s:.0f} s"
        )


class Flow:
    """A shop that takes orders and an ERP that gets them, both connected to dossier 998."""

    def __init__(self, company: Company, swept: tuple[str, ...], stack: ExitStack) -> None:
        self.company, self.swept, self.stopped = company, swept, threading.Event()
        self.shop, self.erp = Shop(clock=SystemClock()), Erp(clock=SystemClock())
        self.customer = int(self.shop.add_customer(email="ana@example.com", first_name="Ana", last_name="Durand")["id"])
        self.products = [int(self.shop.add_product(f"Article {number}", "10.00")["id"]) for number in range(20)]
        urls = {name: stack.enter_context(WebServer(one)).url for name, one in (("shop", self.shop), ("erp", self.erp))}
        lines = [CONNECTION.format(system=name, url=url, secrets=SECRETS[name]) for name, url in urls.items()]
        connectors = CONNECTORS.read_text(encoding="utf-8").replace("requests_per_s: 50", "requests_per_s: 1000")
        clock = FixedClock(datetime.now(UTC))
        IntegratedCompany(company.engine, clock).connect(f"{connectors}\nconnections:{''.join(lines)}")

    def run(self, orders: int) -> Figures:
        """Let the shop take so many orders in portions; return when the ERP has acknowledged the last one."""
        begin, worst = time.monotonic(), 0.0
        feeder = threading.Thread(target=self._feed, args=(orders,), daemon=True)
        feeder.start()
        try:
            while (done := self.delivered()) < orders:
                taken = time.monotonic() - begin
                assert taken < 120 + orders * SECONDS_FOR_AN_ORDER, f"{done} of {orders} orders after {taken:.0f} s"
                worst = max(worst, self.age_s())
                time.sleep(0.5)
        finally:
            self.stopped.set()
            feeder.join()
        return Figures(orders, time.monotonic() - begin, worst)

    def _feed(self, orders: int) -> None:
        """Half of a portion is through before the next one comes, so that reading, integrating and delivering overlap."""
        portion = max(SMALLEST_PORTION, orders // PORTIONS)
        for number in range(orders):
            lines = [(self.products[(number + at) % len(self.products)], 1 + at) for at in range(3)]
            self.shop.add_order(lines, customer_id=self.customer)
            if (number + 1) % portion == 0:
                while self.delivered() < number + 1 - portion // 2:
                    if self.stopped.wait(0.5):
                        return

    def delivered(self) -> int:
        """Return how many orders the ERP has acknowledged."""
        statement = "SELECT count(*) FROM flow.work_item WHERE entity = 'order' AND system_code = 'erp' AND state = 'DONE'"
        with self.company.engine.connect() as connection:
            return int(connection.scalar(sa.text(statement)) or 0)

    def age_s(self) -> float:
        """Return the age of the oldest state of the dossiers that are due every minute."""
        refreshed = [self.company.state(code).last_refreshed_at for code in self.swept]
        return (datetime.now(UTC) - min(refreshed)).total_seconds()


@contextmanager
def flowing(company: Company, swept: tuple[str, ...]) -> Iterator[Flow]:
    """A flow that has not begun."""
    with ExitStack() as stack:
        yield Flow(company, swept, stack)


def add_late_dossier(company: Company, mailbox: Mailbox, process: dict[str, object]) -> None:
    """Add a dossier that did not synchronise for two hours; its alert goes to two members."""
    now = datetime.now(UTC)
    company.general(mail=MailSettings(host="127.0.0.1", port=str(mailbox.port), administrator="admin@meridian.example"))
    company.mail_group(*MEMBERS, code="flow", aliases=())
    company.dossier(LATE, interval=720, process={**process, "mail_group": "flow"}, time_zone="UTC")
    company.log(LATE, now - timedelta(hours=2))
    with company.engine.begin() as connection:
        request_refresh(connection, [LATE], by="test", notify=True, now=now)


def ledger_of(company: Company, code: str) -> list[sa.Row[tuple[object, ...]]]:
    """Return the ledger rows of a dossier in their order."""
    return sorted((row for row in company.rows(schema.tick) if row.dossier_code == code), key=lambda row: row.due_at)
