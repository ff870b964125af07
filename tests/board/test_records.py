"""The data hub supervisor on the board: find what is not OK, see why, correct it, relaunch it; what was received stays."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.services.data_hub import advance, take_pivot_files
from erpcrm_orchestration.services.inbox_correction import verify
from erpcrm_orchestration.store.schema import hub_dataset
from tests.board_house import House, text_of
from tests.integrated_company import IntegratedCompany
from tests.postgres import intake_company

REASON = "asked the customer"


@pytest.fixture
def shop(clock: FixedClock) -> Shop:
    """The simulated shop."""
    return Shop(clock=clock)


@pytest.fixture
def integrated(engine: sa.Engine, clock: FixedClock, shop: Shop) -> Iterator[IntegratedCompany]:
    """Dossier 998 with the shop connected, and dossier 001 beside it."""
    made = IntegratedCompany(engine, clock)
    made.dossier()
    made.dossier("001")
    server = WebServer(shop)
    server.start()
    made.connect_shop(server.url)
    yield made
    server.stop()


def bad_order(company: IntegratedCompany, shop: Shop, **wrong: Any) -> dict[str, Any]:
    """Return the message of an order that was refused after an earlier version was integrated."""
    product = shop.add_product("Lamp", "12.50")
    order = shop.add_order([(product["id"], 2)])
    company.round()
    company.pass_time()
    shop.change("orders", order["id"], **(wrong or {"total": "twelve"}), status="completed")
    company.round()
    message = dict(company.rows("flow.inbox", entity="order")[-1])
    assert message["state"] == "REJECTED"
    return message


def test_an_erroneous_record_is_found_corrected_with_its_difference_shown_and_integrated(
    integrated: IntegratedCompany, shop: Shop, house: House
) -> None:
    message = bad_order(integrated, shop)
    number = message["message_id"]
    guest = house.guest({"998": "operate"})
    listed = guest.get("/records?dossier=998&state=REJECTED")
    assert f'href="/records/998/{number}"' in listed.text
    shown = guest.get(f"/records/998/{number}")
    marked = shown.text.split("is-wrong")[1].split("</label>")[0]
    assert "<code>total</code>" in marked
    assert 'value="twelve"' in marked
    preview = guest.post(f"/records/998/{number}/correct", {"v:total": "36.00", "v:status": "completed"})
    words = text_of(preview)
    assert "$.total &quot;twelve&quot;".replace("&quot;", '"') in words
    assert "Corrected like this it is integrated." in words
    assert integrated.rows("audit.correction") == []
    form = {"v:total": "36.00", "confirmed": "1", "reason": REASON}
    done = guest.post(f"/records/998/{number}/correct", form)
    assert done.status_code == 303
    made = int(done.headers["location"].rpartition("/")[2])
    integrated.round()
    (order,) = integrated.rows("hub.order_header")
    assert (order["total"], order["status"]) == (Decimal("36.00"), "completed")
    (original,) = integrated.rows("flow.inbox", message_id=number)
    assert (original["state"], original["payload"]) == ("SUPERSEDED", message["payload"])
    (row,) = integrated.rows("audit.correction")
    assert (row["actor"], row["reason"], row["corrected_message_id"]) == (guest.login, REASON, made)
    assert verify(integrated.engine)[0] == 1
    assert "corrects message" in text_of(guest.get(f"/records/998/{made}"))


def test_a_stale_correction_is_refused_and_nothing_is_written(integrated: IntegratedCompany, shop: Shop, house: House) -> None:
    """A newer version came while a person was typing: what the person saw is not what is there."""
    message = bad_order(integrated, shop)
    first, second = house.guest({"998": "operate"}), house.guest({"998": "operate"})
    form = {"v:total": "36.00", "confirmed": "1", "reason": REASON}
    path = f"/records/998/{message['message_id']}/correct"
    assert first.post(path, form).status_code == 303
    late = second.post(path, {**form, "v:total": "37.00"})
    assert late.status_code == 422
    assert "E-COR-002" in text_of(late)
    assert len(integrated.rows("audit.correction")) == 1
    api = second.call(f"/api/v1/records/998/{message['message_id']}/correction", {"set": {"total": "1"}, "reason": "x"})
    assert (api.status_code, api.json()["errors"][0][:9]) == (409, "E-COR-002")


def test_a_correction_that_would_be_refused_again_keeps_what_was_typed(
    integrated: IntegratedCompany, shop: Shop, house: House
) -> None:
    number = bad_order(integrated, shop)["message_id"]
    guest = house.guest({"998": "operate"})
    answer = guest.post(f"/records/998/{number}/correct", {"v:total": "thirteen"})
    assert answer.status_code == 422
    assert "E-COR-006" in text_of(answer)
    assert 'value="thirteen"' in answer.text
    empty = guest.post(f"/records/998/{number}/correct", {"v:total": "36.00", "confirmed": "1", "reason": " "})
    assert "E-COR-009" in text_of(empty)


def test_what_cannot_be_read_as_a_record_is_corrected_as_a_whole(
    integrated: IntegratedCompany, shop: Shop, house: House
) -> None:
    message = bad_order(integrated, shop)
    guest = house.guest({"998": "operate"})
    whole = message["payload"].replace('"twelve"', '"36.00"')
    path = f"/api/v1/records/998/{message['message_id']}"
    trial = guest.call(f"{path}/trial", {"record": whole})
    assert trial.json()["state"] == "TRANSFORMED"
    assert [one["path"] for one in trial.json()["differences"]] == ["$.total"]
    made = guest.call(f"{path}/correction", {"record": whole, "reason": REASON})
    assert made.status_code == 201
    assert guest.get(f"/api/v1/records/998/{made.json()['message_id']}").json()["corrects"] == message["message_id"]


def test_bulk_relaunch_shows_what_it_takes_and_takes_only_what_the_person_may_operate(
    integrated: IntegratedCompany, shop: Shop, house: House
) -> None:
    bad_order(integrated, shop)
    integrated.pass_time()
    bad_order(integrated, shop)
    guest = house.guest({"998": "operate"})
    (one,) = guest.get("/api/v1/records?state=REJECTED").json()["classes"]
    assert one["messages"] == 2
    assert one["error_class"] == "E-MAP-001 shop_# orders #: $.total"
    query = {"error_class": one["error_class"], "entity": "order"}
    preview = text_of(guest.get("/relaunch", params=query))
    assert "Relaunch 2 records" in preview
    assert house.guest({"998": "view"}).get("/relaunch", params=query).status_code == 404
    foreign = house.guest({"001": "operate", "998": "view"})
    assert "nothing that you may relaunch" in text_of(foreign.get("/relaunch", params=query))
    done = guest.post("/relaunch", {"reason": "mapping corrected"}, params=query)
    assert "2 records entered again" in text_of(done)
    assert integrated.states(entity="order").count("NEW") == 2
    assert {row["action"] for row in integrated.rows("audit.correction")} == {"relaunch"}


def test_the_way_of_a_record_is_told_step_by_step(integrated: IntegratedCompany, shop: Shop, house: House) -> None:
    message = bad_order(integrated, shop)
    guest = house.guest({"998": "view"})
    steps = guest.get(f"/api/v1/journeys/998/order?source_id={message['source_id']}&system=shop").json()
    assert [step["event"] for step in steps][:2] == ["received", "transformed"]
    assert "rejected" in text_of(guest.get(f"/journeys/998/order?source_id={message['source_id']}"))
    assert guest.get("/api/v1/journeys/001/order?source_id=1").status_code == 404


def test_catalogue_104_an_export_runs_no_formula_and_has_the_separators_of_the_language(
    integrated: IntegratedCompany, shop: Shop, house: House
) -> None:
    bad_order(integrated, shop, total='=cmd|"/c calc"!A1')
    guest = house.guest({"998": "view"}, language="fr")
    answer = guest.get("/records.csv?state=REJECTED")
    assert answer.headers["content-disposition"] == 'attachment; filename="records.csv"'
    (row,) = csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff")), delimiter=";")
    assert all(not cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())
    (same,) = guest.get("/records.json?state=REJECTED").json()
    assert same["error"] == row["error"]
    assert [event["details"]["what"] for event in integrated.rows("audit.event", action="export")] == ["records"] * 2


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "&amp;<b>", '"><img src=x onerror=alert(1)>'])
def test_what_a_source_sends_is_never_markup(integrated: IntegratedCompany, shop: Shop, house: House, text: str) -> None:
    number = bad_order(integrated, shop, total=text)["message_id"]
    guest = house.guest({"998": "operate"})
    for path in ("/records", f"/records/998/{number}", "/relaunch"):
        assert text not in guest.get(path).text


@pytest.fixture
def numbers(engine: sa.Engine, clock: FixedClock, tmp_path: Path) -> dict[str, int]:
    """Datasets of dossier 001: `good` is closed, `bad` is in error."""
    intake_company.company(engine, dossiers={"001": {"hub_folder": str(tmp_path)}, "998": {}})
    for name, day in (("good", "20261118"), ("bad", "yesterday")):
        fields = f"<TimeId>7</TimeId><Jour>{day}</Jour><Valide>1</Valide>"
        (tmp_path / f"{name}.DHUB").write_text(f'<DataHub DataSetType="TPSAFF">{fields}</DataHub>')
    take_pivot_files(engine, ["001"], clock=clock, environment={}, run_id=None)
    advance(engine, ["001"], clock=clock, run_id=None)
    found = intake_company.table(engine, hub_dataset, "source_key", "dataset_number")
    return {row[0].removesuffix(".DHUB"): row[1] for row in found}


def test_A13_a_dataset_is_corrected_and_relaunched_and_the_number_falls_at_the_next_refresh(
    engine: sa.Engine, clock: FixedClock, numbers: dict[str, int], house: House
) -> None:
    guest, bad = house.guest({"001": "operate"}), numbers["bad"]
    listed = guest.get("/datasets?dossier=001&category=TIME&created=today")
    assert f'href="/datasets/{bad}"' in listed.text
    assert f'href="/datasets/{numbers["good"]}"' not in listed.text
    shown = guest.get(f"/datasets/{bad}").text
    assert "Jour" in shown.split("is-wrong")[1].split("</label>")[0]
    assert guest.post(f"/datasets/{bad}/correct", {"v:Jour": "20261118", "reason": REASON}).status_code == 303
    assert guest.post(f"/datasets/{bad}/relaunch", {"state_number": "100", "reason": REASON}).status_code == 303
    advance(engine, ["001"], clock=clock, run_id=None)
    assert guest.get(f"/api/v1/datasets/{bad}").json()["state_group"] == "CLOSED_OK"
    assert guest.get("/api/v1/datasets?dossier=001").json()["total"] == 0


def test_a_dataset_shows_its_way_and_what_people_did_to_it_with_the_difference(
    engine: sa.Engine, clock: FixedClock, numbers: dict[str, int], house: House
) -> None:
    guest, bad = house.guest({"001": "operate"}), numbers["bad"]
    guest.post(f"/datasets/{bad}/correct", {"v:Jour": "20261118", "reason": REASON})
    guest.post(f"/datasets/{bad}/relaunch", {"state_number": "100", "reason": REASON})
    advance(engine, ["001"], clock=clock, run_id=None)
    words = text_of(guest.get(f"/datasets/{bad}"))
    assert f"relaunched by {guest.login}: {REASON}" in words
    assert '$.Jour "yesterday" "20261118"' in words
    assert verify(engine)[0] == 2


def test_all_datasets_with_the_same_error_are_relaunched_after_a_preview(
    engine: sa.Engine, clock: FixedClock, numbers: dict[str, int], house: House
) -> None:
    guest = house.guest({"001": "operate"})
    (found,) = guest.get("/api/v1/datasets?dossier=001").json()["classes"]
    assert (found["type_code"], found["datasets"]) == ("TPSAFF", 1)
    assert "'...'" in found["error_class"]
    query = {"error_class": found["error_class"]}
    assert "Relaunch 1 datasets" in text_of(guest.get("/relaunch-datasets", params=query))
    assert house.guest({"001": "view"}).get("/relaunch-datasets", params=query).status_code == 404
    done = guest.post("/relaunch-datasets", {"state_number": "100", "reason": REASON}, params=query)
    assert "1 records entered again" in text_of(done)
    assert guest.get(f"/api/v1/datasets/{numbers['bad']}").json()["attempts"] == 2


def test_a_relaunch_at_a_state_that_is_not_lower_is_refused_in_one_line(numbers: dict[str, int], house: House) -> None:
    guest = house.guest({"001": "operate"})
    answer = guest.post(f"/datasets/{numbers['bad']}/relaunch", {"state_number": "777", "reason": REASON})
    assert answer.status_code == 422
    assert "E-HUB-024" in text_of(answer)
    assert house.guest({"001": "view"}).post(f"/datasets/{numbers['bad']}/relaunch", {"state_number": "100"}).status_code == 404


def test_the_logbook_shows_what_is_behind_the_counts_of_the_day(numbers: dict[str, int], house: House) -> None:
    guest = house.guest({"001": "view"})
    found = guest.get("/api/v1/logbook?dossier=001").json()
    assert found["total"] > 0
    assert guest.get("/logbook?dossier=001&show=rejects").status_code == 200
    assert guest.get("/api/v1/logbook?dossier=998").status_code == 404
