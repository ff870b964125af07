"""Both sides compared and repaired, on the simulated shop, ERP and CRM over HTTP and a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.demo.crm_api import Crm
from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.correction import assignment
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.reconciliation import Compared, Counts, delete_refusal, systems_agree
from erpcrm_orchestration.services.inbox_correction import Author, Correction, correct, propose
from erpcrm_orchestration.services.observation import judge
from erpcrm_orchestration.services.reconciliation import Reconciliation, reconcile
from erpcrm_orchestration.services.reconciliation_repair import Repair, undo_deletes
from erpcrm_orchestration.store.configuration import load_connections
from erpcrm_orchestration.store.connection_state import stop_connection
from tests.integrated_company import CONNECTORS, CREDENTIALS, IntegratedCompany

ORDERS = "/wp-json/wc/v3/orders"


@dataclass
class Systems:
    """The simulated systems of dossier 998, connected and written to."""

    shop: Shop
    erp: Erp
    crm: Crm
    company: IntegratedCompany
    stack: ExitStack

    def settle(self, count: int = 3) -> None:
        """Do rounds until nothing is on its way."""
        for _ in range(count):
            assert self.company.round(everything=True)["998"].failures == []
            self.company.pass_time(301)

    def compare(self, *, deletes: int | None = None, **narrowed: str) -> dict[str, Compared]:
        """Return `system stream` -> result; with `deletes` it is repaired, and the next rounds do the rest."""
        repair = None if deletes is None else Repair(deletes)
        clock, environment = self.company.clock, self.company.environment
        job = Reconciliation(clock, environment, f"run-{clock.at}", repair=repair, **narrowed)  # type: ignore[arg-type]
        found = reconcile(self.company.engine, ["998"], job)
        self.company.pass_time(301)
        return {f"{one.connection_code.removesuffix('_998')} {one.stream}": one for one in found}

    def sql(self, statement: str) -> None:
        """Change something behind the program's back."""
        with self.company.engine.begin() as connection:
            connection.execute(sa.text(statement))


@pytest.fixture
def systems(engine: sa.Engine, database_url: sa.URL, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systems]:
    """Two orders of one customer, integrated and delivered everywhere; the command line works on this database."""
    monkeypatch.setenv("ERPCRM_DATABASE_URL", database_url.render_as_string(hide_password=False))
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setattr("erpcrm_orchestration.cli.reconcile.SystemClock", lambda: clock)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    shop, erp, crm = Shop(clock=clock), Erp(clock=clock), Crm(clock=clock)
    company = IntegratedCompany(engine, clock)
    company.dossier()
    with ExitStack() as stack:
        urls = {name: stack.enter_context(WebServer(one)).url for name, one in (("shop", shop), ("erp", erp), ("crm", crm))}
        company.connect_systems(outbound=True, **urls)
        made = Systems(shop, erp, crm, company, stack)
        customer = shop.add_customer(email="ana@example.com", first_name="Ana", last_name="Durand")
        product = shop.add_product("Lamp", "12.50")
        for _ in range(2):
            shop.add_order([(product["id"], 2)], customer_id=customer["id"])
        made.settle()
        yield made


def differing(found: dict[str, Compared]) -> dict[str, list[tuple[str, str, str]]]:
    """Return the streams that differ -> (kind, id, reason)."""
    return {
        name: [(each.kind.value, each.source_id, each.reason) for each in one.samples]
        for name, one in found.items()
        if one.counts.differences or one.failure
    }


def test_systems_that_were_integrated_and_delivered_to_are_equal(systems: Systems) -> None:
    found = systems.compare()
    assert differing(found) == {}
    orders = found["shop orders"].counts
    assert (orders.theirs, orders.ours, orders.equal) == (2, 2, 2)
    assert orders.their_hash == orders.our_hash != "0" * 16
    assert systems_agree(found.values()).passed


def test_what_systems_changed_themselves_is_no_difference_once_it_went_round(systems: Systems) -> None:
    """Shipped in the ERP, a telephone number in the CRM: told to the others, and not back to where it came from."""
    systems.erp.ship(systems.erp.orders[0]["id"])
    (contact,) = systems.crm.find("contacts")
    systems.crm.change("contacts", contact["id"], phone="+33 1 23 45 67 89")
    systems.settle()
    assert systems.company.rows("hub.customer")[0]["phone"] == "+33 1 23 45 67 89"
    found = systems.compare(deletes=0)
    assert differing(found) == {}
    assert [one.repaired for one in found.values() if one.repaired] == []


