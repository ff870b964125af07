"""A company for routines: accounts with invoices in the tables, orders that are scheduled and executed as a run does it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.connection import Connection, Connector, ConnectorKind
from erpcrm_orchestration.domain.routine import NewOrder, Order, OrderState
from erpcrm_orchestration.domain.routine_settings import Audience, AudienceKind, RoutineSettings
from erpcrm_orchestration.services import routine
from erpcrm_orchestration.services.order import schedule, take_due
from erpcrm_orchestration.services.routine import RoutineRun, execute
from erpcrm_orchestration.services.routines import routine_of
from erpcrm_orchestration.store import order as orders
from erpcrm_orchestration.store import routine_schema, routine_settings, schema
from erpcrm_orchestration.store.configuration import adapter
from erpcrm_orchestration.store.configuration_write import write_connections, write_connectors
from erpcrm_orchestration.store.entity_schema import entity_table
from tests.company import FOUNDED, Company

DOSSIER = "998"
ERP = "erp"


def crm_told_of(name: str, place: str, code: str = DOSSIER) -> str:
    """Return a CRM that is told of accounts and one more field of theirs, and never asked: nobody answers there."""
    return f"""
connectors:
  crm_of_accounts:
    kind: rest
    entities:
      accounts:
        map: {{entity: customer, fields: {{code: code}}}}
        write:
          fields: [code, {name}]
          create: {{path: /accounts, method: POST, body: {{code: "{{code}}", {name}: "{{{place}}}"}}}}
connections:
  crm_{code}: {{dossier: "{code}", system: crm, connector: crm_of_accounts, url: "http://127.0.0.1:9", outbound_enabled: true}}
"""


@dataclass
class RoutineCompany:
    """Writes rows as the integration does; ids are counted from 1."""

    engine: sa.Engine
    clock: FixedClock
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    _ids: Any = field(default_factory=lambda: itertools.count(1))

    def founded(self, code: str = DOSSIER, time_zone: str = "Europe/Paris", **settings: Any) -> RoutineCompany:
        """Store a dossier whose ERP is integrated."""
        Company(self.engine, self.clock).dossier(code, time_zone=time_zone)
        return self.settled(code, **settings)

    def settled(self, code: str, **settings: Any) -> RoutineCompany:
        """Let the ERP of a dossier that is there be integrated."""
        routines = RoutineSettings(**{"erp_system": ERP, **settings})
        definition = adapter(RoutineSettings).dump_python(routines, mode="json")
        with self.engine.begin() as connection:
            connection.execute(
                sa.update(schema.dossier).where(schema.dossier.c.dossier_code == code).values(routines=definition)
            )
        self.connect(ERP, code)
        return self

    def state(self, number: int) -> OrderState:
        """Return the state of an order."""
        with self.engine.connect() as connection:
            return orders.read_order(connection, number).state

    def connect(self, system: str, code: str = DOSSIER) -> None:
        """Store an active connection to a system."""
        connector = Connector("none", ConnectorKind.REST)
        one = Connection(f"{system}_{code}", code, system, connector.connector_code, "http://127.0.0.1:9")
        with self.engine.begin() as connection:
            write_connectors(connection, [connector], now=FOUNDED)
            write_connections(connection, [one], now=FOUNDED)

    def switch_erp_off(self) -> None:
        """Make the connection to the ERP inactive."""
        with self.engine.begin() as connection:
            table = schema.connection
            connection.execute(sa.update(table).where(table.c.system_code == ERP).values(active=False))

    def account(self, code: str | None, dossier: str = DOSSIER, **values: Any) -> int:
        """Store an account; return its id."""
        return self._insert("customer", dossier, code=code, **values)

    def invoice(self, account: int, day: date, total: str, dossier: str = DOSSIER, **values: Any) -> int:
        """Store an invoice, or another document of the `type` given."""
        given = {"type": "invoice", "currency": "EUR", "document_date": day, "total": Decimal(total), **values}
        return self._insert("document", dossier, customer_id=account, **given)

    def _insert(self, entity: str, dossier: str, **values: Any) -> int:
        table = entity_table[entity]
        identity = next(iter(table.primary_key.columns.values()[1:])).name
        number = next(self._ids)
        row = {"dossier_code": dossier, identity: number, "updated_at": FOUNDED, **values}
        with self.engine.begin() as connection:
            connection.execute(sa.insert(table).values(**row))
        return number

    def configure(self, section: str, *values: Any) -> None:
        """Store values of a section of the routines."""
        with self.engine.begin() as connection:
            routine_settings.write(connection, section, values, now=FOUNDED)

    def static_audience(self, code: str, *accounts: str) -> None:
        """Store an audience of these account codes."""
        self.configure("audiences", Audience(code, kind=AudienceKind.STATIC, accounts=accounts))

    def classes(self) -> dict[int, str | None]:
        """Return account -> class."""
        return {row.customer_id: row.class_code for row in self.rows(entity_table["customer"])}

    def messages(self, order: Order) -> list[str | None]:
        """Return what an order says of accounts, in the order of their ids."""
        rows = self.rows(routine_schema.order_result)
        return [row.message for row in rows if row.order_number == order.order_number and row.message]

    def order(self, program: str, *, at: datetime | None = None, **wanted: Any) -> int:
        """Schedule an order as a person does; return its number."""
        given = {"dossier_code": DOSSIER, "requested_by": "maria", **wanted}
        return schedule(self.engine, NewOrder(program=program, at=at, **given), clock=self.clock)

    def run(self, number: int, run_id: str = "run-1", **how: Any) -> Order:
        """Execute one order as a run does."""
        return execute(self.engine, number, routine_of, RoutineRun(self.clock, self.environment, run_id, **how)).order

    def begun(self, number: int, run_id: str, *, prepared: bool = False) -> Order:
        """Let a run begin an order, and prepare it if wished, and no more."""
        run = RoutineRun(self.clock, self.environment, run_id)
        order = routine._begin(self.engine, number, run).order
        return routine._prepare(self.engine, order, routine_of(order.program), run) if prepared else order

    def cut_off(self, number: int, run_id: str, *, after_accounts: int) -> Order:
        """Let a run end in the middle, as a kill does: what it committed stays."""
        order = self.begun(number, run_id, prepared=True)
        run = RoutineRun(self.clock, self.environment, run_id)
        if after_accounts:
            order, _ = routine._slice(self.engine, order, routine_of(order.program), run, after_accounts)
        return order

    def refuse_complement_of(self, account: int) -> None:
        """Let the database refuse what would be written of one account."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(f"ALTER TABLE automation.account_complement ADD CHECK (customer_id <> {account:d})"))

    def executed(self, program: str, **wanted: Any) -> Order:
        """Schedule an order for now and execute it."""
        return self.run(self.order(program, **wanted))

    def started(self) -> list[Order]:
        """Execute everything that is due, as the sensor and its runs do."""
        requests = take_due(self.engine, clock=self.clock)
        return [self.run(number, one.batch) for one in requests for _, number in one.orders]

    def orders(self) -> list[Order]:
        """Return all orders, the oldest first."""
        with self.engine.connect() as connection:
            return list(reversed(orders.list_orders(connection, limit=1000)))

    def complements(self) -> dict[int, sa.Row[Any]]:
        """Return account -> its complement."""
        with self.engine.connect() as connection:
            return {row.customer_id: row for row in connection.execute(sa.select(routine_schema.account_complement))}

    def rows(self, table: sa.Table) -> list[sa.Row[Any]]:
        """Return the rows of a table in the order of their keys."""
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(table).order_by(*table.primary_key.columns)))


def instant(text: str) -> datetime:
    """Return an instant of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
