"""Q6: how long a new record takes from the source to the destination, in a deployment that really runs.

Ours: the shop tells of an order by webhook, the sensor asks for a run, the run creates the sale in the ERP, and its answer is
committed. The floor: a file appears, a sensor with the same interval asks for an empty run, the run says that it was here.
Both deployments run all the time and are measured in turns, at random instants of the interval.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa
import yaml

from benchmarks.measure import Ratio, fresh_database, seconds
from benchmarks.requested import FOLDER, INTERVAL_S
from erpcrm_orchestration.config.folder import read_text
from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.store import configuration_write as write
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.databases import ensure_database
from erpcrm_orchestration.store.engine import VARIABLE

PATIENCE_S = 180
CREDENTIALS = {"SHOP_KEY": "ck_demo", "SHOP_SECRET": "cs_demo", "ERP_KEY": "erp_demo", "SHOP_WEBHOOK": "told"}
CONNECTORS = Path(__file__).parent.parent / "config" / "connectors.yaml"
CONNECTIONS = """
connections:
  shop_998: {{dossier: "998", system: shop, connector: shop, url: "{shop}", poll_interval_s: 3600, outbound_enabled: true,
    webhook_secret: "${{env:SHOP_WEBHOOK}}", credentials: {{key: "${{env:SHOP_KEY}}", secret: "${{env:SHOP_SECRET}}"}}}}
  erp_998: {{dossier: "998", system: erp, connector: erp, url: "{erp}", poll_interval_s: 3600, outbound_enabled: true,
    credentials: {{api_key: "${{env:ERP_KEY}}"}}}}
"""


@dataclass
class World:
    """Shop, ERP and our database, while `erpcrm up` runs."""

    engine: sa.Engine
    shop: Shop
    erp: Erp
    customer: int
    product: int

    def one_order(self) -> None:
        """Let the shop take an order; return when the ERP has it and we have its answer."""
        self.shop.add_order([(self.product, 1)], customer_id=self.customer)
        wait_for(lambda: self.delivered() == len(self.shop.kinds["orders"]), "the ERP acknowledges the order")
        assert len(self.erp.orders) == len(self.shop.kinds["orders"])

    def delivered(self) -> int:
        """Return how many orders the ERP has acknowledged."""
        statement = "SELECT count(*) FROM flow.work_item WHERE entity = 'order' AND system_code = 'erp' AND state = 'DONE'"
        with self.engine.connect() as connection:
            found: int = connection.scalar(sa.text(statement)) or 0
            return found


def wait_for(is_so: Callable[[], bool], what: str) -> None:
    """Return when it is so; fail when it takes too long."""
    limit = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < limit, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.02)


@contextmanager
def started(commands: list[list[str]], environment: Mapping[str, str], log: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run programs for the block, each ended with all that it started."""
    with log.open("ab") as output, ExitStack() as stack:
        programs = []
        for arguments in commands:
            program = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", *arguments],
                env=dict(environment), stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
            stack.callback(_end, program)
            programs.append(program)
        yield programs


def _end(program: subprocess.Popen[bytes]) -> None:
    if program.poll() is None:
        program.send_signal(signal.SIGTERM)
        try:
            program.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()


@contextmanager
def ours(engine: sa.Engine, folder: Path) -> Iterator[World]:
    """`erpcrm up` with a shop that sends webhooks and an ERP; yields when the first order has gone through."""
    clock = SystemClock()
    shop, erp = Shop(clock=clock), Erp(clock=clock)
    customer = int(shop.add_customer(email="ana@example.com", first_name="Ana", last_name="Durand")["id"])
    product = int(shop.add_product("Article", "10.00")["id"])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with WebServer(shop) as shop_at, WebServer(erp) as erp_at:
        _connect(engine, shop_at.url, erp_at.url)
        home, log = folder / "home", folder / "up.log"
        environment = {
            **os.environ, **CREDENTIALS, "ERPCRM_HOME": str(home), "ERPCRM_WEBHOOK_PORT": str(port),
            VARIABLE: engine.url.render_as_string(hide_password=False),
        }  # fmt: skip
        with started([["erpcrm_orchestration.cli.main", "up", "--port", "0"]], environment, log):
            wait_for(lambda: "Ctrl-C" in log.read_text(encoding="utf-8"), "erpcrm up")
            receiver = home / "logs" / "webhooks.log"
            wait_for(lambda: receiver.exists() and "/webhooks/" in receiver.read_text(encoding="utf-8"), "the receiver")
            world = World(engine, shop, erp, customer, product)
            world.one_order()
            for topic in ("order.created", "order.updated"):
                shop.add_webhook(topic, f"http://127.0.0.1:{port}/webhooks/shop_998", CREDENTIALS["SHOP_WEBHOOK"])
            yield world


