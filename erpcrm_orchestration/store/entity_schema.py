"""The tables of the records in schema hub: the entities, what other systems call them, and what their words mean.

The tables of the entities are made from domain.entity, so that model and tables cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.types import TypeEngine

from erpcrm_orchestration.domain.entity import ADDRESS_FIELDS, ENTITIES, META, Child, Entity, Field, Kind
from erpcrm_orchestration.store.schema import Instant, _dossier, _one_of, metadata

RECORD_ID = sa.Sequence("record_id_seq", metadata=metadata, schema="hub")
"""Gives every record its id; one for all entities, so that an id names one record of the company."""


TYPES: Mapping[Kind, TypeEngine[Any]] = {
    Kind.TEXT: sa.Text(),
    Kind.CURRENCY: sa.Text(),
    Kind.ADDRESS: sa.Text(),
    Kind.INTEGER: sa.BigInteger(),
    Kind.DECIMAL: sa.Numeric(),
    Kind.REFERENCE: sa.BigInteger(),
    Kind.INSTANT: Instant,
    Kind.DATE: sa.Date(),
    Kind.BOOLEAN: sa.Boolean(),
    Kind.JSON: JSON(),
}
"""Decimals keep the digits they came with; NaN and the infinities, which numeric admits, fail the check `finite`."""


def _movement_index(entity: str) -> sa.Index:
    return sa.Index(f"{entity}_customer_idx", "customer_id", "dossier_code", "changed_at")


INDEXES: Mapping[str, tuple[sa.Index, ...]] = {
    "contact": (sa.Index("contact_customer_idx", "customer_id", "dossier_code"),),
    "order": (sa.Index("order_header_customer_idx", "customer_id", "dossier_code", "ordered_at"),),
    "opportunity": (_movement_index("opportunity"),),
    "occurrence": (_movement_index("occurrence"),),
    "activity": (
        _movement_index("activity"),
        sa.Index("activity_contact_idx", "contact_id", "dossier_code"),
        sa.Index("activity_opportunity_idx", "opportunity_id", "dossier_code"),
        sa.Index("activity_occurrence_idx", "occurrence_id", "dossier_code"),
    ),
    "document": (
        sa.Index(
            "document_customer_idx", "dossier_code", "customer_id", "document_date",
            postgresql_include=["document_id", "type", "state", "number", "total", "currency"],
            postgresql_where=sa.text("customer_id IS NOT NULL AND deleted_at IS NULL"),
        ),
    ),
}  # fmt: skip
"""Entity name -> how its rows are found by what they belong to. That of the documents answers purchases without the table.

