"""`erpcrm inbox`: a received record is corrected, relaunched and followed; what was received never changes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.correction import assignment
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.services.inbox_correction import Author, Correction, Proposal, correct, propose, verify
from erpcrm_orchestration.services.leases import hold
from erpcrm_orchestration.store.configuration import load_connections
from erpcrm_orchestration.store.connection_state import stop_stream
from tests.integrated_company import SHOP_CREDENTIALS, IntegratedCompany

WHY = ["--dossier", "998", "--reason", "asked the customer"]


@pytest.fixture
def shop(clock: FixedClock) -> Shop:
    """The simulated shop."""
    return Shop(clock=clock)


@pytest.fixture
def company(
    engine: sa.Engine, database_url: sa.URL, clock: FixedClock, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> Iterator[IntegratedCompany]:
    """Dossier 998 with the shop connected; the command line works on this database at the clock's time."""
    monkeypatch.setenv("ERPCRM_DATABASE_URL", database_url.render_as_string(hide_password=False))
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setattr("erpcrm_orchestration.cli.inbox.SystemClock", lambda: clock)
    for name, value in SHOP_CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    made = IntegratedCompany(engine, clock)
    made.dossier()
    server = WebServer(shop)
    server.start()
    made.connect_shop(server.url)
    yield made
    server.stop()


def bad_order(company: IntegratedCompany, shop: Shop) -> dict[str, Any]:
    """Return the message of an order whose total is no number, refused after an earlier version was integrated."""
    product = shop.add_product("Lamp", "12.50")
    order = shop.add_order([(product["id"], 2)])
    company.round()
    company.clock.at += timedelta(seconds=61)
    shop.change("orders", order["id"], total="twelve", status="completed")
    company.round()
    message = dict(company.rows("flow.inbox", entity="order")[-1])
    assert message["state"] == "REJECTED"
    return message


def again(company: IntegratedCompany) -> None:
    """Let the next round come."""
    company.clock.at += timedelta(seconds=61)
    assert company.round()["998"].failures == []


