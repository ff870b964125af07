"""A company at work, as the board shows it on an ordinary day: many dossiers, long names, refused records, late values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path

import sqlalchemy as sa

from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import MailSettings
from erpcrm_orchestration.domain.routine_settings import (
    Agenda,
    Audience,
    ClassMetric,
    ClassOperator,
    ClassRule,
    Server,
    ServerState,
)
from erpcrm_orchestration.services.data_hub import advance, take_pivot_files
from erpcrm_orchestration.store import integration_schema, schema
from erpcrm_orchestration.store.ledger import request_refresh
from tests.company import Company, ago
from tests.integrated_company import IntegratedCompany
from tests.postgres import intake_company
from tests.routine_company import RoutineCompany

NAMES = (
    "Maintenance des ascenseurs et escaliers mécaniques du Grand-Est",
    "Обслуживание лифтов и эскалаторов, Санкт-Петербург",
    "Nord",
    "Serviços técnicos e manutenção industrial de Trás-os-Montes",
    "Guided tour",
    "",
)
CATEGORIES = ("INTERVENTION", "TIME", "DOCUMENT")


@dataclass
class Busy:
    """Where the pages are that need a number."""

    company: Company
    record: int = 0
    source_id: str = ""
    dataset: int = 0
    mail: int = 0
    request: int = 0
    order: int = 0
    failed: int = 0
    dossiers: list[str] = field(default_factory=list)

    def pages(self) -> dict[str, str]:
        """Return name -> address of every page that a person who is signed in can open."""
        return {
            "widgets": "/",
            "interactions": "/interactions",
            "dossier": "/dossiers/998",
            "records": "/records",
            "record": f"/records/998/{self.record}",
            "relaunch": "/relaunch?entity=order",
            "journey": f"/journeys/998/order?source_id={self.source_id}&system=shop",
            "conflicts": "/conflicts",
            "datasets": "/datasets",
            "relaunch-datasets": "/relaunch-datasets",
            "dataset": f"/datasets/{self.dataset}",
            "logbook": "/logbook?dossier=998",
            "alerts": "/alerts",
            "ticks": "/ticks",
            "mails": "/mails",
            "mail": f"/mails/{self.mail}",
            "watchers": "/watchers",
            "settings": "/settings",
            "setting-dossier": "/settings/dossiers/998",
            "setting-template": "/settings/mail_templates/interactions_alert",
            "setting-general": "/settings/general/general",
            "setting-new": "/settings/mail_groups/new",
            "setting-audience": "/settings/audiences/all_customers",
            "orders": "/orders",
            "order": f"/orders/{self.order}",
            "order-failed": f"/orders/{self.failed}",
            "order-new": "/orders/new?dossier=998&program=birthday_greeting",
            "simulation": "/classes/simulate?dossier=998&from=2026-09-01&to=2026-11-18&every=7",
            "people": "/people",
            "person": "/people/1",
            "events": "/events",
            "me": "/me",
            "refreshes": f"/refreshes?request_id={self.request}",
        }


def busy_company(engine: sa.Engine, clock: FixedClock, folder: Path, shop_url: str, shop: Shop, *, dossiers: int = 7) -> Busy:
    """Fill the tables; 998 has the shop, an order that is refused and one that waits to be refreshed."""
    company = Company(engine, clock)
    found = Busy(company)
    company.general(mail=MailSettings())
    company.mail_group("anna@example.com", "operations.of.the.whole.company@department.example.com")
    company.template("Etat: FORM.etatsynchro", "Bonjour,\n\nFORM.TOUT\n")
    found.dossiers = [*(f"{number:03}" for number in range(1, dossiers)), "998"]
    for place, code in enumerate(found.dossiers):
        company.dossier(code, name=NAMES[place % len(NAMES)], hub_folder=str(folder) if code == "001" else None)
        company.log(code, ago(company, minutes=5 + 3 * place), message="lot 4711 exporté")
    company.log("998", ago(company, minutes=200), outcome="REJECT", reject_count=3, message="client inconnu: 4711, 4712, 4713")
    _orders(engine, clock, shop, shop_url, found)
    _datasets(company, folder, found)
    conflict = {"dossier_code": "998", "system_code": "crm", "entity": "customer", "record_id": 7, "field": "first_name"}
    values = {"base_value": "Anne", "our_value": "Annette", "their_value": None, "opened_at": clock.now()}
    with engine.begin() as connection:
        connection.execute(sa.insert(integration_schema.field_conflict).values(**conflict, **values))
    for hour in range(2):
        for category in CATEGORIES:
            company.dataset("998", category, "ERROR" if hour % 2 else "PENDING", clock.now())
        company.refresh(*found.dossiers, at=clock.now() + timedelta(minutes=15))
    _operations(company, found)
    _routines(engine, clock, found)
    return found


def _orders(engine: sa.Engine, clock: FixedClock, shop: Shop, url: str, found: Busy) -> None:
    made = IntegratedCompany(engine, clock)
    made.connect_shop(url)
    product = shop.add_product("Lamp", "12.50")
    orders = [shop.add_order([(product["id"], 2)]) for _ in range(8)]
    made.round()
    made.pass_time()
    for order in orders[:6]:
        shop.change("orders", order["id"], total="twelve", status="completed")
    made.round()
    message = made.rows("flow.inbox", entity="order")[-1]
    found.record, found.source_id = message["message_id"], message["source_id"]


def _routines(engine: sa.Engine, clock: FixedClock, found: Busy) -> None:
    """Let routines have run in dossier 998: with an account that is refused, an order that failed, and others that wait."""
    made = RoutineCompany(engine, clock).settled("998")
    made.configure("servers", Server("day"), Server("night", state=ServerState.BLOCKED, supervisor="Anne"))
    made.configure("agendas", Agenda("account_complement", (time(6), time(18))))
    made.configure("audiences", Audience("all_customers", "Tous les clients de la région Grand-Est"))
    rule = ClassRule("silver", "Silver", ClassMetric.ACCUMULATED_VALUE, ClassOperator.AT_LEAST, Decimal(1000))
    made.configure("class_rules", rule)
    accounts = [made.account(f"K{number}", company=name, customer_id=9000 + number) for number, name in enumerate(NAMES)]
    for place, account in enumerate(accounts):
        made.invoice(9000 + place, clock.now().date() - timedelta(days=9 * place + 1), "1250.50", document_id=9000 + account)
    made.refuse_complement_of(9000)
    found.order = made.executed("account_complement", audience="all_customers").order_number
    made.executed("class_transition", dry_run=True)
    made.switch_erp_off()
    found.failed = made.executed("account_complement", agenda=False).order_number
    made.order("account_complement", agenda=True)
    made.order("account_status", server_code="night", depends_on=found.failed, requested_by="nathalie.de.la.fontaine")


def _datasets(company: Company, folder: Path, found: Busy) -> None:
    intake_company.company(company.engine, dossiers={})
    fields = "<TimeId>7</TimeId><Jour>yesterday</Jour><Valide>1</Valide>"
    (folder / "bad.DHUB").write_text(f'<DataHub DataSetType="TPSAFF">{fields}</DataHub>')
    take_pivot_files(company.engine, ["001"], clock=company.clock, environment={}, run_id=None)
    advance(company.engine, ["001"], clock=company.clock, run_id=None)
    ((found.dataset,),) = intake_company.table(company.engine, schema.hub_dataset, "dataset_number")


def _operations(company: Company, found: Busy) -> None:
    now = company.clock.now()
    states = ("RAN", "MISSED", "SKIPPED", "REQUESTED")
    with company.engine.begin() as connection:
        for place in range(8):
            state = states[place % 4]
            row = {"dossier_code": "998", "process_code": "interactions_erpcrm", "due_at": now - timedelta(minutes=15 * place)}
            row |= {"state": state, "recorded_at": now, "reason": "the machine was down" if state != "RAN" else None}
            row["closed_at"] = None if state == "REQUESTED" else now
            connection.execute(sa.insert(schema.tick).values(row))
        watcher = {"watcher_code": "INTERCOMPANY", "poll_interval_s": 30, "heartbeat_at": now, "last_work": "3 tasks sent"}
        connection.execute(sa.insert(schema.watcher).values(**watcher))
        connection.execute(sa.insert(schema.watcher).values(watcher_code="DATA_HUB", poll_interval_s=60))
        wanted = request_refresh(connection, found.dossiers[:3], by="anna", notify=False, now=now)
    found.request = min(wanted.values())
    found.mail = min(row.mail_id for row in company.rows(schema.mail))
