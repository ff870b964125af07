"""Interventions, time entries and documents on their way from a CRM, and what the supervision counts of them.

The numbers are those of specification A; each holds for records of the inbox as it does for datasets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.crm_api import Crm
from erpcrm_orchestration.demo.message import Json
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.correction import assignment
from erpcrm_orchestration.domain.received import Received, Via
from erpcrm_orchestration.services.inbox_correction import Author, Correction, correct, propose, relaunch
from erpcrm_orchestration.services.reconciliation import Reconciliation, reconcile
from erpcrm_orchestration.services.replay import Replay, replay
from erpcrm_orchestration.store.inbox import Arrival, StreamKey, receive
from tests.company import Company
from tests.integrated_company import IntegratedCompany

WRONG = "2026-02-30T09:00:00Z"
"""No day of any calendar."""
RIGHT = "2026-11-18T09:00:00Z"
ANN = Author("ann", "asked the technician")


@dataclass
class Service:
    """Dossier 998 with its CRM, and the supervision of both."""

    crm: Crm
    company: IntegratedCompany
    supervision: Company
    url: str

    def intervention(self, started: str = RIGHT, **values: object) -> str:
        """Make an intervention in the CRM; return its id."""
        return str(self.crm.add("interventions", status="OPEN", started=started, **values)["id"])

    def time(self, **values: object) -> str:
        """Make a time entry that passes every condition, but for `values`; return its id."""
        passing: Json = {
            "user": "Nadia", "srvExport": 1, "exported": 0, "validated": 1, "intervention_status": "CLOSED",
            "userStartDate": RIGHT, "userEndDate": "2026-11-18T10:30:00Z", "hours": "1.25",
        }  # fmt: skip
        return str(self.crm.add("time_entries", **(passing | values))["id"])

    def round(self, run_id: str = "run-1") -> None:
        """Read and integrate what is new."""
        self.company.pass_time()
        assert self.company.round(run_id=run_id)["998"].failures == []

    def counts(self, *names: str) -> tuple[int, ...]:
        """Refresh the dossier and return these numbers of its state."""
        self.supervision.refresh("998")
        return self.shown(*names)

    def shown(self, *names: str) -> tuple[int, ...]:
        """Return these numbers as they are stored."""
        state = self.supervision.state("998")
        return tuple(getattr(state, name) for name in names)

    def message(self, source_id: str) -> Any:
        """Return the newest message of a record."""
        return self.company.rows("flow.inbox", source_id=source_id)[-1]


@pytest.fixture
def service(engine: sa.Engine, clock: FixedClock) -> Iterator[Service]:
    """The simulated CRM, connected with every switch off."""
    crm = Crm(clock=clock)
    company = IntegratedCompany(engine, clock)
    company.dossier()
    server = WebServer(crm)
    server.start()
    company.connect_systems(outbound=False, crm=server.url)
    yield Service(crm, company, Company(engine, clock), server.url)
    server.stop()


# --- entities ---------------------------------------------------------------------------------------------------------


def test_field_service_records_become_rows_with_their_lines_and_parents(service: Service) -> None:
    contact = service.crm.add("contacts", email="ana@example.com", last_name="Durand")["id"]
    part = {"id": 7, "sku": "FLT-1", "name": "Filter", "quantity": "2", "unit_price": "19.80"}
    site = {"street": "1 rue des Tests", "city": "Lyon"}
    intervention = service.intervention(contact_id=contact, number="INT-1", site=site, parts=[part])
    service.time(intervention_id=intervention, contact_id=contact)
    service.crm.add(
        "documents", type="TRANSFER", intervention_id=intervention, from_warehouse="LYON", to_warehouse="VAN-2",
        lines=[{**part, "quantity": "-2"}], date="2026-11-18", total="39.60",
    )  # fmt: skip
    service.round()
    rows = service.company.rows
    (person,), (work,), (time,), (document,) = (
        rows(f"hub.{table}") for table in ("customer", "intervention", "time_entry", "document")
    )
    assert (work["customer_id"], work["number"], work["state"]) == (person["customer_id"], "INT-1", "open")
    assert rows("hub.address", address_hash=work["site_address_hash"])[0]["city"] == "Lyon"
    assert rows("hub.intervention_line")[0]["unit_price"] == Decimal("19.80")
    assert (time["intervention_id"], time["customer_id"]) == (work["intervention_id"], person["customer_id"])
    assert (time["worked_hours"], time["validated"], time["exported"]) == (Decimal("1.25"), True, False)
    assert (document["type"], document["intervention_id"]) == ("stock_transfer", work["intervention_id"])
    assert [(line["line_key"], line["quantity"]) for line in rows("hub.document_line")] == [("7", Decimal(-2))]


def test_a_time_entry_waits_for_its_intervention(service: Service) -> None:
    """The parent is asked for by its id and both are integrated in the same round."""
    intervention = service.intervention()
    key = StreamKey("998", "crm_998", "crm", "time_entries", "time_entry")
    payload = f'{{"id": "T9", "srvExport": 1, "userStartDate": "{RIGHT}", "userEndDate": "{RIGHT}", "exported": 0, '
    payload += f'"intervention_id": "{intervention}"}}'
    with service.company.engine.begin() as connection:
        receive(connection, key, [Received("T9", payload)], Arrival(Via.WEBHOOK, service.company.clock.now()))
    service.company.round(reading=False)
    assert service.message("T9")["state"] == "TRANSFORMED"
    assert service.message(intervention)["via"] == "on_demand"


# --- what the supervision counts --------------------------------------------------------------------------------------


def test_A10_what_is_not_integrated_counts_in_whichever_state(service: Service) -> None:
    """Integrated, rejected and waiting for its customer: two are not OK, one of them is in error."""
    service.intervention()
    service.intervention(WRONG)
    service.intervention(contact_id="C000099")
    service.round()
    states = sorted(service.company.states(entity="intervention"))
    assert states == ["REJECTED", "TRANSFORMED", "WAITING"]
    names = ("interventions_today_not_ok", "interventions_not_ok", "interventions_in_error")
    assert service.counts(*names) == (2, 2, 1)


def test_records_of_the_inbox_and_datasets_of_an_erp_count_together(service: Service) -> None:
    service.intervention(WRONG)
    service.round()
    service.supervision.dataset("998", "INTERVENTION", "ERROR", service.company.clock.now())
    service.supervision.dataset("998", "INTERVENTION", "CLOSED_OK", service.company.clock.now())
    assert service.counts("interventions_today_not_ok", "interventions_in_error") == (2, 2)


def test_A11_A12_the_day_of_the_first_receipt_decides(service: Service) -> None:
    """A newer version of today is still the record of yesterday, also when the older message was deleted meanwhile."""
    wrong = service.intervention(WRONG)
    service.round()
    assert service.counts("interventions_today_not_ok", "interventions_not_ok") == (1, 1)
    service.company.pass_time(86_400)
    service.crm.change("interventions", wrong, report="still no such day")
    service.round()
    assert service.message(wrong)["received_at"] == service.company.clock.now()
    assert service.counts("interventions_today_not_ok", "interventions_not_ok") == (0, 1)
    with service.company.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM flow.inbox WHERE state = 'SUPERSEDED'"))
    assert service.counts("interventions_today_not_ok", "interventions_not_ok") == (0, 1)


def test_A13_a_record_that_is_integrated_in_the_end_leaves_the_total_at_the_next_refresh(service: Service) -> None:
    wrong = service.intervention(WRONG)
    service.round()
    assert service.counts("interventions_not_ok") == (1,)
    service.crm.change("interventions", wrong, started=RIGHT)
    service.round()
    assert service.message(wrong)["state"] == "TRANSFORMED"
    assert service.shown("interventions_not_ok") == (1,)
    assert service.counts("interventions_not_ok") == (0,)


def test_A14_times_of_yesterday_are_not_counted(service: Service) -> None:
    service.time(hours="many")
    service.round()
    assert service.counts("times_not_ok", "times_in_error") == (1, 1)
    service.company.pass_time(86_400)
    assert service.counts("times_not_ok", "times_in_error") == (0, 0)


def test_A15_documents_of_the_crm_count_and_those_of_edi_and_erp_do_not(service: Service) -> None:
    """A sale, a stock transfer and a stock adjustment; the origin of a record is the system that sent it."""
    for system in ("edi", "erp"):
        service.company.connect(
            f'connections: {{{system}_998: {{dossier: "998", system: {system}, connector: crm, url: "{service.url}", '
            'entities: [documents], credentials: {token: "${env:CRM_TOKEN}"}}}'
        )
    for kind in ("INVOICE", "TRANSFER", "ADJUSTMENT"):
        service.crm.add("documents", type=kind, total="ten")
    service.round()
    assert len(service.company.rows("flow.inbox", entity="document", state="REJECTED")) == 9
    assert service.counts("documents_not_ok", "documents_in_error") == (3, 3)


def test_A16_what_was_given_up_is_not_ok(service: Service) -> None:
    """A parent that is missing for a day: the record is DEAD, and the logbook tells of a reject."""
    service.intervention(contact_id="C000099")
    service.round()
    service.company.pass_time(86_400)
    service.round("run-2")
    assert service.company.states(entity="intervention") == ["DEAD"]
    names = ("interventions_today_not_ok", "interventions_not_ok", "interventions_in_error", "syncs_with_rejects")
    assert service.counts(*names) == (0, 1, 1, 1)


def test_A17_a_round_with_five_rejects_is_one_synchronisation_and_yesterdays_are_none(service: Service) -> None:
    for _ in range(5):
        service.intervention(WRONG)
    service.round("run-1")
    assert service.counts("syncs_with_rejects") == (1,)
    assert len([line for line in service.company.rows("flow.logbook_entry") if line["outcome"] == "REJECT"]) == 5
    service.time(hours="many")
    service.round("run-2")
    assert service.counts("syncs_with_rejects") == (2,)
    service.company.pass_time(86_400)
    assert service.counts("syncs_with_rejects") == (0,)


def test_A44_a_document_of_unknown_type_is_kept_in_error_with_a_line_in_the_logbook(service: Service) -> None:
    document = str(service.crm.add("documents", type="HOLOGRAM")["id"])
    service.round()
    message = service.message(document)
    assert message["state"] == "REJECTED"
    assert "the word 'HOLOGRAM' has no meaning" in message["error"]
    (line,) = (line for line in service.company.rows("flow.logbook_entry") if line["outcome"] == "REJECT")
    assert (line["entry_key"], line["message"]) == (str(message["message_id"]), message["error"])
    assert service.counts("documents_not_ok") == (1,)


def test_A44_a_record_that_cannot_be_read_when_it_comes_counts_and_is_in_the_logbook_once(service: Service) -> None:
    key = StreamKey("998", "crm_998", "crm", "documents", "document")
    for run_id in ("run-1", "run-2"):
        with service.company.engine.begin() as connection:
            arrival = Arrival(Via.POLL, service.company.clock.now(), run_id)
            receive(connection, key, [Received("D9", "{", fault="E-SRC-012 D9: no JSON; correct it")], arrival)
    (line,) = service.company.rows("flow.logbook_entry")
    assert (line["outcome"], line["sync_id"]) == ("REJECT", "run-1")
    assert service.counts("documents_not_ok", "documents_in_error", "syncs_with_rejects") == (1, 1, 1)


def test_A47_a_relaunched_record_enters_again_with_one_attempt_more(service: Service) -> None:
    wrong = service.intervention(WRONG)
    service.round()
    before = service.message(wrong)
    relaunch(service.company.engine, "998", ANN, message_ids=[before["message_id"]], clock=service.company.clock)
    entered = service.message(wrong)
    assert (before["attempts"], entered["attempts"], entered["state"]) == (1, 2, "NEW")
    service.company.pass_time()
    service.company.round(reading=False, run_id="run-2")
    assert service.message(wrong)["state"] == "REJECTED"
    assert service.counts("interventions_not_ok", "syncs_with_rejects") == (1, 2)


def test_A47_a_corrected_record_is_integrated_with_one_attempt_more_and_is_ok(service: Service) -> None:
    wrong = service.intervention(WRONG)
    service.round()
    company, wanted = service.company, Correction([assignment(f"started={RIGHT}")])
    proposal = propose(company.engine, "998", service.message(wrong)["message_id"], wanted, clock=company.clock)
    correct(company.engine, proposal, ANN, clock=company.clock, run_id="fix-1")
    company.round(reading=False)
    assert (service.message(wrong)["state"], service.message(wrong)["attempts"]) == ("TRANSFORMED", 2)
    assert service.counts("interventions_not_ok", "interventions_in_error") == (0, 0)


FILES = """
connectors:
  agent:
    kind: files
    entities:
      documents:
        read: {{mode: append, pages: {{path: "*.csv", query: {{companion: .ok}}}}, record_id: number}}
        map: {{entity: document, fields: {{number: number, type: type, reason: reason}}}}