def _connect(engine: sa.Engine, shop: str, erp: str) -> None:
    now = SystemClock().now()
    reading = read_text(CONNECTORS.read_text(encoding="utf-8") + CONNECTIONS.format(shop=shop, erp=erp))
    assert not reading.faults, reading.faults
    with engine.begin() as connection:
        connection.execute(
            sa.insert(schema.dossier).values(
                dossier_code="998", crm_project_code="CRM", activated_at=now, created_at=now, updated_at=now
            )
        )
        write.write_connectors(connection, reading.configuration.connectors, now=now)
        write.write_connections(connection, reading.configuration.connections, now=now)


@contextmanager
def floor(engine: sa.Engine, folder: Path) -> Iterator[Callable[[], None]]:
    """A code server and a daemon set up as ours are; yields what makes one request and waits for its answer."""
    home, requests, code_socket = folder / "floor", folder / "requests", folder / "code.sock"
    for one in (home, requests):
        one.mkdir()
    settings = files("erpcrm_orchestration.deploy").joinpath("dagster.yaml").read_text(encoding="utf-8")
    (home / "dagster.yaml").write_text(settings, encoding="utf-8")
    location = {"grpc_server": {"socket": str(code_socket), "location_name": "benchmarks.requested"}}
    (home / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [location]}), encoding="utf-8")
    storage = engine.url.set(database="floor_dagster")
    ensure_database(storage)
    environment = {
        **os.environ, "DAGSTER_HOME": str(home), FOLDER: str(requests),
        "DAGSTER_PG_URL": storage.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False),
    }  # fmt: skip
    server = ["dagster", "api", "grpc", "-m", "benchmarks.requested", "-a", "defs", "--socket", str(code_socket)]
    numbers = iter(range(10_000))

    def one_request() -> None:
        name = f"{next(numbers):04}"
        Path(requests, f"{name}.asked").touch()
        wait_for(Path(requests, f"{name}.done").exists, "the empty run")

    with started([server], environment, folder / "floor.log"):
        wait_for(code_socket.exists, "the code server")
        daemon = ["dagster._daemon", "run", "-w", str(home / "workspace.yaml")]
        with started([daemon], environment, folder / "floor.log"):
            one_request()
            yield one_request


def run(*, full: bool) -> list[Ratio]:
    """10 orders when full, 4 otherwise; of so few p95 lies between the two slowest."""
    count = 10 if full else 4
    chance = random.Random(1)  # noqa: S311 - repeatable on purpose
    mine, theirs = [], []
    with ExitStack() as stack:
        engine = stack.enter_context(fresh_database())
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="erpcrm-bench-q6-")))
        request = stack.enter_context(floor(engine, folder))
        world = stack.enter_context(ours(engine, folder))
        for _ in range(count):
            for work, taken in ((request, theirs), (world.one_order, mine)):
                time.sleep(chance.uniform(0, INTERVAL_S))
                taken.append(seconds(work))
    ratios = sorted(a / b for a, b in zip(mine, theirs, strict=True))
    spread = ratios[-1] - ratios[0]
    work = f"new order until the ERP has acknowledged it, {count} of them, against an empty run"
    return [
        Ratio("Q6", f"{work}, p50", statistics.median(mine), statistics.median(theirs), 1.5, spread),
        Ratio("Q6", f"{work}, p95", _p95(mine), _p95(theirs), 1.5, spread),
    ]


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20, method="inclusive")[-1]
