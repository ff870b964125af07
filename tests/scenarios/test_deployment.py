"""A deployment that really runs: what it does by itself, and what it does when its processes are killed.

One file, so that one process runs it: two deployments at a time would keep each other from everything.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.routine import OrderState
from erpcrm_orchestration.domain.routine_settings import Server
from erpcrm_orchestration.domain.schedule import Window, ticks_between
from erpcrm_orchestration.store import routine_schema, schema
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.engine import create_engine
from erpcrm_orchestration.store.ledger import request_refresh
from tests.board_house import signed_in
from tests.company import Company
from tests.integrated_company import SHOP_CREDENTIALS, SIGNED, IntegratedCompany
from tests.mailbox import running_mailbox
from tests.routine_company import RoutineCompany
from tests.scenarios.deployed_company import (
    EVERY_MINUTE,
    LOCATION,
    PASSWORD,
    STATE,
    SWEPT,
    found_company,
    materialized,
    states_locked,
    waiting_refreshes,
)
from tests.scenarios.orders_flow import LATE, MEMBERS, add_late_dossier, flowing, ledger_of
from tests.scenarios.running_deployment import BUSY, ERPCRM, RunningDeployment, clean_environment, processes_of, wait_for
from tests.webhook_receiver import Receiver

pytestmark = pytest.mark.slow

ORDERS = int(os.environ.get("FLOW_ORDERS", "8"))
WEBHOOK_SECRET = "whsec_of_the_deployment"  # noqa: S105 - of the simulated shop
OLDEST_S = 150
"""A state that is due every minute: the minute, a tick of the sensor, and a run on a busy machine."""


def ticks_of(deployment: RunningDeployment) -> dict[str, list[dict[str, Any]]]:
    """Return the ticks of every sensor and schedule."""
    query = """query Ticks($repository: RepositorySelector!) {
      repositoryOrError(repositorySelector: $repository) {
        ... on Repository {
          sensors { name sensorState { status ticks(limit: 50) { status error { message } } } }
          schedules { name scheduleState { status ticks(limit: 50) { status error { message } } } }
        }
      }
    }"""
    selector = {"repositoryName": "__repository__", "repositoryLocationName": LOCATION}
    found = deployment.ask(query, repository=selector)["repositoryOrError"]
    states = {one["name"]: one["sensorState"] for one in found["sensors"]}
    states |= {one["name"]: one["scheduleState"] for one in found["schedules"]}
    assert {state["status"] for state in states.values()} == {"RUNNING"}
    return {name: state["ticks"] for name, state in states.items()}


def test_sensors_and_schedules_tick_without_an_error_and_the_due_dossiers_are_refreshed(
    deployed: Company, deployment: RunningDeployment
) -> None:
    """The dossiers become partitions by themselves, and every minute one run serves all that are due."""
    wait_for(lambda: set(SWEPT) <= materialized(deployment), 120, "the dossiers that are due are refreshed")
    found = ticks_of(deployment)
    errors = {name: tick["error"] for name, ticks in found.items() for tick in ticks if tick["status"] == "FAILURE"}
    assert errors == {}
    # The other schedules run every five minutes and every night.
    rare = {"observe_supervision_schedule", "purge_expired_schedule", "reconcile_schedule"}
    assert {name for name, ticks in found.items() if not ticks} <= rare
    assert len(found) == 13
    assert {row.state for row in deployed.rows(schema.tick)} <= {"RAN", "REQUESTED", "SKIPPED"}

    def succeeded() -> bool:
        swept = [run["status"] for run in deployment.runs() if run["jobName"] == "refresh_interaction_state"]
        return swept[-1] == "SUCCESS"

    wait_for(succeeded, 60, "the first sweep ends well: it tells Dagster before it ends")


def backfill(deployment: RunningDeployment, asset: list[str], dossiers: list[str], **more: Any) -> str:
    """Launch a backfill as the UI does, and return its id."""
    mutation = """mutation Backfill($params: LaunchBackfillParams!) {
      launchPartitionBackfill(backfillParams: $params) {
        __typename
        ... on LaunchBackfillSuccess { backfillId }
        ... on PythonError { message }
      }
    }"""
    params = {"assetSelection": [{"path": asset}], "partitionNames": dossiers, "title": "two dossiers", **more}
    launched = deployment.ask(mutation, params=params)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    return str(launched["backfillId"])


def assert_it_ends_well(deployment: RunningDeployment, backfill_id: str) -> None:
    """Wait for the end of a backfill and of its runs."""
    query = """query Backfill($id: String!) {
      partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } }
    }"""

    def status() -> str | None:
        found: str = deployment.ask(query, id=backfill_id)["partitionBackfillOrError"]["status"]
        return found if found not in {"REQUESTED", "IN_PROGRESS"} else None

    assert wait_for(status, 120, "the backfill ends") == "COMPLETED_SUCCESS"
    assert {run["status"] for run in deployment.runs(dagster_backfill=backfill_id)} == {"SUCCESS"}


def test_states_and_a_routine_of_a_past_date_are_backfilled_from_the_ui_for_chosen_dossiers(
    deployed: Company, deployment: RunningDeployment
) -> None:
    routines = RoutineCompany(deployed.engine, deployed.clock, _ids=itertools.count(100))
    for code in ("210", "450"):
        account = routines.settled(code).account("K1", dossier=code)
        routines.invoice(account, date(2026, 1, 10), "100", dossier=code)
        routines.invoice(account, date(2026, 4, 10), "50", dossier=code)
    config = {"ops": {"automation__account_complement": {"config": {"on_date": "2026-03-01"}}}}
    launched = [
        backfill(deployment, STATE, ["210", "998"]),
        backfill(deployment, ["automation", "account_complement"], ["210", "450"], runConfigData=config),
    ]
    for one in launched:
        assert_it_ends_well(deployment, one)
    assert {"210", "998"} <= materialized(deployment)
    found = [row for row in routines.rows(routine_schema.account_complement) if row.dossier_code in {"210", "450"}]
    assert [(row.accumulated_value, row.days_since_last_purchase) for row in found] == [(Decimal(100), 50)] * 2


def test_a_dossier_is_materialised_by_dagsters_own_command_in_the_environment_that_erpcrm_env_prints(
    deployed: Company, deployment: RunningDeployment
) -> None:
    before = deployed.state("998").last_refreshed_at
    erpcrm = shlex.join(ERPCRM)
    dagster = f"{shlex.quote(ERPCRM[0])} -m dagster asset materialize --partition 998 -m {LOCATION}"
    script = f"""eval "$({erpcrm} env)" && {dagster} --select 'key:"supervision/interaction_state"'"""
    done = subprocess.run(["bash", "-c", script], env=deployment.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert deployed.state("998").last_refreshed_at > before
    assert PASSWORD not in done.stdout + done.stderr


def test_several_people_who_ask_for_the_same_refresh_at_once_get_one_run(
    deployed: Company, deployment: RunningDeployment
) -> None:
    """F41: the request is joined, not repeated."""
    with states_locked(deployed):
        asked = [
            subprocess.Popen([*ERPCRM, "refresh", "450"], env=deployment.environment, stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        wait_for(lambda: waiting_refreshes(deployed), 60, "the refresh is under way")
    assert [(one.communicate()[0], one.returncode) for one in asked] == [("450: refreshed\n", 0)] * 3
    requests = deployed.rows(schema.refresh_request)
    assert [(row.dossier_code, row.state) for row in requests] == [("450", "DONE")]
    assert len(deployment.runs(erpcrm_batch=requests[0].batch)) == 1


def test_E46_an_order_is_scheduled_at_once_and_runs_in_the_background_on_its_server(
    deployed: Company, deployment: RunningDeployment
) -> None:
    """The command ends while the routine cannot even begin; the sensor starts the order, and its run ends it as DONE."""
    routines = RoutineCompany(deployed.engine, deployed.clock).settled("998")
    routines.configure("servers", Server("night"))
    routines.account("K1", dossier="998")
    with deployed.engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE automation.account_complement IN EXCLUSIVE MODE"))
        ordered = deployment.command("order", "add", "crm338", "--dossier", "998", "--server", "night")
        assert (ordered.returncode, ordered.stderr) == (0, "")
        number = int(ordered.stdout.split()[1].rstrip(":"))
        wait_for(lambda: routines.state(number) is OrderState.RUNNING, 90, "the order runs")
    wait_for(lambda: routines.state(number) is OrderState.DONE, 60, "the order is done")
    (run,) = deployment.runs(erpcrm_server="night")
    tags = {one["key"]: one["value"] for one in run["tags"]}
    assert tags["erpcrm/server_slot"] == "night/1"
    assert json.loads(deployment.command("order", "list", "--json").stdout)[0]["changed"] == 1
    assert "998" in materialized(deployment, ["automation", "account_complement"])


def test_dagster_is_behind_the_board_read_only_for_viewers_full_for_operators_and_shut_for_everybody_else(
    deployed: Company, deployment: RunningDeployment
) -> None:
    mutation = 'mutation { addDynamicPartition(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: '
    mutation += f'"{LOCATION}"}}, partitionsDefName: "dossier", partitionKey: "by-the-board") {{ __typename }} }}'
    answers = {}
    with httpx.Client(trust_env=False, timeout=30) as client:

        def ask(grants: dict[str, str], query: str, **headers: str) -> tuple[int, str]:
            _, _, token = signed_in(deployed.engine, grants, now=datetime.now(UTC))
            sent = {"cookie": f"erpcrm={token}", "origin": deployment.board_url, **headers}
            answer = client.post(f"{deployment.board_url}/dagster/graphql", json={"query": query}, headers=sent)
            return answer.status_code, answer.text

        for right in ("view", "refresh", "operate"):
            assert "1.1" in ask({"*": right}, "{ version }")[1]
            answers[right] = ask({"*": right}, mutation)[1]
        assert "UnauthorizedError" in answers["view"]
        assert "UnauthorizedError" in answers["refresh"]
        assert "AddDynamicPartitionSuccess" in answers["operate"]
        assert ask({"001": "admin", "998": "admin"}, "{ version }")[0] == 404
        assert ask({"*": "admin"}, "{ version }", origin="https://evil.example")[0] == 403
        assert ask({"*": "admin"}, "{ version }", **{"content-type": "text/plain"})[0] == 415
        _, _, token = signed_in(deployed.engine, {"*": "admin"}, now=datetime.now(UTC))
        cookie = {"cookie": f"erpcrm={token}"}
        page = client.get(f"{deployment.board_url}/dagster/runs", headers=cookie)
        assert (page.status_code, "<div id=" in page.text) == (200, True)
        assert client.get(f"{deployment.board_url}/dagster/graphql?query={{version}}", headers=cookie).status_code == 405
        assert client.get(f"{deployment.board_url}/dagster/report_asset_check/x", headers=cookie).status_code == 404
        moved = client.get(f"{deployment.board_url}/dagster", headers=cookie)
        assert moved.headers["location"].startswith("/dagster")
    for origin, opens in ((deployment.board_url, True), ("https://evil.example", False)):
        assert socket_opens(deployment.board_url, token, origin) is opens


def socket_opens(board_url: str, token: str, origin: str) -> bool:
    """True when a WebSocket of Dagster is opened for this session and origin."""
    host, _, port = board_url.removeprefix("http://").partition(":")
    lines = (
        "GET /dagster/graphql HTTP/1.1", f"Host: {host}:{port}", f"Origin: {origin}", f"Cookie: erpcrm={token}",
        "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: graphql-ws",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", "",
    )  # fmt: skip
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return connection.makefile("rb").readline().split()[1] == b"101"


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


@contextmanager
def shop_with_webhooks(company: Company) -> Iterator[bytes]:
    """Connect dossier 998 to a shop that signs its webhooks, for the block; an order is there, as its webhook tells it."""
    shop = Shop(clock=SystemClock())
    order = shop.add_order([(shop.add_product("Lamp", "12.50")["id"], 1)])
    with WebServer(shop) as server:
        connected = IntegratedCompany(company.engine, company.clock)
        connected.connect_shop(server.url, extra=SIGNED)
        yield shop.orders.entry(order["id"]).body


def receiver_of(deployment: RunningDeployment) -> Receiver:
    """Return the receiver of webhooks that a deployment runs, when that listens where the deployment said that it would be."""
    said = re.search(
        r"^webhooks: (http://\S+)/webhooks/<connection>$", deployment.output.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert said, deployment.output.read_text(encoding="utf-8")
    log = deployment.home / "logs" / "webhooks.log"
    wait_for(lambda: log.exists() and said[1] in log.read_text(encoding="utf-8"), 30, "the receiver's address")
    return Receiver(said[1], WEBHOOK_SECRET)


def test_F9_SIGTERM_stops_everything_and_frees_the_leases_and_a_second_start_goes_on(
    deployment: RunningDeployment, tmp_path: Path
) -> None:
    """On the embedded server, which stops too; a refresh is in the middle when the signal comes. The shared one ends before.

    B10: the second one runs the receiver of webhooks, because a connection has a secret by then; it ends with the others.
    """
    deployment.clean_up()
    home = tmp_path / "home"
    stopped = RunningDeployment(home, clean_environment(home, **SHOP_CREDENTIALS))
    server = EmbeddedServer(home / "postgres")
    engine = create_engine(server.url("erpcrm"))
    try:
        stopped.start(ERPCRM_FAILPOINT="refresh_after_lease:sleep")
        company = found_company(engine)
        with engine.begin() as connection:
            request_refresh(connection, ["998"], by="test", notify=False, now=datetime.now(UTC))
        wait_for(lambda: lease_holders(company), 120, "a refresh is in the middle")
        engine.dispose()
        assert stopped.terminate() < 2 * BUSY * 10
        assert stopped.process is not None
        assert stopped.process.returncode == 0
        assert re.search(r"\nstopped\n$", stopped.output.read_text(encoding="utf-8"))
        assert [one.command for one in processes_of(home)] == []
        assert not server.is_alive()

        server.start()
        assert lease_holders(company) == set()
        assert company.state("998") is None
        with shop_with_webhooks(company) as order:
            stopped.start(ERPCRM_WEBHOOK_PORT="0", SHOP_WEBHOOK=WEBHOOK_SECRET)
            wait_for(lambda: company.state("998"), 120, "the refresh that was cut off is redone")
            assert receiver_of(stopped).post(order).status_code == 200
            with engine.connect() as connection:
                assert connection.execute(sa.text("SELECT count(*) FROM flow.inbox WHERE entity = 'order'")).scalar_one() == 1
            engine.dispose()
            assert stopped.terminate() < 2 * BUSY * 10
        assert [one.command for one in processes_of(home)] == []
        assert not server.is_alive(), "`erpcrm up` took it over, though another had started it"
    finally:
        engine.dispose()
        stopped.clean_up()
        server.stop("immediate")