def test_B15_a_refused_record_keeps_the_rows_of_its_earlier_version_and_is_corrected(
    company: IntegratedCompany, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """B15: the message is REJECTED with its error, earlier rows stay; the correction is a message of its own."""
    message = bad_order(company, shop)
    number = message["message_id"]
    (before,) = company.rows("hub.order_header")
    assert (before["total"], before["status"]) == (Decimal("36.00"), "processing")
    assert run(["inbox", "list", "--dossier", "998", "--state", "REJECTED", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["message_id"], listed["error"]) == (number, message["error"])
    assert run(["inbox", "fix", str(number), "--set", "total=36.00", "--yes", *WHY]) == 0
    made = company.rows("flow.inbox", entity="order")[-1]
    assert capsys.readouterr().out.splitlines() == [
        f"message {number}: order {message['source_id']} of shop, REJECTED",
        '  $.total: "twelve" -> "36.00"',
        f"message {number} is corrected by message {made['message_id']}",
        f"message {made['message_id']} is TRANSFORMED",
    ]
    (original,) = company.rows("flow.inbox", message_id=number)
    assert original["state"] == "SUPERSEDED"
    kept = ("payload", "content_hash", "version_at", "error", "received_at", "run_id")
    assert {name: original[name] for name in kept} == {name: message[name] for name in kept}
    assert (made["via"], made["corrects"], made["version_at"]) == ("correction", number, original["version_at"])
    (after,) = company.rows("hub.order_header")
    assert (after["total"], after["status"]) == (Decimal("36.00"), "completed")


def test_the_next_poll_of_the_unchanged_record_does_not_undo_a_correction_and_a_newer_version_does(
    company: IntegratedCompany, shop: Shop
) -> None:
    message = bad_order(company, shop)
    assert run(["inbox", "fix", str(message["message_id"]), "--set", "total=26.10", "--yes", *WHY]) == 0
    made = company.rows("flow.inbox", entity="order")[-1]
    again(company)
    assert company.rows("flow.inbox", entity="order")[-1] == made
    (head,) = company.rows("hub.cross_reference", entity="order")
    assert (head["message_id"], head["content_hash"]) == (made["message_id"], message["content_hash"])
    shop.change("orders", int(message["source_id"]), total="27.00")
    again(company)
    assert company.rows("hub.order_header")[0]["total"] == Decimal("27.00")


def test_a_correction_that_would_be_refused_again_is_not_written(
    company: IntegratedCompany, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    number = bad_order(company, shop)["message_id"]
    stored = company.rows("flow.inbox")
    assert run(["inbox", "fix", str(number), "--set", "total=13", "--set", "currency=XXY", "--yes", *WHY]) == 2
    assert capsys.readouterr().err.startswith(f"E-COR-006 message 998/{number}: corrected like this it is refused: E-")
    assert run(["inbox", "fix", str(number), "--set", "total=13", *WHY]) == 2
    assert capsys.readouterr().err == "E-CLI-061 confirmation: nobody can be asked here; repeat with --yes\n"
    assert company.rows("flow.inbox") == stored
    assert company.rows("audit.correction") == []


def test_stale_and_empty_corrections_are_refused(
    company: IntegratedCompany, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    message = bad_order(company, shop)
    number, first = message["message_id"], company.rows("flow.inbox", entity="order")[0]["message_id"]
    fix = ["--yes", *WHY]
    for command, refusal in (
        ([str(first), "--set", "total=1"], f"E-COR-002 message 998/{first}: order {message['source_id']} has a newer message"),
        ([str(number), "--set", "total=twelve"], f"E-COR-004 message 998/{number}: nothing differs"),
        ([str(number), "--set", "id=9999"], f"E-COR-011 message 998/{number} $.id: it is not {message['source_id']}"),
        ([str(number), "--set", "totl.x=9"], "E-COR-007 erpcrm inbox fix --set totl.x: the record has no such place"),
        (["999999", "--set", "total=9"], "E-COR-001 message 998/999999: no such message"),
        ([str(number), "--from-file", "/nowhere.json"], "E-COR-013 /nowhere.json: No such file or directory"),
    ):
        assert run(["inbox", "fix", *command, *fix]) == 2
        assert capsys.readouterr().err.startswith(refusal)
    assert run(["inbox", "fix", str(number), "--set", "total=9", "--yes", "--dossier", "998", "--reason", " "]) == 2
    assert "E-COR-009" in capsys.readouterr().err
    assert company.rows("audit.correction") == []


def test_a_correction_that_became_stale_while_it_was_looked_at_is_refused(
    company: IntegratedCompany, shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = bad_order(company, shop)

    def a_newer_version_comes(_question: str) -> None:
        shop.change("orders", int(message["source_id"]), total="27.00")
        again(company)

    monkeypatch.setattr("erpcrm_orchestration.cli.inbox.confirm", a_newer_version_comes)
    assert run(["inbox", "fix", str(message["message_id"]), "--set", "total=26.10", *WHY]) == 2
    assert capsys.readouterr().err.startswith("E-COR-002")
    assert company.rows("hub.order_header")[0]["total"] == Decimal("27.00")


def test_a_record_with_a_fault_of_its_text_is_corrected_from_a_file(
    company: IntegratedCompany, shop: Shop, tmp_path: Path
) -> None:
    """The whole record comes from a file when single places of it cannot be read."""
    order = shop.add_order([(shop.add_product("Lamp", "12.50")["id"], 2)])
    shop.spoil("orders", order["id"], date_modified_gmt="yesterday")
    company.round()
    (message,) = company.rows("flow.inbox", entity="order")
    assert message["state"] == "REJECTED"
    assert message["error"].startswith("E-SRC-018")
    corrected = json.loads(message["payload"]) | {"customer_note": "by phone"}
    (tmp_path / "corrected.json").write_text(json.dumps(corrected))
    file = str(tmp_path / "corrected.json")
    assert run(["inbox", "fix", str(message["message_id"]), "--from-file", file, "--yes", *WHY]) == 0
    (header,) = company.rows("hub.order_header")
    assert header["customer_note"] == "by phone"
    again(company)
    assert len(company.rows("flow.inbox", entity="order")) == 2


def test_a_record_that_cannot_be_read_is_corrected_as_a_whole(
    company: IntegratedCompany, shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = shop.add_order([(shop.add_product("Lamp", "12.50")["id"], 2)])
    shop.spoil("orders", order["id"], total=float("nan"))
    company.round()
    (message,) = company.rows("flow.inbox", entity="order")
    assert message["error"].startswith("E-SRC-001")
    number = str(message["message_id"])
    assert run(["inbox", "fix", number, "--set", "total=36.00", "--yes", *WHY]) == 2
    assert capsys.readouterr().err == (
        f"E-COR-010 message 998/{number}: single values cannot be set: $.total NaN is not a JSON number; "
        "give the whole record with --from-file\n"
    )
    file = tmp_path / "corrected.json"
    file.write_text(message["payload"].replace("NaN", "36.00"))
    assert run(["inbox", "fix", number, "--from-file", str(file), "--set", "total:=1e400", "--yes", *WHY]) == 2
    assert "out of range" in capsys.readouterr().err
    assert run(["inbox", "fix", number, "--from-file", str(file), "--remove", "customer_note", "--yes", *WHY]) == 0
    assert company.rows("hub.order_header")[0]["total"] == Decimal("36.00")


def test_a_record_without_a_date_after_a_good_version_is_corrected_until_a_newer_one_comes(
    company: IntegratedCompany, shop: Shop
) -> None:
    order = shop.add_order([(shop.add_product("Lamp", "12.50")["id"], 2)])
    company.round()
    company.clock.at += timedelta(seconds=61)
    shop.spoil("orders", order["id"], date_modified_gmt="yesterday", customer_note="wrong")
    company.round()
    first, faulty = company.rows("flow.inbox", entity="order")
    assert (first["state"], faulty["state"]) == ("TRANSFORMED", "REJECTED")
    assert run(["inbox", "fix", str(faulty["message_id"]), "--set", "customer_note=right", "--yes", *WHY]) == 0
    assert company.states(entity="order") == ["TRANSFORMED", "SUPERSEDED", "TRANSFORMED"]
    for _ in range(2):
        again(company)
        assert company.rows("hub.order_header")[0]["customer_note"] == "right"
    assert len(company.states(entity="order")) == 3
    shop.change("orders", order["id"], customer_note="new")
    again(company)
    assert company.rows("hub.order_header")[0]["customer_note"] == "new"


def test_a_correction_of_a_record_without_versions_outlives_the_next_complete_reading(
    company: IntegratedCompany, shop: Shop
) -> None:
    category = shop.add_category("Lamps", parent=0)
    shop.spoil("products/categories", category["id"], parent=77)
    company.round()
    (waiting,) = company.rows("flow.inbox", entity="category")
    assert waiting["waiting_for"] == "category 77"
    assert run(["inbox", "fix", str(waiting["message_id"]), "--set", "parent=0", "--yes", *WHY]) == 0
    company.clock.at += timedelta(days=1)
    company.round()
    assert company.states(entity="category") == ["SUPERSEDED", "TRANSFORMED"]


def test_of_two_corrections_at_once_one_stands_and_the_chain_holds(
    company: IntegratedCompany, shop: Shop, engine: sa.Engine, clock: FixedClock
) -> None:
    """Two people correct the same records at the same time: each record gets one correction, each correction one row."""
    for _ in range(6):
        shop.add_product("Lamp")
    company.round()
    numbers = [row["message_id"] for row in company.rows("flow.inbox", entity="product")]
    wanted = Correction([assignment("name=Lantern")])
    proposals = [propose(engine, "998", number, wanted, clock=clock) for number in numbers * 2]

    def write(proposal: Proposal) -> str:
        try:
            correct(engine, proposal, Author("ann", "asked"), clock=clock, run_id="run-2")
        except InputError as refused:
            return refused.code
        return "written"

    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(write, proposals))
    assert sorted(done) == ["E-COR-002"] * 6 + ["written"] * 6
    assert verify(engine)[0] == 6
    assert company.states(entity="product") == ["SUPERSEDED"] * 6 + ["NEW"] * 6


def test_a_correction_in_a_stopped_stream_says_why_it_is_not_integrated(
    company: IntegratedCompany, shop: Shop, engine: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    number = bad_order(company, shop)["message_id"]
    with engine.begin() as connection:
        of = load_connections(connection)["shop_998"]
        stop_stream(connection, of, "orders", "another shape", company.clock.now())
    assert run(["inbox", "fix", str(number), "--set", "total=36.00", "--yes", *WHY]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("is NEW because its stream is stopped: another shape")


def test_what_waits_for_a_refused_record_goes_on_when_that_is_corrected(company: IntegratedCompany, shop: Shop) -> None:
    """Successors wait: the order of a refused product is integrated after the product's correction, in the same command."""
    product = shop.add_product("Lamp", "12.50")
    shop.add_order([(product["id"], 2)])
    shop.spoil("products", product["id"], price="much")
    company.round()
    (refused,) = company.rows("flow.inbox", entity="product", state="REJECTED")
    (waiting,) = company.rows("flow.inbox", entity="order")
    assert (waiting["state"], waiting["waiting_for"]) == ("WAITING", f"product {product['id']}")
    assert run(["inbox", "fix", str(refused["message_id"]), "--set", "price=12.50", "--yes", *WHY]) == 0
    assert company.states(entity="order") == ["TRANSFORMED"]


def test_B26_a_record_that_was_given_up_names_what_was_missing_and_enters_again(
    company: IntegratedCompany, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """B26: a parent still missing after 24 h makes the message DEAD with the missing parent; relaunch clears its waiting."""
    product = shop.add_product("Lamp", "12.50")
    shop.add_order([(product["id"], 2)])
    shop.delete("products", product["id"])
    company.round()
    assert company.states(entity="order") == ["WAITING"]
    company.clock.at += timedelta(hours=24, seconds=1)
    company.round()
    (dead,) = company.rows("flow.inbox", entity="order")
    assert dead["state"] == "DEAD"
    assert dead["error"].endswith(f"missing product {product['id']}")
    assert run(["inbox", "relaunch", "--all", "--state", "DEAD", "--entity", "order", *WHY]) == 0
    number = dead["message_id"]
    assert capsys.readouterr().out.splitlines() == [
        f"1 entered again: {number}",
        f"message {number} is WAITING for product {product['id']}",
    ]
    (entered,) = company.rows("flow.inbox", entity="order")
    assert entered["waiting_since"] == company.clock.at
    (row,) = company.rows("audit.correction")
    assert (row["action"], row["actor"], row["message_id"]) == ("relaunch", "ann", number)


def test_only_what_is_refused_and_newest_is_relaunched(
    company: IntegratedCompany, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    message = bad_order(company, shop)
    first = company.rows("flow.inbox", entity="order")[0]["message_id"]
    assert run(["inbox", "relaunch", str(message["message_id"]), str(first), *WHY]) == 2
    assert capsys.readouterr().err.startswith(f"E-COR-002 message 998/{first}")
    product = company.rows("flow.inbox", entity="product")[0]["message_id"]
    assert run(["inbox", "relaunch", str(product), *WHY]) == 2
    assert capsys.readouterr().err.startswith(f"E-COR-003 message 998/{product}: it is TRANSFORMED")
    assert run(["inbox", "relaunch", *WHY]) == 2
    assert run(["inbox", "relaunch", "--all", "--state", "NEW", *WHY]) == 2
    assert company.rows("audit.correction") == []


def test_while_another_run_works_the_next_round_integrates_the_correction(
    company: IntegratedCompany, shop: Shop, engine: sa.Engine, clock: FixedClock, capsys: pytest.CaptureFixture[str]
) -> None:
    message = bad_order(company, shop)
    with hold(engine, ["998"], "integration", holder="other", clock=clock):
        assert run(["inbox", "fix", str(message["message_id"]), "--set", "total=26.10", "--yes", *WHY]) == 0
    assert capsys.readouterr().out.endswith("another run works on this dossier: its next round integrates them\n")
    assert company.rows("flow.inbox", entity="order")[-1]["state"] == "NEW"
    again(company)
    assert company.rows("hub.order_header")[0]["total"] == Decimal("26.10")


def test_corrections_are_chained_the_first_broken_row_is_named_and_a_cut_end_is_not_seen(
    company: IntegratedCompany, shop: Shop, engine: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    number = bad_order(company, shop)["message_id"]
    for total in ("26.10", "26.20", "26.30", "26.40"):
        assert run(["inbox", "fix", str(number), "--set", f"total={total}", "--yes", *WHY]) == 0
        number = company.rows("flow.inbox", entity="order")[-1]["message_id"]
    rows = company.rows("audit.correction")
    assert rows[0]["previous_hash"] == "0" * 64
    assert [row["previous_hash"] for row in rows[1:]] == [row["row_hash"] for row in rows[:-1]]
    capsys.readouterr()
    assert run(["inbox", "audit", "--verify"]) == 0
    said = "4 rows, each is as its hash says and follows the one before it; the last hash is"
    assert capsys.readouterr().out == f"{said} {rows[-1]['row_hash']}\n"
    assert run(["inbox", "audit", "--json"]) == 0
    assert [one["actor"] for one in json.loads(capsys.readouterr().out)] == ["ann"] * 4
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(sa.text("UPDATE audit.correction SET reason = 'x'"))

    def tamper(change: str, row: Mapping[str, Any]) -> None:
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE audit.correction DISABLE TRIGGER USER"))
            connection.execute(sa.text(f"{change} WHERE correction_id = :number"), {"number": row["correction_id"]})

    tamper("DELETE FROM audit.correction", rows[3])
    assert run(["inbox", "audit", "--verify"]) == 0
    assert capsys.readouterr().out == f"{said.replace('4', '3')} {rows[2]['row_hash']}\n"
    for change in ("UPDATE audit.correction SET reason = 'x'", "DELETE FROM audit.correction"):
        tamper(change, rows[1])
        assert run(["inbox", "audit", "--verify"]) == 1
        broken = rows[1] if change.startswith("UPDATE") else rows[2]
        assert capsys.readouterr().err.startswith(f"E-COR-012 audit row {broken['correction_id']}: ")


def test_a_message_is_shown_with_its_corrections_and_the_rows_it_became(
    company: IntegratedCompany, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    number = bad_order(company, shop)["message_id"]
    assert run(["inbox", "fix", str(number), "--set", "total=26.10", "--yes", *WHY]) == 0
    made = company.rows("flow.inbox", entity="order")[-1]["message_id"]
    capsys.readouterr()
    assert run(["inbox", "show", str(made), "--dossier", "998"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "state: TRANSFORMED" in shown
    assert '  $.total: "twelve" -> "26.10"' in shown
    assert any(line.startswith("row order_header: ") and "total=26.10" in line for line in shown)
    assert any(line.startswith("row order_line: ") for line in shown)
    assert run(["inbox", "show", str(made), "--dossier", "998", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["rows"]["order_header"][0]["total"] == "26.10"
    assert whole["corrections"][0]["reason"] == "asked the customer"


def test_a_journey_tells_one_records_way_in_the_order_of_time(
    company: IntegratedCompany, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    message = bad_order(company, shop)
    number, order = message["message_id"], message["source_id"]
    assert run(["inbox", "fix", str(number), "--set", "total=26.10", "--yes", *WHY]) == 0
    capsys.readouterr()
    assert run(["inbox", "journey", order, "--dossier", "998", "--entity", "order", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)
    assert [step["at"] for step in steps] == sorted(step["at"] for step in steps)
    told = [(step["event"], step["subject"]) for step in steps]
    made = company.rows("flow.inbox", entity="order")[-1]["message_id"]
    for one in (
        ("received", f"message {number}"),
        ("superseded", f"message {number}"),
        ("fix", f"message {number}"),
        ("received", f"message {made}"),
        ("transformed", f"message {made}"),
        ("logbook", "REJECT"),
        ("logbook", "OK"),
    ):
        assert one in told
    assert {step["run_id"] for step in steps} >= {"run-1"}
    record = company.rows("hub.order_header")[0]["order_id"]
    assert run(["inbox", "journey", "--record", str(record), "--dossier", "998", "--entity", "order"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == f"order {record} of dossier 998: shop {order}"
    assert len(lines) == len(steps)
    assert run(["inbox", "journey", "31337", "--dossier", "998", "--entity", "order"]) == 2
    assert capsys.readouterr().err.startswith("E-COR-020 order 31337 of dossier 998: nothing is known of it")


@pytest.mark.parametrize("verb", ["list", "show", "fix", "relaunch", "journey", "audit"])
def test_every_help_of_the_inbox_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inbox", verb, "--help"]) == 0
    assert f"erpcrm inbox {verb}" in " ".join(capsys.readouterr().out.split())
