"""A shop tells us of its changes: the simulated shop sends, the real web server receives, PostgreSQL keeps."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.message import Json
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.services.due import dossiers_due
from erpcrm_orchestration.services.webhook import LARGEST_BYTES
from erpcrm_orchestration.services.webhook_status import webhook_faults
from erpcrm_orchestration.store.embedded import EmbeddedServer
from tests.integrated_company import SIGNED, IntegratedCompany
from tests.scenarios.running_deployment import ERPCRM, clean_environment, wait_for
from tests.webhook_receiver import Receiver, running_receiver, send, signature

SECRET = "whsec_canary_7731"  # noqa: S105 - looked for in answers
TOPICS = [f"{what}.{event}" for what in ("order", "product", "customer") for event in ("created", "updated", "deleted")]


@pytest.fixture
def shop(clock: FixedClock) -> Shop:
    """The simulated shop, with one product."""
    made = Shop(clock=clock)
    made.add_product("Lamp", "12.50")
    return made


@pytest.fixture
def company(engine: sa.Engine, clock: FixedClock, shop: Shop) -> Iterator[IntegratedCompany]:
    """Dossier 998 with the shop connected, which signs its webhooks, and 340 with one that sends none."""
    made = IntegratedCompany(engine, clock)
    made.environment["SHOP_WEBHOOK"] = SECRET
    made.dossier()
    made.dossier("340")
    with WebServer(shop) as server:
        made.connect_shop(server.url, "340")
        made.connect_shop(server.url, extra=SIGNED)
        yield made


@pytest.fixture
def receiver(company: IntegratedCompany) -> Iterator[Receiver]:
    """The running receiver."""
    with running_receiver(company.engine, company.environment, company.clock, SECRET) as running:
        yield running


def subscribe(shop: Shop, receiver: Receiver, *topics: str) -> None:
    """Let the shop send these topics to us."""
    for topic in topics or TOPICS:
        shop.add_webhook(topic, receiver.address(), SECRET)


def place_order(shop: Shop, **settings: Any) -> Json:
    """Order one lamp."""
    (lamp,) = shop.kinds["products"]
    return shop.add_order([(lamp, 1)], **settings)


def body_of(shop: Shop, order_id: int) -> bytes:
    return shop.orders.entry(order_id).body


def test_b10_a_right_signature_is_answered_after_the_record_is_stored(
    company: IntegratedCompany, shop: Shop, receiver: Receiver
) -> None:
    """B10 B14: 200 means one row, byte for byte; the next round makes the rows of it, and its poll no second message."""
    subscribe(shop, receiver)
    order = place_order(shop)
    shop.webhooks.settle()
    assert [sent.status for sent in shop.webhooks.sent] == [200]
    (message,) = company.rows("flow.inbox", entity="order")
    assert (message["via"], message["state"], message["source_id"]) == ("webhook", "NEW", str(order["id"]))
    assert message["payload"].encode() == body_of(shop, order["id"])
    assert dossiers_due(company.engine, clock=company.clock) == ["340", "998"]
    company.round()
    (header,) = company.rows("hub.order_header")
    assert str(header["total"]) == order["total"]
    assert len(company.rows("flow.inbox", entity="order")) == 1


@pytest.mark.parametrize("given", [None, "", "AAAA", signature("another", b"{}"), signature(SECRET, b"another body"), "é"])
def test_b10_catalogue_27_a_wrong_signature_is_401_and_nothing_is_stored(
    company: IntegratedCompany, shop: Shop, receiver: Receiver, given: str | None
) -> None:
    order = place_order(shop)
    header = given if given is None else given.encode().decode("latin-1")
    answer = receiver.post(body_of(shop, order["id"]), X_WC_Webhook_Signature=header)
    assert answer.status_code == 401
    assert_one_line(answer.json()["error"])
    assert company.rows("flow.inbox") == []


def test_catalogue_27_a_replay_has_no_effect_whatever_its_age(
    company: IntegratedCompany, shop: Shop, receiver: Receiver, clock: FixedClock
) -> None:
    """Catalogue 27: the sender gives no time, so the delivery id tells a replay, and the version one with another id."""
    order = place_order(shop)
    old = body_of(shop, order["id"])
    assert receiver.post(old, X_WC_Webhook_Delivery_ID="one").status_code == 200
    clock.at += timedelta(minutes=6)
    shop.change_order(order["id"], customer_note="new")
    assert receiver.post(body_of(shop, order["id"]), X_WC_Webhook_Delivery_ID="two").status_code == 200
    assert receiver.post(old, X_WC_Webhook_Delivery_ID="one").json() == {"status": "stored before"}
    assert receiver.post(old, X_WC_Webhook_Delivery_ID="three").json() == {"status": "known already"}
    assert company.states() == ["SUPERSEDED", "NEW"]


@pytest.mark.parametrize("topic", ["coupon.created", "order", "", "x" * 300, None])
def test_catalogue_28_an_unknown_topic_is_400_and_nothing_is_stored(
    company: IntegratedCompany, shop: Shop, receiver: Receiver, topic: str | None
) -> None:
    answer = receiver.post(b'{"id": 1}', topic)
    assert answer.status_code == 400
    assert_one_line(answer.json()["error"])
    assert company.rows("flow.inbox") == []


def test_catalogue_28_the_ping_of_a_new_webhook_is_200(company: IntegratedCompany, receiver: Receiver) -> None:
    """The ping has neither topic nor signature; only its exact form is answered so."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert send(receiver.address(), b"webhook_id=1", form).status_code == 200
    assert send(receiver.address(), b"webhook_id=1&more=2", form).status_code == 401
    assert send(receiver.address("shop_340"), b"webhook_id=1", form).status_code == 404
    assert company.rows("flow.inbox") == []


