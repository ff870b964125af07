"""Processes that die between any two side effects, and a database that goes away: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Collection
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import psycopg
import pytest
import requests
import sqlalchemy as sa

from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.errors import StoreError
from erpcrm_orchestration.domain.received import Received
from erpcrm_orchestration.services.leases import TTL
from erpcrm_orchestration.services.mail import deliver_due
from erpcrm_orchestration.services.replay import Replay, replay
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.engine import create_engine, reported
from erpcrm_orchestration.store.mail import release
from tests.company import Company, ago
from tests.integrated_company import SIGNED, IntegratedCompany, at_shop, shop_company
from tests.mailbox import Mailbox
from tests.scenarios.bug_trials import arrives
from tests.scenarios.child_receiver import start_receiver
from tests.scenarios.child_refresh import start
from tests.scenarios.child_round import go_to_next_stop, start_replay, wait_until_stopped
from tests.scenarios.child_round import start as start_round
from tests.scenarios.crash_harness import NEEDED, STEP, crashing_company
from tests.webhook_receiver import Receiver, running_receiver

CODES = ("001", "002", "998")
ALL_DAY = {"days": [1, 2, 3, 4, 5, 6, 7], "duration_min": 1439, "frequency_min": 15, "start": datetime.min.time()}
FAILPOINTS = (
    "collect_before_commit",
    "collect_after_commit",
    "refresh_before_lease",
    "refresh_after_lease",
    "refresh_after_intake",
    "refresh_after_state",
    "refresh_before_commit",
    "refresh_after_commit",
    "refresh_before_mail",
)
SECRET = "whsec_killed"  # noqa: S105 - of a test
DEAD = {"kill": -signal.SIGKILL, "term": -signal.SIGTERM, "raise": 1}


@pytest.fixture
def late(company: Company) -> Company:
    """Three dossiers, of which 998 is late and mails; a tick of each is due."""
    for code in CODES:
        company.dossier(code, delay=30, process=ALL_DAY)
        company.log(code, ago(company, minutes=95 if code == "998" else 5))
    company.dataset("001", "INTERVENTION", "ERROR", ago(company, hours=1))
    company.clock.at += timedelta(minutes=15)
    return company


def child(company: Company, run_id: str, *, failpoint: str = "") -> BaseProcess:
    """Start the process; it collects what is due and evaluates."""
    url = company.engine.url.render_as_string(hide_password=False)
    return start(url, company.clock.now(), run_id, CODES, failpoint=failpoint)


def pid_of(process: BaseProcess) -> int:
    assert process.pid is not None
    return process.pid


def ended(process: BaseProcess) -> int | None:
    """Wait for the end of the process; return its exit code, negative for a signal."""
    process.join(60)
    return process.exitcode


def assert_state_is_the_sources(
    company: Company, mailbox: Mailbox, *, evaluations: int | None = None, copies: Collection[int] = (1,)
) -> None:
    """P1: after one good refresh the state is the source's: 0 lost, 0 doubled, 0 stale; one mail, every tick closed once."""
    assert {code: company.state(code).sync_state for code in CODES} == {"001": "NORMAL", "002": "NORMAL", "998": "ALERT"}
    assert company.state("001").interventions_not_ok == 1
    assert len(mailbox.received) in copies
    assert len({one.message["Message-ID"] for one in mailbox.received}) == 1
    assert company.state("998").last_alert_mail_at is not None
    ticks = company.rows(schema.tick)
    assert len(ticks) == len({(tick.dossier_code, tick.due_at) for tick in ticks})
    assert {tick.state for tick in ticks} <= {"RAN", "SKIPPED"}
    with company.engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).where(schema.lease.c.holder.is_not(None))) == 0
    if evaluations is not None:
        assert company.count(schema.interaction_state_history) == evaluations * len(CODES)


@pytest.mark.parametrize("action", ["kill", "term", "raise"])
@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_F1_F4_F9_a_process_that_ends_at_any_failpoint_loses_and_doubles_nothing(
    late: Company, mailbox: Mailbox, failpoint: str, action: str
) -> None:
    dying = child(late, "run-1", failpoint=f"{failpoint}:{action}")
    assert ended(dying) == DEAD[action]
    late.clock.at += TTL
    assert ended(child(late, "run-2")) == 0
    before = 1 if failpoint in {"refresh_after_commit", "refresh_before_mail"} else 0
    assert_state_is_the_sources(late, mailbox, evaluations=1 + before)


