"""The tables of the integration: what was received, what became of it, and what is to be fetched or delivered."""

from __future__ import annotations

from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from erpcrm_orchestration.store.entity_schema import (
    RECORD_ID,
    address,
    child_table,
    cross_reference,
    entity_meta,
    entity_table,
    unit_ratio,
    value_mapping,
)
from erpcrm_orchestration.store.schema import Instant, _dossier, _one_of, metadata

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
    sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),
    sa.PrimaryKeyConstraint("dossier_code", "message_id"),
    _one_of("state", *INBOX_STATES),
    _one_of("via", "poll", "webhook", "on_demand", "file", "correction"),
    sa.CheckConstraint("(state IN ('NEW', 'WAITING')) = (closed_at IS NULL)", name="open_is_not_closed"),
    sa.CheckConstraint("(state = 'WAITING') = (waiting_for IS NOT NULL)", name="waiting_has_cause"),
    sa.CheckConstraint("state NOT IN ('REJECTED', 'DEAD') OR error IS NOT NULL", name="refused_has_reason"),
    sa.CheckConstraint("(corrects IS NOT NULL) = (via = 'correction')", name="correction_has_original"),
    sa.CheckConstraint("attempts >= 1", name="attempts_range"),
    sa.Index("inbox_key_idx", "dossier_code", "system_code", "entity", "source_id", "message_id"),
    sa.Index("inbox_open_idx", "dossier_code", "message_id", postgresql_where=sa.text("state IN ('NEW', 'WAITING')")),
    sa.Index("inbox_waiting_idx", "dossier_code", "waiting_for", postgresql_where=sa.text("state = 'WAITING'")),
    sa.Index(
        "inbox_wrong_tree_idx", "dossier_code", "system_code", "entity",
        postgresql_where=sa.text("state = 'REJECTED' AND error LIKE 'E-INT-003 %'"),
    ),
    sa.Index(
        "inbox_problem_idx", "dossier_code", "message_id",
        postgresql_where=sa.text("state IN ('REJECTED', 'DEAD') OR warning IS NOT NULL"),
    ),
    sa.Index(
        "inbox_not_ok_idx", "dossier_code", "message_id",
        postgresql_where=sa.text(
            "entity IN ('intervention', 'time_entry', 'document') AND state IN ('NEW', 'WAITING', 'REJECTED', 'DEAD')"
        ),
    ),
    sa.Index(
        "inbox_delivery_key", "connection_code", "delivery_id", unique=True,
        postgresql_where=sa.text("delivery_id IS NOT NULL"),
    ),
    schema="flow",
)  # fmt: skip
"""Every record as it was received, and what became of it. `payload` is never changed; a correction is a message of its own.

`stream` is the connector's name of the entity, `entity` ours. `waiting_for` is what it waits for: `customer 12`, `unit PCE`.
`attempts`: 1, and one more for each time a person relaunched or corrected it. What the index `inbox_not_ok_idx` holds, the
supervision counts.
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
    sa.Index("work_item_problem_idx", "dossier_code", "entity", postgresql_where=sa.text("state IN ('DEAD', 'CONFLICT')")),
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
    sa.Column("dataset_number", sa.BigInteger),
    sa.UniqueConstraint("previous_hash"),
    sa.UniqueConstraint("row_hash"),
    schema="audit",
)
"""Who corrected or relaunched which message or dataset and why. Each row's hash covers the one before: what is removed is
missed. `message_id` is 0 where no message is meant."""


class OfEntity(Protocol):
    """What names one kind of record of one system of one dossier."""

    @property
    def dossier_code(self) -> str: ...
    @property
    def system_code(self) -> str: ...
    @property
    def entity(self) -> str: ...


def of_entity(table: sa.Table, place: OfEntity) -> sa.ColumnElement[bool]:
    """Return that a row of inbox, work_item, field_conflict or cross_reference is of this kind, system and dossier."""
    columns = table.c
    return sa.and_(
        columns.dossier_code == place.dossier_code,
        columns.system_code == place.system_code,
        columns.entity == place.entity,
    )


__all__ = [
    "RECORD_ID",
    "address",
    "child_table",
    "cross_reference",
    "entity_meta",
    "entity_table",
    "metadata",
    "unit_ratio",
    "value_mapping",
]
