"""The first full round of the demo: what must have happened before everything has been seen once."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from erpcrm_orchestration.demo.mailbox import MailboxFolder
from erpcrm_orchestration.store import schema


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
        Milestone("its mail arrived", bool(mailbox.headings())),
    ]