def test_F2_processes_killed_at_random_instants_converge_after_one_good_refresh(late: Company, mailbox: Mailbox) -> None:
    seed = 20261122
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    for number in range(20):
        dying = child(late, f"run-{number}")
        time.sleep(chance.uniform(0.02, 0.6))
        dying.kill()
        ended(dying)
        late.clock.at += TTL
    assert ended(child(late, "good")) == 0
    with late.engine.begin() as connection:
        mail = connection.execute(sa.select(schema.mail)).one()
        if mail.state == "UNCERTAIN":
            # Two of them died while the server had it: a person looks, and lets it go.
            release(connection, mail.mail_id, now=late.clock.at, actor="ann")
    deliver_due(late.engine, clock=late.clock, environment={})
    assert_state_is_the_sources(late, mailbox, copies=range(1, 2 + mail.uncertain_attempts))


def test_F10_a_stopped_process_that_comes_back_finds_its_lease_gone(late: Company, mailbox: Mailbox) -> None:
    zombie = child(late, "zombie", failpoint="refresh_after_intake:stop")
    wait_until_stopped(zombie)
    late.clock.at += TTL
    assert ended(child(late, "heir")) == 0
    heirs = late.rows(schema.interaction_state_history)
    os.kill(pid_of(zombie), signal.SIGCONT)
    assert ended(zombie) == 3, "all of its dossiers failed: E-FENCE-001"
    assert late.rows(schema.interaction_state_history) == heirs
    assert_state_is_the_sources(late, mailbox, evaluations=1)


FETCHES = ("fetch.claimed", "fetch.answered", "fetch.before_commit")


@pytest.mark.parametrize("failpoint", FETCHES)
def test_F1_F4_a_process_killed_while_it_fetches_a_missing_parent_loses_and_doubles_nothing(
    engine: sa.Engine, clock: FixedClock, failpoint: str
) -> None:
    """A webhook brings an order of a customer and a product that nobody has read; they are fetched, by the next process."""
    with crashing_company(engine, clock, 1, keys=False, of_the_shop=NEEDED) as harness:
        made = harness.shop.add_order([(harness.products[0], 1)], customer_id=harness.customer)
        arrives(harness, Received(str(made["id"]), harness.shop.orders.entry(made["id"]).body.decode(), clock.now()))
        company, url = harness.company, engine.url.render_as_string(hide_password=False)
        dying = start_round(url, clock.now(), "dying", company.environment, failpoint=f"{failpoint}:kill", reading=False)
        assert ended(dying) == DEAD["kill"]
        assert company.states(entity="order") == ["WAITING"]
        assert company.rows("hub.customer") == company.rows("hub.product") == []
        clock.at += STEP
        done = harness.work("next", reading=False)
        assert done is not None
        assert (done.failures, done.fetched) == ([], 2)
        assert company.states() == ["TRANSFORMED"] * 3
        assert {row["via"] for row in company.rows("flow.inbox", entity="customer")} == {"on_demand"}
        assert [row["state"] for row in company.rows("flow.work_item", event="on_demand")] == ["DONE"] * 2
        assert [len(company.rows(name)) for name in ("hub.customer", "hub.product", "hub.order_header")] == [1, 1, 1]
        harness.settle()
        account = harness.account()
        assert account.is_clean, account


def test_F1_B11_a_receiver_killed_before_its_commit_stores_nothing_and_what_is_sent_again_is_stored_once(
    engine: sa.Engine, clock: FixedClock
) -> None:
    """The sender has no answer, and sends the delivery again; so it may come twice."""
    shop = Shop(clock=clock)
    with shop_company(engine, clock, shop, SIGNED) as company, socket.create_server(("127.0.0.1", 0)) as listener:
        company.environment["SHOP_WEBHOOK"] = SECRET
        body = shop.orders.entry(at_shop(shop)).body
        url, point = engine.url.render_as_string(hide_password=False), "webhook.before_commit:kill"
        dying = start_receiver(url, clock.now(), listener, company.environment, failpoint=point)
        with pytest.raises(requests.ConnectionError):
            Receiver(f"http://127.0.0.1:{listener.getsockname()[1]}", SECRET).post(body, X_WC_Webhook_Delivery_ID="one")
        assert ended(dying) == DEAD["kill"]
        assert company.rows("flow.inbox") == []
        with running_receiver(engine, company.environment, clock, SECRET) as receiver:
            answers = [receiver.post(body, X_WC_Webhook_Delivery_ID="one") for _ in range(2)]
        assert [(one.status_code, one.json()["status"]) for one in answers] == [(200, "stored"), (200, "stored before")]
        assert company.round()["998"].failures == []
        assert company.states(entity="order") == ["TRANSFORMED"]
        assert len(company.rows("hub.order_header")) == 1


