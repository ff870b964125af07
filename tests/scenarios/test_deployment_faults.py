"""A deployment that really runs: what it does when its processes are killed, asked twice, or flooded with orders."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.schedule import Window, ticks_between
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.engine import create_engine
from erpcrm_orchestration.store.ledger import request_refresh
from tests.company import Company
from tests.mailbox import running_mailbox
from tests.scenarios.deployed_company import (
    EVERY_MINUTE,
    PASSWORD,
    SWEPT,
    found_company,
    states_locked,
    waiting_refreshes,
)
from tests.scenarios.orders_flow import LATE, MEMBERS, add_late_dossier, flowing, ledger_of
from tests.scenarios.running_deployment import BUSY, RunningDeployment, clean_environment, processes_of, wait_for

pytestmark = pytest.mark.slow

ORDERS = int(os.environ.get("FLOW_ORDERS", "8"))
OLDEST_S = 150
"""A state that is due every minute: the minute, a tick of the sensor, and a run on a busy machine."""


def lease_holders(company: Company) -> set[str]:
    return {row.holder for row in company.rows(schema.lease) if row.holder}


def test_F35_a_second_up_on_the_same_database_is_refused_with_pid_and_host_of_the_first(
    deployed: Company, deployment: RunningDeployment
) -> None:
    assert deployment.process is not None
    refused = deployment.command("up", "--port", "0")
    assert refused.returncode == 2
    assert refused.stderr == (
        f"E-CLI-060 database {deployed.engine.url.database}: a daemon runs already: "
        f"erpcrm up pid {deployment.process.pid} host {socket.gethostname()}; use that one, or stop it first\n"
    )


def owed_ticks(company: Company) -> set[tuple[str, datetime]]:
    """Return dossier and instant of the ticks whose run has not closed them."""
    return {(row.dossier_code, row.due_at) for row in company.rows(schema.tick) if row.state == "REQUESTED"}


def test_F8_the_work_of_a_worker_that_was_killed_with_its_code_server_is_redone(
    deployed: Company, deployment: RunningDeployment
) -> None:
    """The run is marked as failed, the leases are freed, the ticks are requested again and end as RAN."""
    with states_locked(deployed):
        wait_for(lambda: waiting_refreshes(deployed) and owed_ticks(deployed), 90, "a sweep is in the middle")
        (holder,) = lease_holders(deployed)
        code_server = deployment.code_server()
        owed = owed_ticks(deployed)
        os.killpg(code_server, signal.SIGKILL)
        killed = time.monotonic()
        wait_for(
            lambda: [run for run in deployment.runs() if run["runId"] == holder and run["status"] == "FAILURE"],
            20,
            "the run is marked as failed",
        )
        noticed = time.monotonic() - killed
    wait_for(lambda: holder not in lease_holders(deployed), 60, "the lease is freed")

    def redone() -> bool:
        return {row.state for row in deployed.rows(schema.tick) if (row.dossier_code, row.due_at) in owed} == {"RAN"}

    wait_for(redone, 60, "the ticks that were owed ran")
    done = time.monotonic() - killed
    assert noticed < BUSY * 10
    assert done < BUSY * 60
    assert deployment.code_server() != code_server
    assert "code-server: had ended, started again" in deployment.output.read_text(encoding="utf-8")
    assert any(row.attempt == 2 for row in deployed.rows(schema.tick))


def test_orders_flow_while_every_tick_is_accounted_for_states_are_refreshed_in_time_and_an_alert_is_mailed_once(
    deployed: Company, deployment: RunningDeployment, request: pytest.FixtureRequest
) -> None:
    """P3 P7: the integration keeps the supervision from nothing. FLOW_ORDERS=10000 makes it long."""
    began = datetime.now(UTC)
    with running_mailbox() as mailbox, flowing(deployed, SWEPT) as flow:
        add_late_dossier(deployed, mailbox, EVERY_MINUTE)
        figures = flow.run(ORDERS)
        wait_for(lambda: [one for one in mailbox.received if LATE in one.subject], 90, "the alert is mailed")
        ended = datetime.now(UTC)
        mailed = [address for one in mailbox.received if LATE in one.subject for address in one.recipients]
    assert sorted(mailed) == sorted(MEMBERS), "each member once, however many ticks found it late"
    assert figures.worst_age_s < OLDEST_S
    assert len(flow.erp.orders) == ORDERS
    waited = []
    for code in SWEPT:
        window = Window(tuple(EVERY_MINUTE["days"]), EVERY_MINUTE["start"], 1439, 1, "UTC")
        rows = [row for row in ledger_of(deployed, code) if row.due_at <= ended - timedelta(seconds=20)]
        assert [row.due_at for row in rows] == ticks_between(window, deployed.clock.at, rows[-1].due_at)
        assert rows[-1].due_at > ended - timedelta(seconds=100)
        assert {row.state for row in rows} <= {"RAN", "REQUESTED", "SKIPPED"}
        waited += [(row.closed_at - row.due_at).total_seconds() for row in rows if row.due_at > began and row.state == "RAN"]
    request.node.user_properties += [
        ("flow", str(figures)),
        ("ticks", len(waited)),
        ("slowest tick, s", max(waited, default=0)),
    ]
    assert max(waited, default=0) < OLDEST_S


def test_P8_the_password_stands_in_no_argument_no_log_and_nowhere_in_dagsters_storage(
    deployed: Company, deployment: RunningDeployment
) -> None:
    running = processes_of(deployment.home)
    assert len(running) >= 4
    assert [one.command for one in running if PASSWORD in one.command] == []
    files = [deployment.output, *(file for file in deployment.home.rglob("*") if file.is_file())]
    assert any(file.name == "daemon.log" for file in files)
    assert [file for file in files if PASSWORD.encode() in file.read_bytes()] == []
    dagster = create_engine(deployed.engine.url.set(database=f"{deployed.engine.url.database}_dagster"))
    with dagster.connect() as connection:
        for table, column in (("event_logs", "event"), ("runs", "run_body"), ("job_ticks", "tick_body")):
            told = sa.text(f"SELECT count(*) FROM {table} WHERE {column} LIKE :canary")
            assert connection.execute(told, {"canary": f"%{PASSWORD}%"}).scalar_one() == 0
    dagster.dispose()


def test_F9_SIGTERM_stops_everything_and_frees_the_leases_and_a_second_start_goes_on(tmp_path: Path) -> None:
    """On the embedded server, which stops too; a refresh is in the middle when the signal comes."""
    home = tmp_path / "home"
    deployment = RunningDeployment(home, clean_environment(home))
    server = EmbeddedServer(home / "postgres")
    engine = create_engine(server.url("erpcrm"))
    try:
        deployment.start(ERPCRM_FAILPOINT="refresh_after_lease:sleep")
        company = found_company(engine)
        with engine.begin() as connection:
            request_refresh(connection, ["998"], by="test", notify=False, now=datetime.now(UTC))
        wait_for(lambda: lease_holders(company), 120, "a refresh is in the middle")
        engine.dispose()
        assert deployment.terminate() < 2 * BUSY * 10
        assert deployment.process is not None
        assert deployment.process.returncode == 0
        assert re.search(r"\nstopped\n$", deployment.output.read_text(encoding="utf-8"))
        assert [one.command for one in processes_of(home)] == []
        assert not server.is_alive()

        server.start()
        assert lease_holders(company) == set()
        assert company.state("998") is None
        deployment.start()
        wait_for(lambda: company.state("998"), 120, "the refresh that was cut off is redone")
        assert deployment.terminate() < 2 * BUSY * 10
        assert [one.command for one in processes_of(home)] == []
        assert not server.is_alive(), "`erpcrm up` took it over, though another had started it"
    finally:
        engine.dispose()
        deployment.clean_up()
        server.stop("immediate")
