"""Retention of the inbox: older messages of a record go, what anything stems from or waits for stays."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.correction import Assignment
from erpcrm_orchestration.domain.received import Received, Via
from erpcrm_orchestration.services import retention
from erpcrm_orchestration.services.inbox_correction import Author, Correction, correct, propose, verify
from erpcrm_orchestration.services.replay import Replay, replay
from erpcrm_orchestration.store.inbox import Arrival, StreamKey, receive
from tests.integrated_company import IntegratedCompany

PRODUCTS = StreamKey("998", "shop_998", "shop", "products", "product")


@pytest.fixture
def shop(engine: sa.Engine, clock: FixedClock) -> IntegratedCompany:
    """Dossier 998 with a shop that nobody asks: its records come by webhook."""
    company = IntegratedCompany(engine, clock)
    company.dossier()
    company.connect_shop("http://127.0.0.1:9")
    return company


def take(shop: IntegratedCompany, number: int, name: str | None, *, deleted: bool = False) -> None:
    """Receive a version of a product and integrate it, a day later than what came before."""
    shop.pass_time(86_400)
    at = shop.clock.now()
    payload = json.dumps({"id": number, "name": name, "price": "1.00" if name else "no price"})
    record = Received(str(number), "" if deleted else payload, at, deleted=deleted)
    with shop.engine.begin() as connection:
        receive(connection, PRODUCTS, [record], Arrival(Via.WEBHOOK, at))
    assert shop.round(reading=False)["998"].failures == []


def purge(shop: IntegratedCompany, days: int = 400) -> int:
    """Let so many days go by and drop what is older than what is kept."""
    shop.clock.at += timedelta(days=days)
    return retention.apply_retention(shop.engine, clock=shop.clock).counts["inbox_messages_deleted"]


def kept(shop: IntegratedCompany) -> list[tuple[str, str, str]]:
    """Return (id, name in the payload, state) of the messages."""
    rows = shop.rows("flow.inbox")
    return [
        (row["source_id"], json.loads(row["payload"])["name"] if row["payload"] else "", row["state"]) for row in rows
    ]  # fmt: skip


def test_the_newest_message_of_each_record_and_what_is_open_or_refused_is_never_deleted(shop: IntegratedCompany) -> None:
    for name in ("one", "two", "three"):
        take(shop, 1, name)
    take(shop, 2, "quiet")
    for name in ("four", "five", None):
        take(shop, 3, name)
    take(shop, 4, None)
    for name in ("six", "seven", ""):
        take(shop, 5, name, deleted=not name)
    with shop.engine.begin() as connection:
        late = Received("1", json.dumps({"id": 1, "name": "open"}), shop.clock.now() + timedelta(seconds=1))
        receive(connection, PRODUCTS, [late], Arrival(Via.WEBHOOK, shop.clock.now()))
    assert purge(shop, 390) == 0, "nothing is old enough"
    assert purge(shop, 300) == 4
    assert kept(shop) == [
        ("1", "three", "TRANSFORMED"),
        ("2", "quiet", "TRANSFORMED"),
        ("3", "five", "TRANSFORMED"), ("3", None, "REJECTED"),
        ("4", None, "REJECTED"),
        ("5", "seven", "TRANSFORMED"), ("5", "", "TRANSFORMED"),
        ("1", "open", "NEW"),
    ]  # fmt: skip
    assert purge(shop) == 0
    before = shop.rows("hub.product")
    replay(shop.engine, ["998"], ["product"], Replay(shop.clock, "run-2"))
    assert shop.rows("hub.product") == before, "what the tables are made from is there"


def test_what_a_person_corrected_stays_and_the_journey_is_whole(
    shop: IntegratedCompany, database_url: sa.URL, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    take(shop, 1, "first")
    take(shop, 1, "Lmap")
    wanted = Correction([Assignment("name", "Lamp")])
    proposal = propose(shop.engine, "998", 2, wanted, clock=shop.clock)
    correct(shop.engine, proposal, Author("ann", "a slip"), clock=shop.clock, run_id="run-1")
    shop.round(reading=False)
    take(shop, 1, "Table lamp")
    take(shop, 1, "Floor lamp")
    assert purge(shop, 500) == 2
    assert [name for _, name, _ in kept(shop)] == ["Lmap", "Lamp", "Floor lamp"]
    assert verify(shop.engine)[0] == 1
    monkeypatch.setenv("ERPCRM_DATABASE_URL", database_url.render_as_string(hide_password=False))
    assert run(["inbox", "journey", "1", "--dossier", "998", "--entity", "product", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)
    assert [(step["event"], step["subject"]) for step in steps if step["event"] != "logbook"] == [
        ("received", "message 2"), ("received", "message 4"), ("fix", "message 2"), ("superseded", "message 2"),
        ("transformed", "message 4"), ("received", "message 6"), ("transformed", "message 6"),
    ]  # fmt: skip
    take(shop, 1, "Desk lamp")
    assert shop.rows("hub.product")[0]["name"] == "Desk lamp"
    assert run(["inbox", "show", "2", "--dossier", "998"]) == 0


def test_much_is_deleted_in_several_transactions(shop: IntegratedCompany, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    for name in ("one", "two", "three", "four", "five", "six"):
        take(shop, 1, name)
    assert purge(shop, 500) == 5
    assert kept(shop) == [("1", "six", "TRANSFORMED")]
