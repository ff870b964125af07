"""Servers of execution orders as queues of Celery: a real broker, a worker for each queue, the daemon that asks for runs."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml

from erpcrm_orchestration.cli.deployment import DAGSTER_SETTINGS, Deployment
from erpcrm_orchestration.cli.processes import Child, Group
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.routine import NewOrder, Order, OrderState
from erpcrm_orchestration.domain.routine_settings import Server
from erpcrm_orchestration.services.order import details, schedule
from erpcrm_orchestration.store.databases import ensure_database
from erpcrm_orchestration.store.engine import VARIABLE
from tests.company import Company
from tests.routine_company import RoutineCompany
from tests.scenarios.running_deployment import wait_for

REDIS = shutil.which("redis-server")
DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "servers-on-celery.md"
QUEUES = {"day": "998", "night": "997"}
"""Server, which is its queue too -> the dossier of its order."""
PATIENCE_S = 120

pytestmark = [pytest.mark.slow, pytest.mark.skipif(REDIS is None, reason="redis-server is not installed")]


def written(folder: Path, name: str) -> Path:
    """Write a file of the documentation as it stands there."""
    text = DOCUMENT.read_text(encoding="utf-8").partition(f"```yaml {name}\n")[2].partition("```")[0]
    assert yaml.safe_load(text)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short enough for the paths of sockets."""
    with TemporaryDirectory(prefix="erpcrm-celery-") as made:
        yield Path(made)


@pytest.fixture
def deployment(folder: Path, database_url: sa.URL, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A deployment whose runs are launched by Celery, with the files of the documentation."""
    broker = f"redis+socket://{folder / 'broker.sock'}"
    monkeypatch.setenv("CELERY_BROKER", broker)
    monkeypatch.setenv("CELERY_RESULTS", broker)
    monkeypatch.setenv(DAGSTER_SETTINGS, str(written(folder, "dagster-celery.yaml")))
    made = Deployment(folder, database_url, 0)
    made.write_files()
    ensure_database(made.dagster_database)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(VARIABLE, database_url.render_as_string(hide_password=False))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return made


@pytest.fixture
def company(engine: sa.Engine) -> RoutineCompany:
    """Two dossiers that are not due themselves, each with an account, and the two servers with their tags."""
    made = RoutineCompany(engine, FixedClock(datetime.now(UTC)))
    another_day = {"days": [(made.clock.at.isoweekday() + 2) % 7 + 1]}
    for code in QUEUES.values():
        Company(engine, made.clock).dossier(code, process=another_day, time_zone="UTC")
        made.account("K1", dossier=code)
    made.configure("servers", *(Server(code, tags={"dagster-celery/queue": code}) for code in QUEUES))
    return made


@dataclass
class Cluster:
    """A broker, a worker for each queue, the code server and the daemon; they end with their group."""

    folder: Path
    group: Group
    workers: dict[str, Child] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str]) -> Child:
        """Start a program; the broker ends after those that need it."""
        child = Child(name, command, dict(os.environ), self.folder / f"{name}.log", answers=name != "redis")
        child.start()
        self.group.children.append(child)
        return child

    def start_worker(self, queue: str) -> None:
        """Start the worker of a queue as the documentation says."""
        command = (sys.executable, "-m", "dagster_celery.cli", "worker", "start", "-A", "dagster_celery.app")
        settings = str(written(self.folder, "celery-worker.yaml"))
        self.workers[queue] = self.start(queue, [*command, "-y", settings, "-q", queue, "-n", queue, "--", "--concurrency=1"])

    def session_of(self, queue: str) -> int:
        """Return the session of a worker, to which its processes belong."""
        process = self.workers[queue].process
        assert process is not None
        return process.pid


@pytest.fixture
def cluster(folder: Path, deployment: Deployment) -> Iterator[Cluster]:
    """Everything that runs."""
    with dg.DagsterInstance.from_config(str(deployment.dagster_home)) as instance, Group([]) as group:
        assert type(instance.run_launcher).__name__ == "WatchedCeleryRunLauncher"
        made = Cluster(folder, group)
        socket = folder / "broker.sock"
        made.start("redis", [str(REDIS), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)])
        wait_for(socket.exists, PATIENCE_S, "the broker listens")
        for queue in QUEUES:
            made.start_worker(queue)
        code_server, daemon = deployment.children()[:2]
        made.start("code-server", code_server.command)
        wait_for(deployment.code_socket.exists, PATIENCE_S, "the code server listens")
        made.start("daemon", daemon.command)
        # The workers may come later than the orders: what they are asked waits in their queues.
        yield made


def process_of(order: Order, home: Path) -> int:
    """Return the process that Dagster says executed the run of an order."""
    assert order.run_id is not None
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for event in instance.all_logs(order.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            assert event.dagster_event is not None
            pid = event.dagster_event.engine_event_data.metadata.get("pid")
            if pid is not None:
                return int(str(pid.value))
    raise AssertionError(f"run {order.run_id} names no process")


def test_each_order_is_executed_by_the_worker_of_its_servers_queue_and_by_the_next_one_when_that_is_gone(
    company: RoutineCompany, deployment: Deployment, cluster: Cluster
) -> None:
    """E3: an order runs on its server, which is a queue of Celery here. F8: a worker that was killed is noticed."""
    home = deployment.dagster_home
    numbers = {server: ordered(company, dossier, server) for server, dossier in QUEUES.items()}
    for server, number in numbers.items():
        done = wait_for(lambda: ended(company, number), PATIENCE_S, f"the order of {server} ends")  # noqa: B023
        assert (done.state, done.counts.considered, done.attempt) == (OrderState.DONE, 1, 1)
        assert os.getsid(process_of(done, home)) == cluster.session_of(server)

    with company.engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE automation.account_complement IN EXCLUSIVE MODE"))
        company.settled("998")
        number = ordered(company, "998", "night", "account_complement")
        wait_for(lambda: company.state(number) is OrderState.RUNNING, PATIENCE_S, "the order runs")
        cluster.workers["night"].signal_groups(signal.SIGKILL)
    cluster.start_worker("night")
    done = wait_for(lambda: ended(company, number), PATIENCE_S, "the order ends in its second run")
    assert (done.state, done.counts.considered, done.attempt) == (OrderState.DONE, 1, 2)
    assert os.getsid(process_of(done, home)) == cluster.session_of("night")


def ordered(company: RoutineCompany, dossier: str, server: str, program: str = "account_status") -> int:
    """Schedule an order for now; return its number."""
    new = NewOrder(dossier, program, "maria", server_code=server, summary=False)
    return schedule(company.engine, new, clock=FixedClock(datetime.now(UTC)))


def ended(company: RoutineCompany, number: int) -> Order | None:
    order, _ = details(company.engine, number)
    return order if order.ended_at else None
