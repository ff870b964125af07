"""The first full round of the demo: what must have happened before everything has been seen once."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from erpcrm_orchestration.demo.mailbox import MailboxFolder
from erpcrm_orchestration.demo.orders import AT_ONCE, executed, forget_orders
from erpcrm_orchestration.demo.systems import Systems
from erpcrm_orchestration.domain.routine import OrderState
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.integration_schema import (
    address,
    child_table,
    connection_state,
    cross_reference,
    entity_table,
    field_conflict,
    inbox,
    reconciliation,
    stream_drift,
    work_item,
)

CARE = ("employee", "contact", "opportunity", "occurrence", "activity")
"""What the CRM alone knows about customers."""


@dataclass(frozen=True)
class Milestone:
    """`name` is shown to people."""

    name: str
    is_reached: bool


def milestones(engine: sa.Engine, mailbox: MailboxFolder, *, reachable: tuple[str, ...], down: str) -> list[Milestone]:
    """Return the milestones of the first round in the order in which they are usually reached."""
    state, dataset, alert, watcher = schema.interaction_state, schema.hub_dataset, schema.alert, schema.watcher
    with engine.connect() as connection:
        states = set(connection.scalars(sa.select(state.c.dossier_code)))
        pivots = connection.scalar(sa.select(sa.func.count()).where(dataset.c.intake == "data_hub")) or 0
        # Those that are closed again count too: the late dossier may recover while another is still waited for.
        raised = set(connection.execute(sa.select(alert.c.dossier_code, alert.c.check_name)).tuples())
        beating = connection.scalar(sa.select(sa.func.count()).where(watcher.c.heartbeat_at.is_not(None))) or 0
    return [
        Milestone("the watchers look", beating == 3),
        Milestone("pivot files are taken", pivots >= 4),
        *(Milestone(f"dossier {code} has its state", code in states) for code in reachable),
        Milestone(f"dossier {down} fails alone: its source is down", (down, "source_is_reachable") in raised),
        Milestone("the late dossier raised its alert", ("001", "synchronisation_is_on_time") in raised),
        Milestone("its mail arrived", any("dossier 001" in one for one in mailbox.headings())),
    ]


def routine_milestones(engine: sa.Engine) -> list[Milestone]:
    """Return the milestone of the background routines."""
    return [Milestone("the routines have been executed", executed(engine)[OrderState.DONE] >= AT_ONCE)]


@dataclass(frozen=True)
class Refused:
    """A record that waits for a correction."""

    message_id: int
    source_id: str
    error: str


def integration_milestones(engine: sa.Engine, systems: Systems) -> list[Milestone]:
    """Return the milestones of orders and field service, in the order in which they are usually reached."""
    columns = inbox.c
    with engine.connect() as connection:
        integrated = set(connection.scalars(sa.select(columns.dossier_code).where(columns.state == "TRANSFORMED").distinct()))
        service = set(
            connection.execute(
                sa.select(columns.entity, columns.state).where(columns.dossier_code == "998", columns.system_code == "crm")
            ).tuples()
        )
    waits = systems.wrong is not None and refused(engine, systems.wrong.order_id) is not None
    return [
        *(Milestone(f"records of dossier {code} are integrated", code in integrated) for code in ("998", "210")),
        *(
            Milestone(f"the CRM's records of {name} are integrated", (name, "TRANSFORMED") in service)
            for name in (*CARE, "intervention", "time_entry", "document")
        ),
        Milestone("a wrong intervention waits to be corrected", ("intervention", "REJECTED") in service),
        Milestone("a wrong order waits to be corrected", waits),
        Milestone("the ERP has orders of the shop", bool(systems.erp.orders)),
        Milestone("an order that the ERP shipped is completed in the shop", bool(systems.journeys())),
    ]


def refused(engine: sa.Engine, order_id: int) -> Refused | None:
    """Return the refused message of an order of dossier 998's shop, None while there is none."""
    columns = inbox.c
    statement = sa.select(columns.message_id, columns.source_id, columns.error).where(
        columns.dossier_code == "998",
        columns.system_code == "shop",
        columns.entity == "order",
        columns.source_id == str(order_id),
        columns.state == "REJECTED",
    )
    with engine.connect() as connection:
        row = connection.execute(statement.order_by(columns.message_id.desc()).limit(1)).one_or_none()
    return Refused(row.message_id, row.source_id, row.error) if row else None


def forget_the_systems(engine: sa.Engine) -> None:
    """Forget what an earlier run received: its shop, CRM and ERP lived in memory, and the new ones count from 1 again.

    Configuration, supervision and the audit trail stay.
    """
    rows = (*dict.fromkeys(child_table.values()), *reversed(entity_table.values()), address)
    cursor = schema.source_cursor
    with engine.begin() as connection:
        forget_orders(connection)
        for table in (reconciliation, field_conflict, stream_drift, connection_state, work_item, inbox, cross_reference, *rows):
            connection.execute(sa.delete(table))
        connection.execute(sa.delete(cursor).where(cursor.c.source_code.startswith("connection:")))
