"""A company whose systems are connected: a simulated shop over HTTP, connections in the tables, rounds at given instants."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.config.folder import read_text
from erpcrm_orchestration.demo.message import Json
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.received import Received, Via
from erpcrm_orchestration.services.round import DossierRound, Round, work_round
from erpcrm_orchestration.store import configuration_write as write
from erpcrm_orchestration.store import integration_schema as tables
from erpcrm_orchestration.store.inbox import Arrival, StreamKey, receive
from tests.company import Company

SHOP_CREDENTIALS = {"SHOP_KEY": "ck_demo", "SHOP_SECRET": "cs_demo"}
CREDENTIALS = {**SHOP_CREDENTIALS, "ERP_KEY": "erp_demo", "CRM_TOKEN": "crm_demo"}
CONNECTORS = Path(__file__).parent.parent / "config" / "connectors.yaml"
"""The demo company's own: what its users read is what is tested."""

SECRETS = {
    "shop": '{key: "${env:SHOP_KEY}", secret: "${env:SHOP_SECRET}"}',
    "erp": '{api_key: "${env:ERP_KEY}"}',
    "crm": '{token: "${env:CRM_TOKEN}"}',
}

SHOP = """
connectors:
  shop: {{kind: woocommerce, requests_per_s: 1000}}
connections:
  shop_{dossier}:
    dossier: "{dossier}"
    system: shop
    connector: shop
    url: "{url}"
    credentials: {{key: "${{env:SHOP_KEY}}", secret: "${{env:SHOP_SECRET}}"}}
"""


SIGNED = '    webhook_secret: "${env:SHOP_WEBHOOK}"\n'
"""The line of a connection whose shop signs its webhooks."""


@dataclass
class IntegratedCompany:
    """Writes connections as `erpcrm config apply` would and runs rounds as a run would."""

    engine: sa.Engine
    clock: FixedClock
    environment: dict[str, str] = field(default_factory=lambda: dict(CREDENTIALS))

    def dossier(self, code: str = "998", **columns: Any) -> None:
        """Store a dossier."""
        Company(self.engine, self.clock).dossier(code, **columns)

    def connect(self, text: str) -> None:
        """Store connectors and connections written as YAML."""
        reading = read_text(text)
        assert reading.faults == []
        configuration = reading.configuration
        with self.engine.begin() as connection:
            write.write_connectors(connection, configuration.connectors, now=self.clock.now())
            write.write_connections(connection, configuration.connections, now=self.clock.now())

    def connect_shop(self, url: str, dossier: str = "998", extra: str = "") -> None:
        """Connect the simulated shop to a dossier; `extra` are further lines of the connection."""
        self.connect(SHOP.format(dossier=dossier, url=url) + extra)

    def connect_systems(
        self,
        *,
        outbound: bool = True,
        dossier: str = "998",
        switches: tuple[str, ...] = (),
        of_the_shop: tuple[str, ...] = (),
        **urls: str,
    ) -> None:
        """Connect the demo company's systems by their urls: shop, erp, crm; `switches` are on at the CRM.

        `of_the_shop` are the kinds of record that are read there, all when none is named.
        """
        lines = [CONNECTORS.read_text(encoding="utf-8").replace("requests_per_s: 50", "requests_per_s: 1000"), "connections:"]
        for system, url in urls.items():
            lines.append(f"  {system}_{dossier}:")
            lines.append(f'    {{dossier: "{dossier}", system: {system}, connector: {system}, url: "{url}",')
            if system == "shop":
                lines.append(f"     entities: [{', '.join(of_the_shop)}],")
            if system == "crm":
                lines.append(f"     switches: [{', '.join(switches)}],")
            lines.append(f"     outbound_enabled: {str(outbound).lower()}, credentials: {SECRETS[system]}}}")
        self.connect("\n".join(lines))

    def pass_time(self, seconds: float = 61) -> None:
        """Let the clock go on, so that the streams are due again."""
        self.clock.at += timedelta(seconds=seconds)

    def round(self, *codes: str, run_id: str = "run-1", **job: Any) -> dict[str, DossierRound]:
        """Do one round for these dossiers, 998 when none is named."""
        return work_round(self.engine, codes or ("998",), Round(self.clock, self.environment, run_id=run_id, **job))

    def rows(self, table: str, **where: object) -> list[Mapping[str, Any]]:
        """Return the rows of a table such as `hub.order_header`, in the order of its key."""
        found = tables.metadata.tables[table]
        statement = sa.select(found).order_by(*found.primary_key.columns)
        with self.engine.connect() as connection:
            rows = connection.execute(statement.where(*(found.c[name] == value for name, value in where.items())))
            return [dict(row) for row in rows.mappings()]

    def states(self, **where: object) -> list[str]:
        """Return the states of the inbox's messages in the order of their arrival."""
        return [row["state"] for row in self.rows("flow.inbox", **where)]


@contextmanager
def shop_company(engine: sa.Engine, clock: FixedClock, shop: Shop, extra: str = "") -> Iterator[IntegratedCompany]:
    """Dossier 998 with the simulated shop connected over HTTP, for the block; `extra` are lines of the connection."""
    made = IntegratedCompany(engine, clock)
    made.dossier()
    with WebServer(shop) as server:
        made.connect_shop(server.url, extra=extra)
        yield made


def at_shop(shop: Shop, *, lines: int = 1, **changes: object) -> int:
    """Place an order of a guest with as many different products; return its id."""
    products = [shop.add_product(f"Article {number}", "10.00")["id"] for number in range(lines)]
    return int(shop.add_order([(one, 1) for one in products], **changes)["id"])  # type: ignore[arg-type]


def deliver(company: IntegratedCompany, stream: str, *records: Received, integrate: bool = True) -> None:
    """Hand records to the inbox as a webhook would, and integrate them."""
    entity = {"orders": "order", "products": "product", "categories": "category", "customers": "customer"}[stream]
    key = StreamKey("998", "shop_998", "shop", stream, entity)
    with company.engine.begin() as connection:
        receive(connection, key, records, Arrival(Via.WEBHOOK, company.clock.now()))
    if integrate:
        company.round(reading=False)


def category(number: int, parent: int) -> Received:
    """Return a category as the shop would send it."""
    return Received(str(number), json.dumps({"id": number, "name": f"C{number}", "slug": f"c{number}", "parent": parent}))


def order_at(order: Json, second: int, **changes: object) -> Received:
    """Return an order as it was at a second of 12:00."""
    content = {**order, **changes, "date_modified_gmt": f"2026-11-18T12:00:{second:02}"}
    return Received(str(order["id"]), json.dumps(content), datetime(2026, 11, 18, 12, 0, second, tzinfo=UTC))