def test_what_a_system_changed_itself_is_told_as_far_as_it_tells_it(systems: Systems) -> None:
    """It is told a class that it does not tell us; its own telephone number is no reason to tell the class again."""
    text = CONNECTORS.read_text(encoding="utf-8").replace("            class_code: class\n", "", 1)
    systems.company.connect(text.replace("requests_per_s: 50", "requests_per_s: 1000"))
    systems.sql("UPDATE hub.customer SET class_code = 'A', updated_at = now()")
    assert differing(systems.compare(deletes=0)).keys() == {"crm contacts"}
    systems.settle()
    (contact,) = systems.crm.find("contacts")
    assert contact["class"] == "A"
    systems.crm.change("contacts", contact["id"], phone="+33 1 23 45 67 89")
    systems.settle()
    assert differing(systems.compare(deletes=0)) == {}
    systems.sql("UPDATE hub.customer SET phone = '+33 9', updated_at = now()")
    assert differing(systems.compare())["crm contacts"] == [("not_told", contact["id"], "told otherwise")]
    systems.sql("UPDATE hub.customer SET phone = '+33 1 23 45 67 89', class_code = 'B', updated_at = now()")
    systems.sql("UPDATE flow.work_item SET state = 'DEAD', last_error = 'E-OUT-009 of the test' WHERE system_code = 'crm'")
    assert differing(systems.compare())["crm contacts"] == [("not_told", contact["id"], "told otherwise")]


def a_late_product(systems: Systems) -> str:
    """Return the id of an article that appears in the shop with an old timestamp, beyond every overlap."""
    systems.company.clock.at -= timedelta(days=30)
    late = systems.shop.add_product("Late lamp", "9.00", sku="late")
    systems.company.clock.at += timedelta(days=30)
    return str(late["id"])


def test_a_row_that_a_cursor_missed_is_found_and_received_once(systems: Systems) -> None:
    """F24: committed late; the nightly comparison finds it, and its repair goes through the inbox."""
    late = a_late_product(systems)
    systems.settle(1)
    before = len(systems.company.rows("hub.product"))
    found = systems.compare(deletes=0)
    assert differing(found) == {"shop products": [("only_there", late, "never received")]}
    assert found["shop products"].repaired == {"received": 1}
    systems.settle()
    assert len(systems.company.rows("hub.product")) == before + 1
    again = systems.compare(deletes=0)
    assert differing(again) == {}
    assert [one.repaired for one in again.values() if one.repaired] == []


def test_a_comparison_alone_writes_nothing_but_its_result(systems: Systems) -> None:
    a_late_product(systems)
    messages, work = systems.company.rows("flow.inbox"), systems.company.rows("flow.work_item")
    systems.compare()
    assert systems.company.rows("flow.inbox") == messages
    assert systems.company.rows("flow.work_item") == work
    (row,) = systems.company.rows("flow.reconciliation", connection_code="shop_998", stream="products")
    assert (row["only_there"], row["theirs"], row["ours"]) == (1, 2, 1)


def test_a_record_that_was_received_and_refused_is_named_so(systems: Systems) -> None:
    order = systems.shop.add_order([(1, 1)], total="twelve")
    systems.settle(1)
    found = systems.compare(deletes=0)
    assert ("only_there", str(order["id"]), "received and rejected") in differing(found)["shop orders"]
    assert found["shop orders"].repaired == {}


def test_other_content_is_found_and_integrated(systems: Systems) -> None:
    """F24 F25: changed with an older timestamp, so that the cursor has gone past it; it is fetched singly."""
    systems.company.clock.at -= timedelta(days=30)
    systems.shop.change("products", 1, name="Lantern")
    systems.company.clock.at += timedelta(days=30)
    found = systems.compare(deletes=0)
    assert differing(found)["shop products"] == [("different", "1", "other content")]
    systems.settle()
    assert [row["name"] for row in systems.company.rows("hub.product")] == ["Lantern"]
    assert differing(systems.compare()) == {}


def test_a_text_that_differs_and_means_the_same_is_equal(systems: Systems) -> None:
    systems.company.clock.at -= timedelta(days=30)
    systems.shop.change("products", 1, unknown_field="new")
    systems.company.clock.at += timedelta(days=30)
    assert differing(systems.compare()) == {}


def test_a_row_that_is_missing_here_is_made_again_from_its_message(systems: Systems) -> None:
    systems.sql("UPDATE hub.customer SET deleted_at = now()")
    found = systems.compare(deletes=0, system="shop", entity="customer")
    assert differing(found) == {"shop customers": [("only_there", "1", "its row is missing here")]}
    systems.settle()
    assert [row["deleted_at"] for row in systems.company.rows("hub.customer")] == [None]
    assert differing(systems.compare()) == {}