The dossier does not lead: without statistics the planner would take such an index for foreign key checks, many times slower.
"""


def _columns(fields: Sequence[Field]) -> Iterator[sa.Column[Any]]:
    for field in fields:
        yield sa.Column(field.column, TYPES[field.kind], nullable=not field.required)


def _constraints(fields: Sequence[Field]) -> Iterator[sa.Constraint]:
    for field in fields:
        if field.kind is Kind.REFERENCE and field.refers_to:
            other = ENTITIES[field.refers_to]
            yield sa.ForeignKeyConstraint(
                ["dossier_code", field.column], [f"hub.{other.table}.dossier_code", f"hub.{other.table}.{other.identity}"]
            )
        elif field.kind is Kind.ADDRESS:
            yield sa.ForeignKeyConstraint(
                ["dossier_code", field.column], ["hub.address.dossier_code", "hub.address.address_hash"]
            )
    numbers = [field.column for field in fields if field.kind is Kind.DECIMAL]
    if numbers:
        yield sa.CheckConstraint(" AND ".join(f"abs({name}) < 1e18" for name in numbers), name="finite")


def _entity_table(entity: Entity) -> sa.Table:
    return sa.Table(
        entity.table,
        metadata,
        _dossier(),
        sa.Column(entity.identity, sa.BigInteger, nullable=False),
        *_columns(entity.fields),
        sa.Column("deleted_at", Instant),
        sa.Column("updated_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("dossier_code", entity.identity),
        *_constraints(entity.fields),
        *INDEXES.get(entity.name, ()),
        schema="hub",
    )


def _child_table(entity: Entity, child: Child) -> sa.Table:
    return sa.Table(
        child.table,
        metadata,
        sa.Column("dossier_code", sa.Text, nullable=False),
        sa.Column(entity.identity, sa.BigInteger, nullable=False),
        sa.Column(child.key, sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        *_columns(child.fields),
        sa.PrimaryKeyConstraint("dossier_code", entity.identity, child.key),
        sa.ForeignKeyConstraint(
            ["dossier_code", entity.identity], [f"hub.{entity.table}.dossier_code", f"hub.{entity.table}.{entity.identity}"]
        ),
        *_constraints(child.fields),
        schema="hub",
    )


address = sa.Table(
    "address",
    metadata,
    _dossier(),
    sa.Column("address_hash", sa.Text, nullable=False),
    *(sa.Column(name, sa.Text) for name in ADDRESS_FIELDS),
    sa.PrimaryKeyConstraint("dossier_code", "address_hash"),
    schema="hub",
)
"""Keyed by its content: an address that many orders share is one row, and one that changes is another."""

entity_table: dict[str, sa.Table] = {name: _entity_table(entity) for name, entity in ENTITIES.items()}
"""Entity name -> its table."""

entity_meta = sa.Table(
    META.table,
    metadata,
    _dossier(),
    sa.Column("entity", sa.Text, nullable=False),
    sa.Column("record_id", sa.BigInteger, nullable=False),
    sa.Column(META.key, sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    *_columns(META.fields),
    sa.PrimaryKeyConstraint("dossier_code", "entity", "record_id", META.key),
    _one_of("entity", *ENTITIES),
    schema="hub",
)

child_table: dict[tuple[str, str], sa.Table] = {
    (entity.name, child.name): entity_meta if child is META else _child_table(entity, child)
    for entity in ENTITIES.values()
    for child in entity.children
}
"""(entity name, child name) -> its table; all entities share `entity_meta`."""

cross_reference = sa.Table(
    "cross_reference",
    metadata,
    _dossier(),
    sa.Column("system_code", sa.Text, nullable=False),
    sa.Column("entity", sa.Text, nullable=False),
    sa.Column("external_id", sa.Text, nullable=False),
    sa.Column("record_id", sa.BigInteger, RECORD_ID, server_default=RECORD_ID.next_value(), nullable=False),
    sa.Column("version_at", Instant),
    sa.Column("content_hash", sa.Text),
    sa.Column("refused_hash", sa.Text),
    sa.Column("message_id", sa.BigInteger),
    sa.Column("deleted_at", Instant),
    sa.Column("sent_hash", sa.Text),
    sa.Column("sent_at", Instant),
    sa.Column("base", JSONB),
    sa.Column("first_received_at", Instant),
    sa.PrimaryKeyConstraint("dossier_code", "system_code", "entity", "external_id"),
    # Our id leads: without statistics the planner takes this key for the one to look a system's id up by, if it may.
    sa.UniqueConstraint("dossier_code", "record_id", "entity", "system_code"),
    schema="hub",
)
"""A system's id of a record and ours, with the newest version that was received and the values that were last sent.

`refused_hash`: content that came with the version we have and differs from it. `sent_hash` is the echo ledger: the hash of
the values that were last written there. `base`: the shared fields as that system last told them, for three-way merges.
`first_received_at`: when the first message of the record came, however many came since or were deleted.
"""

value_mapping = sa.Table(
    "value_mapping",
    metadata,
    _dossier(),
    sa.Column("system_code", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("external_value", sa.Text, nullable=False),
    sa.Column("our_value", sa.Text, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("dossier_code", "system_code", "kind", "external_value"),
    schema="hub",
)
"""What a word of a system means here, for instance kind `unit`: PCE is pcs."""

unit_ratio = sa.Table(
    "unit_ratio",
    metadata,
    _dossier(),
    sa.Column("sku", sa.Text, nullable=False, server_default=""),
    sa.Column("unit", sa.Text, nullable=False),
    sa.Column("base_unit", sa.Text, nullable=False),
    sa.Column("valid_from", sa.Date, nullable=False),
    sa.Column("numerator", sa.BigInteger, nullable=False),
    sa.Column("denominator", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("dossier_code", "sku", "unit", "base_unit", "valid_from"),
    sa.CheckConstraint("numerator > 0 AND denominator > 0", name="ratio_range"),
    sa.CheckConstraint("unit <> base_unit", name="units_differ"),
    schema="hub",
)
"""One `unit` is numerator / denominator of `base_unit`, exactly, from a day on; an empty sku holds for every product."""
