"""A first load of an entity, when the planner knows nothing of it yet."""

from __future__ import annotations

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.services.work import Work
from erpcrm_orchestration.store.integration_schema import child_table, entity_table
from erpcrm_orchestration.store.statistics import analyze_entity


def test_the_statistics_learn_of_each_entity_by_itself(engine: sa.Engine, clock: FixedClock) -> None:
    """Many customers do not hide the first orders, and what was received not what was integrated.

    A lookup or the check of a foreign key would go through all orders there are.
    """
    taken: list[str] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("ANALYZE"):
            taken.append(statement)

    work = Work(engine, clock, {}, "run-1")
    counts = []
    for rows, entity in ((400, "customer"), (200, "customer"), (1_000, "customer"), (499, "order"), (1, "order")):
        work.received(rows, entity)
        work.grew(rows, entity)
        counts.append(len(taken))
    assert counts == [0, 2, 2, 2, 4]
    assert taken[0] == taken[2] == "ANALYZE flow.inbox, hub.cross_reference"
    assert taken[1] == "ANALYZE hub.customer, hub.entity_meta, hub.address"
    assert {"hub.order_header", "hub.order_line", "hub.order_tax_line"} <= set(taken[3].removeprefix("ANALYZE ").split(", "))


def test_every_entity_is_analyzed_with_what_belongs_to_it(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for name in ENTITIES:
            analyze_entity(connection, name)
        analyzed = set(
            connection.scalars(sa.text("SELECT schemaname || '.' || relname FROM pg_stat_user_tables WHERE analyze_count > 0"))
        )
    wanted = {f"{table.schema}.{table.name}" for table in (*entity_table.values(), *child_table.values())}
    assert wanted <= analyzed