def test_what_was_never_told_and_told_otherwise_is_queued_once_and_delivered(systems: Systems) -> None:
    systems.sql("UPDATE hub.cross_reference SET sent_hash = 'x' WHERE system_code = 'erp' AND entity = 'customer'")
    systems.sql("DELETE FROM hub.cross_reference WHERE system_code = 'erp' AND entity = 'order' AND external_id = '1'")
    systems.sql("DELETE FROM flow.inbox WHERE system_code = 'erp' AND entity = 'order' AND source_id = '1'")
    found = systems.compare(deletes=0)
    told = {name: [(kind, reason) for kind, _, reason in rows if kind == "not_told"] for name, rows in differing(found).items()}
    assert told == {"erp customers": [("not_told", "told otherwise")], "erp orders": [("not_told", "never told")]}
    assert found["erp orders"].repaired["queued"] == 1
    systems.settle()
    assert len(systems.erp.orders) == 2
    assert differing(systems.compare(deletes=0)) == {}


def test_a_delivery_in_doubt_is_named_and_not_queued_again(systems: Systems) -> None:
    systems.sql(
        "UPDATE flow.work_item SET state = 'RETRY', closed_at = NULL, in_doubt = true, last_error = 'lost',"
        " not_before = '2100-01-01' WHERE system_code = 'crm' AND event = 'outbound'"
    )
    before = len(systems.company.rows("flow.work_item"))
    found = systems.compare(deletes=0)
    assert [(kind, reason) for kind, _, reason in differing(found)["crm contacts"]] == [("not_told", "in doubt")]
    assert len(systems.company.rows("flow.work_item")) == before


def test_what_is_gone_there_is_deleted_only_as_far_as_agreed_and_comes_back_on_demand(systems: Systems) -> None:
    systems.shop.delete("orders", 2)
    found = systems.compare(deletes=0)
    assert differing(found) == {"shop orders": [("only_here", "2", "gone there")]}
    assert found["shop orders"].repaired == {}
    found = systems.compare(deletes=1)
    assert found["shop orders"].repaired == {"deleted": 1}
    systems.settle(1)
    assert [row["deleted_at"] is not None for row in systems.company.rows("hub.order_header")] == [False, True]
    assert differing(systems.compare(deletes=1)) == {}
    undone = undo_deletes(
        systems.company.engine, "998", "order", Author("ann", "cut off"), source_ids=["2"], clock=systems.company.clock
    )
    assert [one.source_id for one in undone] == ["2"]
    systems.settle(1)
    assert [row["deleted_at"] for row in systems.company.rows("hub.order_header")] == [None, None]
    (entry,) = systems.company.rows("audit.correction")
    assert (entry["action"], entry["reason"], entry["actor"]) == ("undo delete", "cut off", "ann")


def test_an_incomplete_pass_deletes_nothing(systems: Systems) -> None:
    """F21: the list ends with an error, or is empty although the system has its records."""
    systems.shop.faults.arm("html", times=None, path=ORDERS)
    found = systems.compare(deletes=2)
    assert found["shop orders"].failure is not None
    assert found["shop orders"].counts == Counts()
    systems.shop.faults.clear()
    systems.shop.faults.arm("empty_list", times=None, path=ORDERS)
    found = systems.compare(deletes=2)
    assert found["shop orders"].repaired == {}
    assert "deleted_at" not in [name for row in systems.company.rows("hub.order_header") for name in row if row["deleted_at"]]


def test_what_only_one_list_missed_is_not_deleted(systems: Systems) -> None:
    """F21 F23: the system shows it when it is asked for alone."""
    systems.shop.faults.arm("empty_list", times=2, path=ORDERS)
    found = systems.compare(deletes=2, entity="order", system="shop")
    assert found["shop orders"].counts.only_here == 2
    assert found["shop orders"].refused == "the system shows them again"


def test_a_record_that_its_system_does_not_create_is_never_deleted_for_it(systems: Systems) -> None:
    systems.sql("UPDATE hub.cross_reference SET external_id = '77' WHERE system_code = 'erp' AND entity = 'customer'")
    systems.company.pass_time(3600)
    found = systems.compare(deletes=9)
    assert found["erp customers"].counts.only_here == 1
    assert "does not create" in (found["erp customers"].refused or "")


def test_a_large_share_is_deleted_only_for_the_exact_number() -> None:
    assert delete_refusal(3, 100, 3) is None
    assert delete_refusal(3, 100, 5) is None
    assert "agreed" in (delete_refusal(4, 100, 3) or "")
    assert "exactly 30" in (delete_refusal(30, 100, 99) or "")
    assert delete_refusal(30, 100, 30) is None