def test_f27_the_same_delivery_up_to_five_times_is_one_row(company: IntegratedCompany, shop: Shop, receiver: Receiver) -> None:
    """F27 B4: one row per delivery id, also when all five come at once; the same content with a new id has no effect."""
    order = place_order(shop)
    body = body_of(shop, order["id"])
    with ThreadPoolExecutor(5) as threads:
        answers = list(threads.map(lambda _: receiver.post(body, X_WC_Webhook_Delivery_ID="same"), range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    with ThreadPoolExecutor(5) as threads:
        answers = list(threads.map(lambda number: receiver.post(body, X_WC_Webhook_Delivery_ID=f"id-{number}"), range(5)))
    assert [answer.json() for answer in answers] == [{"status": "known already"}] * 5
    company.round()
    assert company.states(entity="order") == ["TRANSFORMED"]
    assert len(company.rows("hub.order_header")) == 1


def test_f27_a_shop_that_sends_twice_and_again_has_one_effect(
    company: IntegratedCompany, shop: Shop, receiver: Receiver
) -> None:
    subscribe(shop, receiver, "order.created")
    shop.faults.arm("webhook_twice", path="order.created")
    shop.faults.arm("webhook_again", path="order.created")
    place_order(shop)
    place_order(shop)
    shop.webhooks.settle()
    assert [sent.status for sent in shop.webhooks.sent] == [200] * 4
    assert len(company.rows("flow.inbox", entity="order")) == 2


def test_b4_webhooks_and_polls_at_the_same_time_bring_each_record_once(
    company: IntegratedCompany, shop: Shop, receiver: Receiver
) -> None:
    """B4 P1: the receiver and a poll take turns per entity, whoever comes first."""
    subscribe(shop, receiver, "order.created")
    with ThreadPoolExecutor(1) as thread:
        placing = thread.submit(lambda: [place_order(shop) for _ in range(30)])
        while not placing.done():
            assert company.round(everything=True)["998"].failures == []
        placed = placing.result()
    shop.webhooks.settle()
    company.round(everything=True)
    assert {sent.status for sent in shop.webhooks.sent} == {200}
    assert sorted(company.states(entity="order")) == ["TRANSFORMED"] * 30
    assert len(company.rows("hub.order_header")) == len(placed) == 30


def test_f28_updates_out_of_order_end_at_the_newest(
    company: IntegratedCompany, shop: Shop, receiver: Receiver, clock: FixedClock
) -> None:
    """F28 B5: the older version is kept as superseded, and the data stay at the newer one."""
    subscribe(shop, receiver, "order.updated")
    order = place_order(shop)
    clock.at += timedelta(minutes=1)
    shop.faults.arm("webhook_late", path="order.updated")
    shop.change_order(order["id"], customer_note="first")
    clock.at += timedelta(minutes=1)
    shop.change_order(order["id"], customer_note="second")
    shop.webhooks.settle()
    assert company.states(entity="order") == ["NEW", "SUPERSEDED"]
    company.round()
    assert [row["customer_note"] for row in company.rows("hub.order_header")] == ["second"]


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(minutes=10)])
def test_f28_a_deletion_wins_over_an_update_that_comes_late(
    company: IntegratedCompany, shop: Shop, receiver: Receiver, clock: FixedClock, ahead: timedelta
) -> None:
    """F28 F25: the tombstone is newer than all that we have, also when the shop's clock is ahead of ours."""
    subscribe(shop, receiver)
    order = place_order(shop, at=clock.at + ahead)
    late = body_of(shop, order["id"])
    shop.webhooks.settle()
    company.round()
    clock.at += timedelta(minutes=1)
    shop.delete("orders", order["id"])
    shop.webhooks.settle()
    assert receiver.post(late).status_code == 200
    company.round()
    (header,) = company.rows("hub.order_header")
    assert header["deleted_at"] is not None
    assert [message["state"] for message in company.rows("flow.inbox", entity="order") if message["deleted"]] == ["TRANSFORMED"]


