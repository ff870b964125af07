"""The columns of the entities for Dagster's catalogue: their types and meanings, and what each is made from."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from erpcrm_orchestration.domain.entity import ENTITIES, Child, Entity, Field, Kind
from erpcrm_orchestration.partitions import ENTITY, INBOX
from erpcrm_orchestration.services.lineage import Sources

TYPES = {
    Kind.TEXT: "text",
    Kind.CURRENCY: "text",
    Kind.ADDRESS: "text",
    Kind.INTEGER: "bigint",
    Kind.DECIMAL: "numeric",
    Kind.REFERENCE: "bigint",
    Kind.INSTANT: "timestamptz",
    Kind.DATE: "date",
    Kind.BOOLEAN: "boolean",
    Kind.JSON: "json",
}
MEANINGS = {
    Kind.CURRENCY: "A currency of ISO 4217.",
    Kind.ADDRESS: "An address in hub.address, by the hash of its content.",
    Kind.DECIMAL: "A decimal with the digits that it came with.",
    Kind.INSTANT: "An instant.",
}


def column_schema(entity: Entity) -> dg.TableSchema:
    """Return the columns of an entity's table, then those of its rows as `table.column`."""
    own = [
        dg.TableColumn("dossier_code", "text", "The dossier.", _constraints(required=True)),
        dg.TableColumn(entity.identity, "bigint", f"Our id of the {entity.name}.", _constraints(required=True)),
        *_columns(entity.fields),
        dg.TableColumn("deleted_at", "timestamptz", "When its system deleted it; its row stays."),
        dg.TableColumn("updated_at", "timestamptz", "When the row last changed.", _constraints(required=True)),
    ]
    return dg.TableSchema(own + [column for child in entity.children for column in _of_child(child)])


def column_lineage(entity: str, sources: Sources) -> dg.TableColumnLineage:
    """Return what the columns are made from: places of what was received, and the ids of the entities referred to."""
    references = {one.column: one.refers_to for one in ENTITIES[entity].fields if one.kind is Kind.REFERENCE}
    deps = {
        column: [dg.TableColumnDep(INBOX[entity], place) for place in places] + _parent(references.get(column))
        for column, places in sources.items()
    }
    return dg.TableColumnLineage(deps)


def _parent(entity: str | None) -> list[dg.TableColumnDep]:
    return [dg.TableColumnDep(ENTITY[entity], ENTITIES[entity].identity)] if entity else []


def _of_child(child: Child) -> Iterable[dg.TableColumn]:
    yield dg.TableColumn(f"{child.table}.{child.key}", "text", "What tells the row from the others of its record.")
    yield from _columns(child.fields, prefix=f"{child.table}.")


def _columns(fields: Iterable[Field], prefix: str = "") -> list[dg.TableColumn]:
    return [
        dg.TableColumn(f"{prefix}{one.column}", TYPES[one.kind], _meaning(one), _constraints(required=one.required))
        for one in fields
    ]


def _meaning(field: Field) -> str | None:
    return f"Our id of the {field.refers_to} that it refers to." if field.refers_to else MEANINGS.get(field.kind)


def _constraints(*, required: bool) -> dg.TableColumnConstraints:
    return dg.TableColumnConstraints(nullable=not required)