connections:
  agent_998: {{dossier: "998", system: agent, connector: agent, url: none, options: {{folder: "{folder}"}}}}
"""


def test_A45_a_file_without_its_companion_brings_nothing_and_with_it_each_document_once(
    service: Service, tmp_path: Path
) -> None:
    """The three kinds of document come from a folder as from a system; a second reading brings nothing new."""
    service.company.connect(FILES.format(folder=tmp_path))
    lines = ("number,type,reason", "D1,sales,", "D2,stock_transfer,", "D3,stock_adjustment,counted", "")
    (tmp_path / "documents.csv").write_text("\n".join(lines), encoding="utf-8")
    service.round()
    assert service.company.rows("flow.inbox", system_code="agent") == []
    (tmp_path / "documents.csv.ok").touch()
    for _ in range(2):
        service.round()
    assert service.company.states(system_code="agent") == ["TRANSFORMED"] * 3
    kinds = [(row["number"], row["type"], row["reason"]) for row in service.company.rows("hub.document")]
    assert kinds == [("D1", "sales", None), ("D2", "stock_transfer", None), ("D3", "stock_adjustment", "counted")]


# --- what is exported -------------------------------------------------------------------------------------------------


def test_A50_a_time_entry_that_is_not_to_be_exported_is_kept_and_not_integrated(service: Service) -> None:
    """It is no dataset either: nobody has to do anything about it."""
    left_out = {
        service.time(userEndDate=None): "left out: $.userEndDate is empty",
        service.time(userStartDate=None): "left out: $.userStartDate is empty",
        service.time(exported=1): "left out: $.exported is '1', not 0",
        service.time(srvExport=0): "left out: $.srvExport is '0', not 1",
    }
    passing = service.time()
    service.round()
    ignored = service.company.rows("flow.inbox", state="IGNORED")
    assert {row["source_id"]: row["error"] for row in ignored} == left_out
    assert service.message(passing)["state"] == "TRANSFORMED"
    assert len(service.company.rows("hub.time_entry")) == 1
    assert service.counts("times_not_ok", "times_in_error", "syncs_with_rejects") == (0, 0, 0)


def test_A50_a_newer_version_that_passes_is_integrated(service: Service) -> None:
    running = service.time(userEndDate=None)
    service.round()
    service.crm.change("time_entries", running, userEndDate="2026-11-18T11:00:00Z")
    service.round()
    assert service.company.states(source_id=running) == ["IGNORED", "TRANSFORMED"]
    assert len(service.company.rows("hub.time_entry")) == 1


def test_A50_a_version_that_does_not_pass_leaves_the_rows_of_the_one_before(service: Service) -> None:
    """The ERP has it; that it is marked as exported afterwards takes nothing away; a backfill brings it back."""
    time = service.time()
    service.round()
    service.crm.change("time_entries", time, exported=1)
    service.round()
    assert service.company.states(source_id=time) == ["TRANSFORMED", "IGNORED"]
    before = service.company.rows("hub.time_entry")
    with service.company.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM hub.time_entry"))
    replay(service.company.engine, ["998"], ["time_entry"], Replay(service.company.clock, "backfill"))
    assert [row["worker"] for row in service.company.rows("hub.time_entry")] == [row["worker"] for row in before] == ["Nadia"]


@pytest.mark.parametrize(
    ("switch", "values", "states"),
    [
        ("InterventionClosed", {"intervention_status": "OPEN"}, ("TRANSFORMED", "IGNORED")),
        ("TimeSheetValidated", {"validated": 0}, ("TRANSFORMED", "IGNORED")),
        ("TimeExported", {"exported": 1}, ("IGNORED", "TRANSFORMED")),
    ],
)
def test_A50_each_switch_of_the_agent_is_turned_on_by_the_connection(
    service: Service, switch: str, values: dict[str, object], states: tuple[str, str]
) -> None:
    """What was left out enters again when a person relaunches it after the switch was changed."""
    first = service.time(**values)
    service.round()
    assert service.message(first)["state"] == states[0]
    service.company.connect_systems(outbound=False, switches=(switch,), crm=service.url)
    second = service.time(**values)
    service.round()
    assert service.message(second)["state"] == states[1]
    if states[0] == "IGNORED":
        message_ids = [service.message(first)["message_id"]]
        relaunch(service.company.engine, "998", ANN, message_ids=message_ids, clock=service.company.clock)
        service.company.round(reading=False)
        assert service.message(first)["state"] == "TRANSFORMED"


def test_A50_what_is_left_out_is_no_difference_between_the_systems(service: Service) -> None:
    service.time(userEndDate=None)
    service.time()
    service.round()
    service.company.pass_time(301)
    job = Reconciliation(service.company.clock, service.company.environment, "compare-1")
    counts = {one.stream: one.counts for one in reconcile(service.company.engine, ["998"], job)}["time_entries"]
    assert (counts.theirs, counts.equal, counts.ignored, counts.only_there, counts.different) == (2, 1, 1, 0, 0)
