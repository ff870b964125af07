"""The tables of the integration: what was received, what became of it, and what is to be fetched or delivered.

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

# --- hub: the entities ------------------------------------------------------------------------------------------------

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
    sa.PrimaryKeyConstraint("dossier_code", "system_code", "entity", "external_id"),
    sa.UniqueConstraint("dossier_code", "entity", "record_id", "system_code"),
    schema="hub",
)
"""A system's id of a record and ours, with the newest version that was received and the values that were last sent.

`refused_hash`: content that came with the version we have and differs from it. `sent_hash` is the echo ledger: the hash of
the values that were last written there. `base`: the shared fields as that system last told them, for three-way merges.
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

# --- flow: the inbox and the work on it -------------------------------------------------------------------------------

INBOX_STATES = ("NEW", "WAITING", "TRANSFORMED", "REJECTED", "SUPERSEDED", "IGNORED", "DEAD")

inbox = sa.Table(
    "inbox",
    metadata,
    _dossier(),
    sa.Column("message_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
    sa.Column("connection_code", sa.Text, nullable=False),
    sa.Column("system_code", sa.Text, nullable=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("entity", sa.Text, nullable=False),
    sa.Column("source_id", sa.Text, nullable=False),
    sa.Column("version_at", Instant),
    sa.Column("content_hash", sa.Text, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("via", sa.Text, nullable=False),
    sa.Column("delivery_id", sa.Text),
    sa.Column("corrects", sa.BigInteger),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="NEW"),
    sa.Column("not_before", Instant),
    sa.Column("waiting_since", Instant),
    sa.Column("waiting_for", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("warning", sa.Text),
    sa.Column("closed_at", Instant),
    sa.Column("run_id", sa.Text),
    sa.PrimaryKeyConstraint("dossier_code", "message_id"),
    _one_of("state", *INBOX_STATES),
    _one_of("via", "poll", "webhook", "on_demand", "file", "correction"),
    sa.CheckConstraint("(state IN ('NEW', 'WAITING')) = (closed_at IS NULL)", name="open_is_not_closed"),
    sa.CheckConstraint("(state = 'WAITING') = (waiting_for IS NOT NULL)", name="waiting_has_cause"),
    sa.CheckConstraint("state NOT IN ('REJECTED', 'DEAD') OR error IS NOT NULL", name="refused_has_reason"),
    sa.CheckConstraint("(corrects IS NOT NULL) = (via = 'correction')", name="correction_has_original"),
    sa.Index("inbox_key_idx", "dossier_code", "system_code", "entity", "source_id", "message_id"),
    sa.Index("inbox_open_idx", "dossier_code", "message_id", postgresql_where=sa.text("state IN ('NEW', 'WAITING')")),
    sa.Index(
        "inbox_problem_idx", "dossier_code", "message_id",
        postgresql_where=sa.text("state IN ('REJECTED', 'DEAD') OR warning IS NOT NULL"),
    ),
    sa.Index(
        "inbox_delivery_key", "connection_code", "delivery_id", unique=True,
        postgresql_where=sa.text("delivery_id IS NOT NULL"),
    ),
    schema="flow",
)  # fmt: skip
"""Every record as it was received, and what became of it. `payload` is never changed; a correction is a message of its own.

`stream` is the connector's name of the entity, `entity` ours. `waiting_for` is what it waits for: `customer 12`, `unit PCE`.
"""

WORK_STATES = ("QUEUED", "LEASED", "RETRY", "DONE", "DEAD", "SUPERSEDED", "CONFLICT")

work_item = sa.Table(
    "work_item",
    metadata,
    _dossier(),
    sa.Column("work_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
    sa.Column("connection_code", sa.Text, nullable=False),
    sa.Column("system_code", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("entity", sa.Text, nullable=False),
    sa.Column("source_id", sa.Text),
    sa.Column("record_id", sa.BigInteger),
    sa.Column("dedup_key", sa.Text, nullable=False),
    sa.Column("priority", sa.SmallInteger, nullable=False),
    sa.Column("urgent", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("values", JSONB),
    sa.Column("values_hash", sa.Text),
    sa.Column("state", sa.Text, nullable=False, server_default="QUEUED"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("in_doubt", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("not_before", Instant, nullable=False),
    sa.Column("leased_until", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("closed_at", Instant),
    sa.Column("last_error", sa.Text),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.PrimaryKeyConstraint("dossier_code", "work_id"),
    _one_of("event", "on_demand", "outbound"),
    _one_of("state", *WORK_STATES),
    sa.CheckConstraint("(state IN ('QUEUED', 'LEASED', 'RETRY')) = (closed_at IS NULL)", name="open_is_not_closed"),
    sa.CheckConstraint("(state = 'LEASED') = (leased_until IS NOT NULL)", name="leased_has_end"),
    sa.CheckConstraint("state NOT IN ('DEAD', 'CONFLICT', 'RETRY') OR last_error IS NOT NULL", name="refused_has_reason"),
    sa.CheckConstraint("(event = 'outbound') = (record_id IS NOT NULL AND values IS NOT NULL)", name="outbound_has_values"),
    sa.CheckConstraint("event = 'outbound' OR source_id IS NOT NULL", name="on_demand_has_id"),
    sa.CheckConstraint("priority IN (0, 5, 9)", name="priority_known"),
    sa.Index(
        "work_item_open_key", "dossier_code", "dedup_key", unique=True,
        postgresql_where=sa.text("state IN ('QUEUED', 'LEASED', 'RETRY') AND event = 'on_demand'"),
    ),
    sa.Index(
        "work_item_due_idx", "not_before", "priority", "work_id",
        postgresql_where=sa.text("state IN ('QUEUED', 'LEASED', 'RETRY')"),
    ),
    sa.Index("work_item_record_idx", "dossier_code", "system_code", "entity", "record_id", "work_id"),
    schema="flow",
)  # fmt: skip
"""What needs a request of ours: a record to be fetched (`on_demand`), or a change to be written (`outbound`).

`dedup_key` of an outbound item is its idempotency key. `values`: our fields as they are to be written, `cause` why.
"""

connection_state = sa.Table(
    "connection_state",
    metadata,
    _dossier(),
    sa.Column("connection_code", sa.Text, nullable=False),
    sa.Column("stopped_at", Instant),
    sa.Column("stopped_reason", sa.Text),
    sa.Column("polled_at", Instant),
    sa.Column("request_at", Instant),
    sa.Column("rest_until", Instant),
    sa.Column("webhook_status", sa.Text),
    sa.Column("webhook_seen_at", Instant),
    sa.PrimaryKeyConstraint("dossier_code", "connection_code"),
    sa.CheckConstraint("(stopped_at IS NULL) = (stopped_reason IS NULL)", name="stopped_has_reason"),
    schema="flow",
)
"""How a connection stands. Refused credentials stop it until a person resumes it.

`rest_until`: the system asked to be left alone so long. `request_at`: when a person's wish was last fetched.
"""

stream_drift = sa.Table(
    "stream_drift",
    metadata,
    _dossier(),
    sa.Column("connection_code", sa.Text, nullable=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("first_seen_at", Instant, nullable=False),
    sa.Column("example", sa.Text, nullable=False),
    sa.Column("accepted_at", Instant),
    sa.PrimaryKeyConstraint("dossier_code", "connection_code", "stream", "path"),
    schema="flow",
)
"""Fields that a system sends and no mapping names: they stay in the payload until somebody maps or accepts them."""

field_conflict = sa.Table(
    "field_conflict",
    metadata,
    _dossier(),
    sa.Column("conflict_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
    sa.Column("system_code", sa.Text, nullable=False),
    sa.Column("entity", sa.Text, nullable=False),
    sa.Column("record_id", sa.BigInteger, nullable=False),
    sa.Column("field", sa.Text, nullable=False),
    sa.Column("base_value", sa.Text),
    sa.Column("our_value", sa.Text),
    sa.Column("their_value", sa.Text),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("closed_at", Instant),
    sa.Column("resolution", sa.Text),
    sa.PrimaryKeyConstraint("dossier_code", "conflict_id"),
    sa.Index(
        "field_conflict_open_key", "dossier_code", "system_code", "entity", "record_id", "field", unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    ),
    schema="flow",
)  # fmt: skip
"""A field that two systems changed since they last agreed. Ours stays until a person decides."""

reconciliation = sa.Table(
    "reconciliation",
    metadata,
    _dossier(),
    sa.Column("connection_code", sa.Text, nullable=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("entity", sa.Text, nullable=False),
    sa.Column("compared_at", Instant, nullable=False),
    sa.Column("failure", sa.Text),
    sa.Column("theirs", sa.BigInteger, nullable=False),
    sa.Column("ours", sa.BigInteger, nullable=False),
    sa.Column("equal", sa.BigInteger, nullable=False),
    sa.Column("corrected", sa.BigInteger, nullable=False),
    sa.Column("ignored", sa.BigInteger, nullable=False),
    sa.Column("only_there", sa.BigInteger, nullable=False),
    sa.Column("only_here", sa.BigInteger, nullable=False),
    sa.Column("different", sa.BigInteger, nullable=False),
    sa.Column("not_told", sa.BigInteger, nullable=False),
    sa.Column("their_hash", sa.Text, nullable=False),
    sa.Column("our_hash", sa.Text, nullable=False),
    sa.Column("samples", JSONB, nullable=False),
    sa.PrimaryKeyConstraint("dossier_code", "connection_code", "stream"),
    schema="flow",
)
"""How both sides of a stream compared when they were last looked at; `failure` says why the reading did not come to its end."""

# --- audit ------------------------------------------------------------------------------------------------------------

correction = sa.Table(
    "correction",
    metadata,
    sa.Column("correction_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    _dossier(),
    sa.Column("message_id", sa.BigInteger, nullable=False),
    sa.Column("corrected_message_id", sa.BigInteger),
    sa.Column("difference", JSONB, nullable=False),
    sa.Column("previous_hash", sa.Text, nullable=False),
    sa.Column("row_hash", sa.Text, nullable=False),
    sa.UniqueConstraint("previous_hash"),
    sa.UniqueConstraint("row_hash"),
    schema="audit",
)
"""Who corrected or relaunched which message and why. Each row's hash covers the one before: what is removed is missed."""

__all__ = ["metadata"]