def test_a_system_that_does_not_answer_fails_for_its_streams_only(systems: Systems) -> None:
    systems.company.environment["ERP_KEY"] = "wrong"
    found = systems.compare()
    assert {name.split()[0] for name, one in found.items() if one.failure} == {"erp"}
    verdict = systems_agree(found.values())
    assert (verdict.passed, verdict.severity) == (False, "WARN")


def test_credentials_that_are_not_set_fail_for_their_system_only(systems: Systems) -> None:
    del systems.company.environment["CRM_TOKEN"]
    found = systems.compare()
    assert {name.split()[0] for name, one in found.items() if one.failure} == {"crm"}
    assert found["shop orders"].counts.equal == 2


def test_a_stopped_connection_is_not_asked_and_fails_the_check_of_the_installation(systems: Systems) -> None:
    with systems.company.engine.begin() as connection:
        erp = load_connections(connection)["erp_998"]
        stop_connection(connection, erp, "E-SRC-001: refused", systems.company.clock.now())
    assert {name.split()[0] for name, one in systems.compare().items() if one.failure} == {"erp"}
    verdict = judge(systems.company.engine, "connections_are_open", clock=systems.company.clock)
    assert (verdict.passed, verdict.metadata["erp_998"]) == (False, "E-SRC-001: refused")
    assert judge(systems.company.engine, "webhooks_are_active", clock=systems.company.clock).passed


def test_a_correction_of_a_person_is_a_known_difference(systems: Systems) -> None:
    (message,) = systems.company.rows("flow.inbox", system_code="shop", entity="product")
    wanted = Correction([assignment("name=Lantern")])
    engine, clock = systems.company.engine, systems.company.clock
    proposal = propose(engine, "998", message["message_id"], wanted, clock=clock)
    correct(engine, proposal, Author("ann", "a typing error"), clock=clock, run_id="r")
    systems.settle()
    found = systems.compare(deletes=0)
    assert differing(found) == {}
    assert found["shop products"].counts.corrected == 1
    assert systems.company.rows("hub.product")[0]["name"] == "Lantern"


def test_a_deletion_that_never_was_is_not_undone(systems: Systems) -> None:
    author, clock = Author("ann", "why"), systems.company.clock
    with pytest.raises(InputError, match="E-REC-003"):
        undo_deletes(systems.company.engine, "998", "order", author, source_ids=["1"], clock=clock)
    with pytest.raises(InputError, match="E-REC-004"):
        undo_deletes(systems.company.engine, "998", "order", Author("ann", " "), clock=clock)
    with pytest.raises(InputError, match="E-REC-002"):
        undo_deletes(systems.company.engine, "998", "oder", author, clock=clock)


def test_the_command_compares_lists_repairs_and_undoes(systems: Systems, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reconcile", "998"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:6] == ["connection_code", "stream", "entity", "theirs", "ours", "equal"]
    assert any(line.split()[:6] == ["shop_998", "orders", "order", "2", "2", "2"] for line in lines)
    late = a_late_product(systems)
    systems.shop.delete("orders", 2)
    assert run(["reconcile", "998", "--details", "only_there"]) == 1
    assert capsys.readouterr().out == f"shop_998 products  {late}  never received\n"
    assert run(["reconcile", "998", "--repair"]) == 2
    assert "E-CLI-061" in capsys.readouterr().err
    systems.company.pass_time()
    assert run(["reconcile", "998", "--repair", "--deletes", "1", "--yes"]) == 0
    assert "deleted 1" in capsys.readouterr().out
    assert len(systems.company.rows("hub.product")) == 2
    systems.company.pass_time(3600)
    systems.settle()
    assert run(["reconcile", "998", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {one["counts"]["different"] for one in shown} == {0}
    assert run(["reconcile", "998", "2", "--undo-deletes", "order", "--reason", "cut off"]) == 0
    assert "1 live again: shop 2" in capsys.readouterr().out
    assert [row["deleted_at"] for row in systems.company.rows("hub.order_header")] == [None, None]


def test_the_command_says_what_does_not_fit(systems: Systems, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in (
        (["997"], "E-CLI-057"),
        (["998", "--system", "shp"], "E-REC-001"),
        (["998", "--entity", "oder"], "E-REC-002"),
        (["998", "17"], "E-CLI-050"),
        (["998", "--deletes", "3"], "E-CLI-050"),
        (["998", "--repair", "--undo-deletes", "order"], "E-CLI-050"),
    ):
        assert run(["reconcile", *arguments]) == 2, arguments
        assert code in capsys.readouterr().err
    systems.stack.close()
    assert run(["reconcile", "998"]) == 3
    assert "incomplete: E-SRC" in capsys.readouterr().out
