"""A first load of an entity, when the planner knows nothing of it yet."""

from __future__ import annotations

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.services.work import Work


def test_the_statistics_learn_of_each_entity_by_itself(engine: sa.Engine, clock: FixedClock) -> None:
    """Many customers do not hide the first orders: their lookups would go through all orders there are."""
    taken: list[str] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        taken.extend(["taken"] * statement.lstrip().startswith("ANALYZE"))

    work = Work(engine, clock, {}, "run-1")
    counts = []
    for rows, entity in ((400, "customer"), (200, "customer"), (1_000, "customer"), (499, "order"), (1, "order")):
        work.grew(rows, entity)
        counts.append(len(taken))
    assert counts == [0, 1, 1, 1, 2]