@pytest.mark.parametrize("batches", range(3))
def test_F4_a_backfill_that_is_killed_is_made_good_by_the_same_one_again(
    engine: sa.Engine, clock: FixedClock, batches: int
) -> None:
    """Rows that were lost are made anew from the inbox; it dies after so many batches, one of each entity."""
    shop, entities = Shop(clock=clock), ("customer", "product", "order")
    with shop_company(engine, clock, shop) as company:
        customer = shop.add_customer(email="ana@example.com", first_name="Ana", last_name="Durand")
        at_shop(shop, lines=2, customer_id=customer["id"])
        assert company.round()["998"].failures == []
    before, messages = told(company), company.rows("flow.inbox")
    with engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE hub.customer, hub.product, hub.order_header CASCADE"))
    url, point = engine.url.render_as_string(hide_password=False), "replay.before_commit:stop"
    dying = start_replay(url, clock.now(), "dying", entities, failpoint=point)
    wait_until_stopped(dying)
    for _ in range(batches):
        go_to_next_stop(dying)
    dying.kill()
    assert ended(dying) == DEAD["kill"]
    assert [bool(company.rows(f"hub.{name}")) for name in ("customer", "product", "order_header")] == [
        number < batches for number in range(3)
    ]
    clock.at += TTL
    for run_id in ("next", "once more"):
        replay(engine, ["998"], entities, Replay(clock, run_id))
        assert told(company) == before
    assert company.rows("flow.inbox") == messages
    assert company.rows("flow.work_item") == []


def told(company: IntegratedCompany) -> dict[str, list[dict[str, object]]]:
    """Return the rows of an order and of what belongs to it, without the instant at which they were written."""
    names = ("customer", "product", "order_header", "order_line", "order_tax_line", "address", "entity_meta")
    return {
        name: [{key: value for key, value in row.items() if key != "updated_at"} for row in company.rows(f"hub.{name}")]
        for name in names
    }


@pytest.mark.parametrize("failpoint", ["refresh_after_lease", "refresh_after_state", "refresh_after_commit"])
def test_F12_a_backend_that_is_terminated_fails_the_process_visibly_and_the_next_does_the_work(
    late: Company, mailbox: Mailbox, failpoint: str
) -> None:
    victim = child(late, "run-1", failpoint=f"{failpoint}:stop")
    wait_until_stopped(victim)
    terminate = sa.text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with late.engine.connect() as connection:
        connection.execute(terminate)
    late.engine.dispose()
    os.kill(pid_of(victim), signal.SIGCONT)
    ended(victim)
    late.clock.at += TTL
    assert ended(child(late, "run-2")) == 0
    assert_state_is_the_sources(late, mailbox)


@pytest.mark.parametrize("failpoint", ["refresh_after_lease", "refresh_after_state", "refresh_after_commit"])
def test_F11_an_immediate_restart_of_the_server_in_each_phase_loses_nothing(
    late: Company, mailbox: Mailbox, server: EmbeddedServer, failpoint: str
) -> None:
    victim = child(late, "run-1", failpoint=f"{failpoint}:stop")
    wait_until_stopped(victim)
    server.stop("immediate")
    server.start()
    late.engine.dispose()
    os.kill(pid_of(victim), signal.SIGCONT)
    ended(victim)
    late.clock.at += TTL
    assert ended(child(late, "run-2")) == 0
    assert_state_is_the_sources(late, mailbox)


def test_F13_while_the_server_is_away_the_error_is_one_line_with_host_and_port_and_the_work_is_done_after(
    late: Company, mailbox: Mailbox, server: EmbeddedServer
) -> None:
    server.stop()
    assert ended(child(late, "run-1")) not in {0, 3}
    away = create_engine(late.engine.url)
    with (
        pytest.raises(StoreError, match=r"^E-DB-001 .*:5432/test_\d+: .*; check that the server runs") as refused,
        reported(away),
    ):
        away.connect()
    assert "\n" not in str(refused.value)
    server.start()
    late.engine.dispose()
    assert ended(child(late, "run-2")) == 0
    assert_state_is_the_sources(late, mailbox, evaluations=1)


def test_an_embedded_server_with_a_stale_pid_file_of_a_foreign_process_starts_and_leaves_that_process_alone(
    tmp_path: Path,
) -> None:
    server = EmbeddedServer(tmp_path / "data", durable=False)
    server.start()
    server.stop("immediate")
    with subprocess.Popen(["sleep", "60"]) as foreign:
        (server.data / "postmaster.pid").write_text(
            f"{foreign.pid}\n{server.data}\n1\n5432\n{server.data}\n\n  0 0\nready   \n", encoding="utf-8"
        )
        assert server.start() == "started"
        assert foreign.poll() is None
        foreign.kill()
    with psycopg.connect(server.url(driver="postgresql").render_as_string()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()
    assert not server.is_alive()
