"""What waits for people: unmapped words, missing parents, wishes for records, work that was given up, stopped connections."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.demo.message import Request
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.services.leases import hold
from tests.integrated_company import SHOP_CREDENTIALS, IntegratedCompany

WHY = ["--reason", "asked"]
HERE = ["--dossier", "998"]
SHOP = ["--system", "shop"]
UNITS = """
connectors:
  shop:
    kind: woocommerce
    requests_per_s: 1000
    entities: {products: {map: {fields: {unit: {path: unit, lookup: unit}}}}}
"""


class Counting(Shop):
    """A shop that keeps the paths of its requests."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__(clock=clock)
        self.asked: list[str] = []

    def authorize(self, request: Request) -> None:
        self.asked.append(request.path)
        super().authorize(request)


@pytest.fixture
def shop(clock: FixedClock) -> Counting:
    """The simulated shop."""
    return Counting(clock)


@pytest.fixture
def company(
    engine: sa.Engine, database_url: sa.URL, clock: FixedClock, shop: Counting, monkeypatch: pytest.MonkeyPatch
) -> Iterator[IntegratedCompany]:
    """Dossier 998 with a shop whose products have units; the command line works on this database at the clock's time."""
    monkeypatch.setenv("ERPCRM_DATABASE_URL", database_url.render_as_string(hide_password=False))
    monkeypatch.setenv("LOGNAME", "ann")
    for module in ("fetch", "work", "connections", "mapping"):
        monkeypatch.setattr(f"erpcrm_orchestration.cli.{module}.SystemClock", lambda: clock)
    for name, value in SHOP_CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    made = IntegratedCompany(engine, clock)
    made.dossier(time_zone="UTC")
    server = WebServer(shop)
    server.start()
    made.connect_shop(server.url)
    made.connect(UNITS)
    yield made
    server.stop()


def later(company: IntegratedCompany, **span: float) -> None:
    """Let the next round come."""
    company.clock.at += timedelta(**(span or {"seconds": 61}))
    assert company.round()["998"].failures == []


def in_units(shop: Shop, unit: str, count: int = 1) -> list[int]:
    """Return new products that come in a unit."""
    made = [shop.add_product("Cable")["id"] for _ in range(count)]
    for product in made:
        shop.change("products", product, unit=unit)
    return made