def test_f31_a_record_without_id_is_kept_refused_and_its_sender_goes_on(
    company: IntegratedCompany, shop: Shop, receiver: Receiver
) -> None:
    """F31 catalogue 29: what is signed is stored with its fault; the sender did nothing wrong and is not ended for it."""
    for body in (b"{}", b"[1]", b'{"id": 5', b'{"id": 6, "date_modified_gmt": "yesterday"}'):
        assert receiver.post(body).status_code == 200
    assert company.states() == ["REJECTED"] * 4
    assert all(row["error"].startswith("E-SRC-") for row in company.rows("flow.inbox"))


def test_b6_other_content_with_the_same_version_is_fetched(company: IntegratedCompany, shop: Shop, receiver: Receiver) -> None:
    """B6: the shop tells time in whole seconds; what it holds now is asked for."""
    subscribe(shop, receiver, "order.created", "order.updated")
    order = place_order(shop)
    shop.change_order(order["id"], customer_note="in the same second")
    shop.webhooks.settle()
    assert company.states(entity="order") == ["NEW", "REJECTED"]
    company.round()
    assert [row["customer_note"] for row in company.rows("hub.order_header")] == ["in the same second"]


def test_b11_a_database_that_is_away_is_503_and_the_poll_brings_the_record_once(
    company: IntegratedCompany, shop: Shop, receiver: Receiver, server: EmbeddedServer
) -> None:
    """B11 F13: the sender hears of the failure, nothing is half stored."""
    subscribe(shop, receiver, "order.created")
    name = str(company.engine.url.database)
    with psycopg.connect(_dsn(server), autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        order = place_order(shop)
        shop.webhooks.settle()
        assert [sent.status for sent in shop.webhooks.sent] == [503]
        refused = receiver.post(body_of(shop, order["id"]))
        assert_one_line(refused.json()["error"])
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert company.rows("flow.inbox") == []
    company.round()
    assert company.states(entity="order") == ["TRANSFORMED"]


def test_b11_f12_a_connection_that_ends_inside_the_insert_stores_nothing(
    company: IntegratedCompany, shop: Shop, receiver: Receiver, server: EmbeddedServer
) -> None:
    """B11 F12: the insert waits for a lock, its backend is ended, the answer is 503 and the poll brings the record once."""
    order = place_order(shop)
    with company.engine.connect() as other, ThreadPoolExecutor(1) as thread:
        other.execute(sa.text("LOCK TABLE flow.inbox IN EXCLUSIVE MODE"))
        answer = thread.submit(receiver.post, body_of(shop, order["id"]))
        wait_for(lambda: _end_waiting(server, str(company.engine.url.database)), 20, "an insert that waits")
        assert answer.result().status_code == 503
        other.rollback()
    assert company.rows("flow.inbox") == []
    company.round()
    assert company.states(entity="order") == ["TRANSFORMED"]


def test_f29_b12_a_webhook_that_the_shop_ended_is_found_and_the_poll_goes_on(
    company: IntegratedCompany, shop: Shop, receiver: Receiver, clock: FixedClock
) -> None:
    """F29 B12: five failures in a row end it; the fault is an error for its dossier, and no order is lost."""
    subscribe(shop, receiver, "order.created", "product.created")
    company.round()
    assert webhook_faults(company.engine, clock) == {}
    del company.environment["SHOP_WEBHOOK"]
    for _ in range(6):
        place_order(shop)
    shop.webhooks.settle()
    assert [sent.status for sent in shop.webhooks.sent] == [503] * 5
    clock.at += timedelta(minutes=9)
    company.round()
    assert webhook_faults(company.engine, clock) == {}, "its list is read every ten minutes"
    clock.at += timedelta(minutes=2)
    company.round()
    (fault,) = webhook_faults(company.engine, clock)["998"]
    assert (fault.connection_code, fault.is_error) == ("shop_998", True)
    assert fault.found == "the system does not send: disabled: order.created"
    assert company.states(entity="order") == ["TRANSFORMED"] * 6
    shop.change("webhooks", 1, status="active")
    clock.at += timedelta(minutes=11)
    company.round()
    assert webhook_faults(company.engine, clock) == {}


def test_b12_a_list_that_cannot_be_read_and_one_without_us_are_warnings(
    company: IntegratedCompany, shop: Shop, clock: FixedClock
) -> None:
    """B12: nothing is known then, so it is no error; what was known long ago is not believed either."""
    company.round()
    (fault,) = webhook_faults(company.engine, clock)["998"]
    assert (fault.found, fault.is_error) == ("no webhook of the system is sent to this connection", False)
    clock.at += timedelta(minutes=11)
    shop.faults.arm("403", times=None, path="/webhooks")
    assert company.round()["998"].failures == []
    (fault,) = webhook_faults(company.engine, clock)["998"]
    assert (fault.found.startswith("unread: E-SRC-"), fault.is_error) == (True, False)
    clock.at += timedelta(hours=2)
    (fault,) = webhook_faults(company.engine, clock)["998"]
    assert fault.found == "the list of webhooks was last read at 2026-11-18 12:11 UTC"


def test_a_connection_without_secret_and_an_unknown_one_are_told_the_same(
    company: IntegratedCompany, receiver: Receiver
) -> None:
    without, unknown = receiver.post(b"{}", connection_code="shop_340"), receiver.post(b"{}", connection_code="shop_999")
    assert without.status_code == unknown.status_code == 404
    assert without.text.replace("shop_340", "shop_999") == unknown.text
    for code in ("%00", "a%0Ab", "%ff", "x" * 3000, "..%2F..%2Fetc"):
        answer = receiver.post(b"{}", connection_code=code)
        assert answer.status_code == 404
    assert company.rows("flow.inbox") == []


def test_catalogue_12_a_body_over_the_limit_is_413_announced_or_not(company: IntegratedCompany, receiver: Receiver) -> None:
    large = b" " * (LARGEST_BYTES + 1)
    assert receiver.post(large).status_code == 413
    pieces = iter([large[: LARGEST_BYTES // 2]] * 3)
    assert send(receiver.address(), pieces, {"X-WC-Webhook-Topic": "order.updated"}).status_code == 413
    assert company.rows("flow.inbox") == []


def test_p8_a_missing_secret_is_503_and_no_answer_shows_one(company: IntegratedCompany, shop: Shop, receiver: Receiver) -> None:
    del company.environment["SHOP_WEBHOOK"]
    answer = receiver.post(b'{"id": 1}')
    assert answer.status_code == 503
    assert "SHOP_WEBHOOK" not in answer.text
    assert SECRET not in answer.text


def test_the_command_serves_until_it_is_ended(
    company: IntegratedCompany, shop: Shop, tmp_path: Path, database_url: sa.URL
) -> None:
    """`erpcrm webhooks serve` says where it listens, receives, and ends by SIGTERM."""
    environment = clean_environment(
        tmp_path, ERPCRM_DATABASE_URL=database_url.render_as_string(hide_password=False), SHOP_WEBHOOK=SECRET
    )
    order = place_order(shop)
    with subprocess.Popen(
        [*ERPCRM, "webhooks", "serve", "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        told = program.stdout.readline().split()[1]
        assert Receiver(told.rpartition("/webhooks/")[0], SECRET).post(body_of(shop, order["id"])).status_code == 200
        program.terminate()
        assert program.wait(20) in {0, 143, -15}
    assert company.states() == ["NEW"]


def assert_one_line(text: str) -> None:
    """P8: a code, one line, no secret."""
    assert text.startswith("E-HOOK-")
    assert "\n" not in text
    assert SECRET not in text
    assert json.dumps(text).count("\\u") == 0


def _dsn(server: EmbeddedServer) -> str:
    return server.url(driver="postgresql").render_as_string(hide_password=False)


def _end_waiting(server: EmbeddedServer, database: str) -> bool:
    """End the backend that waits for a lock; True when there was one."""
    with psycopg.connect(_dsn(server), autocommit=True) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'", [database]
        )
        return bool(ended.fetchall())
