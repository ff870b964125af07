"""What the entities say and a statement repeats: which of them the supervision counts."""

from __future__ import annotations

from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.store.engine import read_sql
from erpcrm_orchestration.store.integration_schema import inbox


def test_the_statement_and_its_index_count_exactly_the_entities_that_have_a_category() -> None:
    counted = {name: entity.category for name, entity in ENTITIES.items() if entity.category}
    statement = read_sql("refresh_interaction_state")
    (index,) = (one for one in inbox.indexes if one.name == "inbox_not_ok_idx")
    predicate = str(index.dialect_options["postgresql"]["where"])
    entities, _, states = predicate.partition(" AND ")
    assert entities == f"entity IN ({', '.join(repr(name) for name in counted)})"
    assert f"i.{entities} AND i.{states}" in statement
    *named, (_, last) = counted.items()
    words = " ".join(f"WHEN '{name}' THEN '{category.value}'" for name, category in named if category)
    assert f"CASE i.entity {words} ELSE '{last.value if last else None}' END" in statement