def worklist(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what `erpcrm mapping worklist` lists."""
    capsys.readouterr()
    assert run(["mapping", "worklist", *HERE, "--json"]) == 0
    return list(json.loads(capsys.readouterr().out))


def typed(to_do: str, ours: str = "") -> int:
    """Type a command of the worklist as it is printed, with what it leaves open filled in; return its exit code."""
    program, *arguments = shlex.split(to_do.replace("OURS", ours).replace("...", "asked"))
    assert program == "erpcrm"
    return run(arguments)


def test_an_unknown_unit_waits_in_the_worklist_until_it_is_mapped(
    company: IntegratedCompany, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """catalogue 99: a record with an unknown unit is parked with what is missing; the mapping releases it by itself."""
    (kilos,) = in_units(shop, "kg")
    pieces = in_units(shop, "PCE", 2)
    shop.add_order([(pieces[0], 2)])
    shop.add_order([(pieces[1], 1)])
    later(company)
    assert company.states(entity="order") == ["WAITING", "WAITING"]
    rows = worklist(capsys)
    assert [(row["cause"], row["blocks"], row["entities"]) for row in rows] == [
        ("unit PCE", 4, "order, product"),
        ("unit kg", 1, "product"),
    ]
    assert rows[0]["to_do"] == "erpcrm mapping set unit PCE OURS --dossier 998 --system shop --reason '...'"
    assert typed(rows[0]["to_do"], "pcs") == 0
    assert capsys.readouterr().out.splitlines() == ["unit PCE of shop is pcs; 2 records go on", "4 records are integrated"]
    assert {row["unit"] for row in company.rows("hub.product")} == {"pcs"}
    assert company.states(entity="order") == ["TRANSFORMED", "TRANSFORMED"]
    assert company.states(entity="product", source_id=str(kilos)) == ["WAITING"]
    later(company, hours=25)
    assert company.states(entity="product", source_id=str(kilos)) == ["DEAD"]
    assert [(row["cause"], row["given_up"]) for row in worklist(capsys)] == [("unit kg", 1)]


@pytest.mark.parametrize("unit", ["--", "-5", "l'unité", "per m²", "$x"])
def test_the_command_for_a_word_holds_whatever_the_word_is(
    company: IntegratedCompany, shop: Shop, capsys: pytest.CaptureFixture[str], unit: str
) -> None:
    in_units(shop, unit)
    later(company)
    (row,) = worklist(capsys)
    assert typed(row["to_do"], "pcs") == 0
    assert [(word["external_value"], word["our_value"]) for word in company.rows("hub.value_mapping")] == [(unit, "pcs")]
    assert worklist(capsys) == []


def test_a_missing_parent_is_listed_with_the_command_that_fetches_or_shows_it(
    company: IntegratedCompany, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, wrong = (shop.add_product("Lamp")["id"] for _ in range(2))
    for product in (gone, wrong):
        shop.add_order([(product, 2)])
    shop.delete("products", gone)
    shop.spoil("products", wrong, price="much")
    later(company)
    (refused,) = company.rows("flow.inbox", entity="product", state="REJECTED")
    todo = {row["cause"]: row["to_do"] for row in worklist(capsys)}
    assert todo == {
        f"product {gone}": f"erpcrm fetch product {gone} --dossier 998 --system shop",
        f"product {wrong}": f"erpcrm inbox show {refused['message_id']} --dossier 998",
    }
    company.clock.at = datetime(2026, 11, 18, 22, tzinfo=UTC)
    assert typed(todo[f"product {gone}"]) == 3
    assert "the system has no such record" in capsys.readouterr().out
    assert typed(todo[f"product {wrong}"]) == 0
    assert refused["error"] in capsys.readouterr().out


def test_words_are_listed_changed_and_removed_and_each_is_audited(
    company: IntegratedCompany, engine: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    for ours in ("pcs", "pcs", "piece"):
        assert run(["mapping", "set", "unit", "PCE", ours, *HERE, *SHOP, *WHY]) == 0
    capsys.readouterr()
    assert run(["mapping", "list", *HERE, "--json"]) == 0
    assert [row["our_value"] for row in json.loads(capsys.readouterr().out)] == ["piece"]
    assert run(["mapping", "remove", "unit", "PCE", *HERE, *SHOP, *WHY]) == 0
    assert run(["mapping", "remove", "unit", "PCE", *HERE, *SHOP, *WHY]) == 2
    assert capsys.readouterr().err == "E-MAP-004 mapping unit PCE: it is not mapped; see `erpcrm mapping list`\n"
    assert run(["mapping", "set", "unti", "PCE", "pcs", *HERE, *SHOP, *WHY]) == 2
    assert capsys.readouterr().err == "E-MAP-002 system shop: its mapping asks for no unti; did you mean unit?\n"
    assert run(["mapping", "set", "unit", "PCE", "pcs", *HERE, "--system", "shopp", *WHY]) == 2
    assert capsys.readouterr().err == "E-MAP-001 dossier 998: no system shopp; did you mean shop?\n"
    assert run(["mapping", "set", "unit", "PCE", "pcs", *HERE, *SHOP, "--reason", ""]) == 2
    assert capsys.readouterr().err.startswith("E-WRK-009")
    changes = [(row["action"], row["before"], row["after"]) for row in company.rows("audit.change")]
    assert changes == [("set", None, "pcs"), ("set", "pcs", "piece"), ("remove", "piece", None)]


def test_a_ratio_of_units_is_exact_and_holds_from_its_day(
    company: IntegratedCompany, capsys: pytest.CaptureFixture[str]
) -> None:
    day = ["--valid-from", "2026-01-01", *HERE, *WHY]
    assert run(["mapping", "ratio", "set", "box", "pcs", "12", *day]) == 0
    assert run(["mapping", "ratio", "set", "g", "kg", "0.001", *day]) == 0
    assert run(["mapping", "ratio", "set", "roll", "m", "100/3", "--sku", "K-1", *day]) == 0
    assert run(["mapping", "ratio", "set", "box", "pcs", "12/1", *day]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 box is 12/1 pcs from 2026-01-01; nothing changed"
    assert run(["mapping", "ratio", "list", "--json"]) == 0
    found = {row["unit"]: (row["numerator"], row["denominator"]) for row in json.loads(capsys.readouterr().out)}
    assert found == {"box": (12, 1), "g": (1, 1000), "roll": (100, 3)}
    assert run(["mapping", "ratio", "set", "box", "pcs", "much", *day]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("E-MAP-005 ratio: 'much' is no ratio")
    assert run(["mapping", "ratio", "set", "box", "box", "1", *day]) == 2
    assert run(["mapping", "ratio", "remove", "box", "pcs", *day]) == 0
    assert run(["mapping", "ratio", "remove", "box", "pcs", *day]) == 2
    assert {row["unit"] for row in company.rows("hub.unit_ratio")} == {"g", "roll"}


def test_a_day_that_no_calendar_has_is_refused(capsys: pytest.CaptureFixture[str], company: IntegratedCompany) -> None:
    """catalogue 55"""
    assert run(["mapping", "ratio", "set", "box", "pcs", "12", "--valid-from", "2026-02-30", *HERE, *WHY]) == 2
    message = "E-CLI-055 erpcrm mapping ratio --valid-from: '2026-02-30' is no day; write 2026-01-31\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    "command",
    [
        "inbox list", "inbox show 1", "inbox fix 1 --set a=1 --yes --reason x", "inbox relaunch --all --reason x",
        "inbox journey 1 --entity order", "fetch order 1", "work list", "work requeue 1 --reason x", "connections list",
        "connections drift", "mapping worklist", "mapping list", "mapping set unit a b --system shop --reason x",
    ],
)  # fmt: skip
def test_an_unknown_dossier_is_answered_with_the_nearest(
    company: IntegratedCompany, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """catalogue 57"""
    assert run([*command.split(), "--dossier", "99"]) == 2
    assert capsys.readouterr().err == "E-CLI-057 dossier: no dossier '99'; nearest: 998\n"


def test_B27_a_wish_in_the_peak_hours_is_fetched_when_they_end_unless_it_is_urgent(
    company: IntegratedCompany, shop: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    """B27: a wish at 12:00 is not sent before 22:00, an urgent one at once."""
    later(company)
    orders = [shop.add_order([])["id"] for _ in range(2)]
    company.clock.at = datetime(2026, 11, 18, 12, tzinfo=UTC)
    shop.asked.clear()
    assert run(["fetch", "order", str(orders[0]), *HERE]) == 0
    assert capsys.readouterr().out == (
        f"order {orders[0]} of shop_998 is fetched from 2026-11-18T22:00+00:00, when the peak hours end; "
        "--urgent fetches it now\n"
    )
    assert shop.asked == []
    assert run(["fetch", "order", str(orders[1]), *HERE, "--urgent"]) == 0
    assert shop.asked == [f"/wp-json/wc/v3/orders/{orders[1]}"]
    (message,) = company.rows("flow.inbox", source_id=str(orders[1]), entity="order")
    assert message["via"] == "on_demand"
    company.clock.at = datetime(2026, 11, 18, 21, 59, 59, tzinfo=UTC)
    company.round(reading=False)
    assert len(shop.asked) == 1
    company.clock.at = datetime(2026, 11, 18, 22, tzinfo=UTC)
    company.round(reading=False)
    assert shop.asked[1:] == [f"/wp-json/wc/v3/orders/{orders[0]}"]
    capsys.readouterr()
    assert run(["fetch", "order", str(orders[0]), *HERE]) == 0
    assert capsys.readouterr().out.startswith(f"order {orders[0]} of shop_998 is fetched with the next round")


def test_a_deferred_wish_becomes_urgent(company: IntegratedCompany, shop: Counting, capsys: pytest.CaptureFixture[str]) -> None:
    order = str(shop.add_order([])["id"])
    assert run(["fetch", "orders", order, *HERE]) == 0
    assert run(["fetch", "orders", order, *HERE]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("(it was asked for already); --urgent fetches it now")
    assert run(["fetch", "order", order, *HERE, "--urgent"]) == 0
    assert company.states(entity="order") == ["TRANSFORMED"]


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        ("ordr 7", "E-WRK-006 dossier 998: nobody there has a ordr; did you mean order?"),
        ("order 7 --system erp", "E-WRK-006 dossier 998: no connection to erp; see `erpcrm connections list`"),
    ],
)
def test_a_wish_that_no_system_can_fulfil_is_refused(
    company: IntegratedCompany, capsys: pytest.CaptureFixture[str], command: str, refusal: str
) -> None:
    assert run(["fetch", *command.split(), *HERE]) == 2
    assert capsys.readouterr().err == refusal + "\n"


def test_B30_work_that_was_given_up_is_put_back_with_its_attempts_at_zero(
    company: IntegratedCompany, shop: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    """B30: requeue of a DEAD item sets attempts 0 and state QUEUED."""
    assert run(["fetch", "order", "4711", *HERE, "--urgent"]) == 3
    assert "the system has no such record" in capsys.readouterr().out
    (dead,) = company.rows("flow.work_item")
    number = str(dead["work_id"])
    assert (dead["state"], dead["attempts"]) == ("DEAD", 1)
    assert run(["work", "list", *HERE, "--state", "DEAD", "--json"]) == 0
    assert [row["work_id"] for row in json.loads(capsys.readouterr().out)] == [dead["work_id"]]
    assert run(["work", "requeue", number, *HERE, *WHY]) == 0
    (item,) = company.rows("flow.work_item")
    assert (item["state"], item["attempts"], item["closed_at"], item["last_error"]) == ("QUEUED", 0, None, None)
    (change,) = company.rows("audit.change")
    assert (change["actor"], change["action"], change["object_code"]) == ("ann", "requeue", f"998/{number}")
    assert run(["work", "requeue", number, *HERE, *WHY]) == 2
    assert run(["work", "requeue", "999", *HERE, *WHY]) == 2
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["E-WRK-002", "E-WRK-001"]


def test_a_fetch_that_is_open_again_is_not_put_back_twice(
    company: IntegratedCompany, shop: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fetch", "order", "4711", *HERE, "--urgent"]) == 3
    assert run(["fetch", "order", "4711", *HERE]) == 0
    dead = company.rows("flow.work_item")[0]["work_id"]
    capsys.readouterr()
    assert run(["work", "requeue", str(dead), *HERE, *WHY]) == 2
    assert capsys.readouterr().err.startswith(f"E-WRK-003 work 998/{dead}: the same record is asked for already")


def test_a_connection_whose_credentials_were_refused_is_shown_and_resumed(
    company: IntegratedCompany, shop: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    company.environment["SHOP_KEY"] = "old"
    company.round()
    assert run(["connections", "list", *HERE, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["connection_code"], row["polled_at"]) == ("shop_998", None)
    assert "E-SRC-" in row["stopped"]
    assert run(["connections", "resume", "shop_998", *WHY]) == 0
    assert run(["connections", "resume", "shop_998", *WHY]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "connection shop_998 goes on",
        "connection shop_998 was not stopped",
    ]
    company.environment["SHOP_KEY"] = "ck_demo"
    later(company)
    assert run(["connections", "resume", "shop_99", *WHY]) == 2
    assert capsys.readouterr().err == "E-WRK-004 connection shop_99: no such active connection; did you mean shop_998?\n"


def stopped_by_deletes(company: IntegratedCompany, shop: Counting) -> None:
    """Let the shop lose most of its customers, so that the stream stops and deletes none."""
    customers = [shop.add_customer(email=f"c{number}@example.com")["id"] for number in range(10)]
    later(company)
    for customer in customers[:8]:
        shop.delete("customers", customer)
    later(company, days=1)
    assert [row["deleted_at"] for row in company.rows("hub.customer")] == [None] * 10


def test_a_stream_that_would_delete_too_much_deletes_what_a_person_agreed_to(
    company: IntegratedCompany, shop: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped_by_deletes(company, shop)
    assert run(["connections", "list", *HERE, "--json"]) == 0
    assert "misses 8 of 10 records" in json.loads(capsys.readouterr().out)[0]["stopped"]
    resume = ["connections", "resume", "shop_998", *WHY]
    assert run([*resume, "--accept-deletes", "7"]) == 1
    written = capsys.readouterr()
    assert written.err.startswith("customers is stopped again: a complete pass misses 8 of 10 records")
    assert run([*resume, "--accept-deletes", "8"]) == 0
    assert capsys.readouterr().out.splitlines() == ["connection shop_998 goes on", "customers: 8 missing records are deleted"]
    later(company)
    assert sum(row["deleted_at"] is not None for row in company.rows("hub.customer")) == 8


def test_nothing_is_resumed_with_deletes_while_another_run_works(
    company: IntegratedCompany, shop: Counting, engine: sa.Engine, clock: FixedClock, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped_by_deletes(company, shop)
    with hold(engine, ["998"], "integration", holder="other", clock=clock):
        assert run(["connections", "resume", "shop_998", "--accept-deletes", "8", *WHY]) == 4
    assert capsys.readouterr().err.startswith("E-DB-031")
    assert run(["connections", "resume", "shop_998", "--accept-deletes", "8", *WHY]) == 0


def test_a_new_field_is_listed_until_it_is_accepted(
    company: IntegratedCompany, shop: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    product = shop.add_product("Lamp")
    shop.change("products", product["id"], loyalty_points=5)
    later(company)
    assert run(["connections", "drift", *HERE, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["stream"], row["path"], row["example"]) == ("products", "loyalty_points", "5")
    accept = ["connections", "drift", "--connection", "shop_998", *WHY]
    assert run([*accept, "--accept", "loyalty"]) == 2
    assert capsys.readouterr().err.startswith("E-WRK-005 connection shop_998: loyalty is no new field; did you mean")
    assert run([*accept, "--accept", "loyalty_points"]) == 0
    assert run(["connections", "drift", *HERE]) == 0
    assert capsys.readouterr().out.splitlines() == ["accepted: products loyalty_points", "no new fields"]
    assert run(["connections", "drift", *HERE, "--all"]) == 0
    assert "loyalty_points" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [
        "fetch",
        *(f"work {verb}" for verb in ("list", "requeue")),
        *(f"connections {verb}" for verb in ("list", "resume", "drift")),
        *(f"mapping {verb}" for verb in ("worklist", "set", "list", "remove", "ratio set", "ratio list", "ratio remove")),
    ],
)
def test_every_help_of_the_worklist_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command.split(), "--help"]) == 0
    assert f"erpcrm {command}" in " ".join(capsys.readouterr().out.split())
