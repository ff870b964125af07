"""Every table, declared once. The migrations build the same, which a test proves.

Keys of what belongs to a dossier start with `dossier_code`. State machines are CHECK constraints here and diagrams in
docs/state-machines.md. All instants are timestamptz, all durations carry their unit in the name.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

SCHEMAS = ("hub", "flow", "supervision", "automation", "audit", "mart", "board")

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

Instant = sa.DateTime(timezone=True)

DOSSIER_CODE_RULE = "^[A-Za-z0-9][A-Za-z0-9_-]{0,15}$"


def _one_of(column: str, *words: str, name: str | None = None) -> sa.CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=name or f"{column}_known")


def _dossier() -> sa.Column[str]:
    return sa.Column("dossier_code", sa.Text, sa.ForeignKey("hub.dossier.dossier_code"), nullable=False)


# --- hub: the company and what it configured -------------------------------------------------------------------------

general_parameters = sa.Table(
    "general_parameters",
    metadata,
    sa.Column("only_row", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("definition", JSONB, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.CheckConstraint("only_row", name="only_row"),
    schema="hub",
)

dossier = sa.Table(
    "dossier",
    metadata,
    sa.Column("dossier_code", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, server_default=""),
    sa.Column("crm_project_code", sa.Text, nullable=False),
    sa.Column("time_zone", sa.Text, nullable=False, server_default="Europe/Paris"),
    sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("activated_at", Instant, nullable=False),
    sa.Column("alert_delay_min", sa.Integer, nullable=False, server_default="0"),
    sa.Column("alert_mail_interval_min", sa.Integer, nullable=False, server_default="60"),
    sa.Column("import_frequency_min", sa.Integer),
    sa.Column("count_only_open_hours", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("source_code", sa.Text, sa.ForeignKey("hub.source.source_code")),
    sa.Column("hub_folder", sa.Text),
    sa.Column("mobility_action", sa.Text),
    sa.Column("mobility_target", sa.Text, sa.ForeignKey("hub.call_target.target_code")),
    sa.Column("routines", JSONB, nullable=False, server_default="{}"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.CheckConstraint(f"dossier_code ~ '{DOSSIER_CODE_RULE}'", name="dossier_code_rule"),
    sa.CheckConstraint("alert_delay_min BETWEEN 0 AND 10080", name="alert_delay_range"),
    sa.CheckConstraint("alert_mail_interval_min BETWEEN 0 AND 10080", name="alert_mail_interval_range"),
    sa.CheckConstraint("import_frequency_min BETWEEN 1 AND 1440", name="import_frequency_range"),
    sa.CheckConstraint(
        "alert_delay_min = 0 OR import_frequency_min IS NULL OR alert_delay_min >= import_frequency_min",
        name="alert_delay_not_below_import_frequency",
    ),
    sa.CheckConstraint("(mobility_action IS NULL) = (mobility_target IS NULL)", name="mobility_complete"),
    sa.CheckConstraint("crm_project_code <> ''", name="crm_project_code_present"),
    schema="hub",
)
sa.Index("dossier_code_casefold_key", sa.func.lower(dossier.c.dossier_code), unique=True)
sa.Index("dossier_source_code_idx", dossier.c.source_code)

source = sa.Table(
    "source",
    metadata,
    sa.Column("source_code", sa.Text, primary_key=True),
    sa.Column("definition", JSONB, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    schema="hub",
)

call_target = sa.Table(
    "call_target",
    metadata,
    sa.Column("target_code", sa.Text, primary_key=True),
    sa.Column("definition", JSONB, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    schema="hub",
)

connector = sa.Table(
    "connector",
    metadata,
    sa.Column("connector_code", sa.Text, primary_key=True),
    sa.Column("definition", JSONB, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    schema="hub",
)

connection = sa.Table(
    "connection",
    metadata,
    sa.Column("connection_code", sa.Text, primary_key=True),
    _dossier(),
    sa.Column("system_code", sa.Text, nullable=False),
    sa.Column("connector_code", sa.Text, sa.ForeignKey("hub.connector.connector_code"), nullable=False),
    sa.Column("definition", JSONB, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("updated_at", Instant, nullable=False),
    sa.UniqueConstraint("dossier_code", "system_code"),
    schema="hub",
)
"""`system_code` is the role of the system in its dossier: shop, crm, erp."""

mail_group = sa.Table(
    "mail_group",
    metadata,
    sa.Column("group_code", sa.Text, primary_key=True),
    sa.Column("aliases", ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("updated_at", Instant, nullable=False),
    schema="hub",
)

mail_group_member = sa.Table(
    "mail_group_member",
    metadata,
    sa.Column("group_code", sa.Text, sa.ForeignKey("hub.mail_group.group_code", ondelete="CASCADE"), primary_key=True),
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("position", sa.Integer, nullable=False),
    schema="hub",
)

mail_template = sa.Table(
    "mail_template",
    metadata,
    sa.Column("template_code", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("html", sa.Text),
    sa.Column("updated_at", Instant, nullable=False),
    schema="hub",
)

dataset_type = sa.Table(
    "dataset_type",
    metadata,
    sa.Column("type_code", sa.Text, primary_key=True),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("fields", JSONB, nullable=False, server_default="[]"),
    sa.Column("updated_at", Instant, nullable=False),
    _one_of("category", "INTERVENTION", "TIME", "DOCUMENT", "OTHER"),
    schema="hub",
)

STATE_GROUPS = ("RECEIVED", "PENDING", "PROCESSING", "WAITING", "ERROR", "CLOSED_OK", "CLOSED_KO")

automaton_state = sa.Table(
    "automaton_state",
    metadata,
    sa.Column("type_code", sa.Text, sa.ForeignKey("hub.dataset_type.type_code", ondelete="CASCADE"), primary_key=True),
    sa.Column("state_number", sa.Integer, primary_key=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("state_group", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("function", sa.Text),
    sa.Column("parameters", JSONB, nullable=False, server_default="{}"),
    sa.Column("next_if_true", sa.Integer),
    sa.Column("next_if_false", sa.Integer),
    sa.ForeignKeyConstraint(
        ["type_code", "next_if_true"],
        ["hub.automaton_state.type_code", "hub.automaton_state.state_number"],
        deferrable=True,
        initially="DEFERRED",
    ),
    sa.ForeignKeyConstraint(
        ["type_code", "next_if_false"],
        ["hub.automaton_state.type_code", "hub.automaton_state.state_number"],
        deferrable=True,
        initially="DEFERRED",
    ),
    _one_of("state_group", *STATE_GROUPS),
    _one_of("action", "AUTOMATIC", "MANUAL", "FINAL"),
    sa.CheckConstraint("state_number BETWEEN 1 AND 9999", name="state_number_range"),
    sa.CheckConstraint(
        "(action = 'AUTOMATIC') = (function IS NOT NULL AND next_if_true IS NOT NULL AND next_if_false IS NOT NULL)",
        name="automatic_has_function_and_branches",
    ),
    sa.CheckConstraint("(action = 'FINAL') = (state_group IN ('CLOSED_OK', 'CLOSED_KO'))", name="final_is_closed"),
    schema="hub",
)

# --- flow: what comes in, what goes out, who works on it --------------------------------------------------------------

logbook_entry = sa.Table(
    "logbook_entry",
    metadata,
    sa.Column("dossier_code", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("entry_key", sa.Text, nullable=False),
    sa.Column("sync_id", sa.Text),
    sa.Column("program", sa.Text),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reject_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("message", sa.Text),
    sa.Column("run_id", sa.Text),
    sa.Column("recorded_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("dossier_code", "at", "origin", "entry_key"),
    sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"]),
    _one_of("outcome", "OK", "REJECT", "ERROR"),
    sa.CheckConstraint("reject_count >= 0", name="reject_count_range"),
    sa.Index("logbook_entry_recorded_at_idx", "recorded_at", postgresql_using="brin"),
    sa.Index("logbook_entry_synchronisation_idx", "dossier_code", "at", postgresql_where=sa.text("action = 'WEAVY_URL_FILE'")),
    sa.Index(
        "logbook_entry_reject_idx",
        "dossier_code",
        "at",
        "sync_id",
        postgresql_where=sa.text("outcome = 'REJECT' OR reject_count > 0"),
    ),
    schema="flow",
    postgresql_partition_by="RANGE (at)",
)
"""`origin` is where the line comes from: `source:<code>`, `data_hub`, or `system` for our own; `entry_key` is unique in it."""

hub_dataset = sa.Table(
    "hub_dataset",
    metadata,
    sa.Column("dossier_code", sa.Text, nullable=False),
    sa.Column("dataset_number", sa.BigInteger, sa.Identity(always=True), nullable=False),
    sa.Column("type_code", sa.Text, nullable=False),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("intake", sa.Text, nullable=False),
    sa.Column("source_key", sa.Text, nullable=False),
    sa.Column("state_number", sa.Integer, nullable=False),
    sa.Column("state_group", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),
    sa.Column("last_error", sa.Text),
    sa.Column("pivot_name", sa.Text),
    sa.Column("companions", ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("payload", sa.Text),
    sa.Column("fields", JSONB, nullable=False, server_default="{}"),
    sa.Column("content_hash", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("dossier_code", "dataset_number"),
    sa.UniqueConstraint("dataset_number"),
    sa.UniqueConstraint("dossier_code", "intake", "source_key"),
    sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"]),
    _one_of("category", "INTERVENTION", "TIME", "DOCUMENT", "OTHER"),
    _one_of("origin", "CRM", "EDI", "MAIL", "OTHER"),
    _one_of("state_group", *STATE_GROUPS),
    sa.CheckConstraint("attempts >= 0", name="attempts_range"),
    sa.CheckConstraint("state_group <> 'ERROR' OR last_error IS NOT NULL", name="error_has_reason"),
    sa.Index(
        "hub_dataset_not_ok_idx",
        "dossier_code",
        "category",
        "created_at",
        postgresql_include=["origin", "state_group"],
        postgresql_where=sa.text("state_group <> 'CLOSED_OK'"),
    ),
    schema="flow",
)
"""`intake` is `data_hub` for pivot files (our automaton runs them) or `source:<code>/<stream>` (the ERP's automaton runs them).

`payload` is the pivot file, verbatim; `fields` its values, corrected ones included.
"""

source_cursor = sa.Table(
    "source_cursor",
    metadata,
    _dossier(),
    sa.Column("source_code", sa.Text, nullable=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("watermark_at", Instant),
    sa.Column("overlap_s", sa.Integer, nullable=False),
    sa.Column("late_arrivals", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("max_lateness_s", sa.Integer, nullable=False, server_default="0"),
    sa.Column("rows_taken", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows_rejected", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("last_success_at", Instant),
    sa.Column("last_failure_at", Instant),
    sa.Column("last_failure", sa.Text),
    sa.Column("epoch", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("last_key", sa.Text),
    sa.Column("stopped_at", Instant),
    sa.Column("stopped_reason", sa.Text),
    sa.PrimaryKeyConstraint("dossier_code", "source_code", "stream"),
    sa.CheckConstraint("overlap_s >= 0", name="overlap_range"),
    sa.CheckConstraint("(stopped_at IS NULL) = (stopped_reason IS NULL)", name="stopped_has_reason"),
    schema="flow",
)
"""`source_code` is the code of a source, or `connection:<code>`. `last_key`: the greatest key of an append-only stream.

A stream with `stopped_at` is not read until a person lets it go on.
"""

intake_reject = sa.Table(
    "intake_reject",
    metadata,
    _dossier(),
    sa.Column("intake", sa.Text, nullable=False),
    sa.Column("source_key", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("payload", JSONB, nullable=False),
    sa.Column("first_seen_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("dossier_code", "intake", "source_key"),
    schema="flow",
)
"""Rows of a source that could not be taken, unchanged, with the reason; deleted when a later pass takes them."""

inter_company_task = sa.Table(
    "inter_company_task",
    metadata,
    _dossier(),
    sa.Column("intake", sa.Text, nullable=False),
    sa.Column("task_key", sa.Text, nullable=False),
    sa.Column("recorded_at", Instant, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("target_code", sa.Text, sa.ForeignKey("hub.call_target.target_code"), nullable=False),
    sa.Column("payload", JSONB, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="ACTIVE"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_error", sa.Text),
    sa.Column("done_at", Instant),
    sa.PrimaryKeyConstraint("dossier_code", "intake", "task_key"),
    _one_of("state", "ACTIVE", "DONE", "SUSPENDED"),
    sa.CheckConstraint("(state = 'DONE') = (done_at IS NOT NULL)", name="done_has_instant"),
    sa.CheckConstraint("state <> 'SUSPENDED' OR last_error IS NOT NULL", name="suspended_has_reason"),
    sa.Index("inter_company_task_active_idx", "dossier_code", "at", postgresql_where=sa.text("state = 'ACTIVE'")),
    schema="flow",
)

outbound_call = sa.Table(
    "outbound_call",
    metadata,
    sa.Column("call_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    _dossier(),
    sa.Column("target_code", sa.Text, sa.ForeignKey("hub.call_target.target_code"), nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.Text, nullable=False),
    sa.Column("payload", JSONB, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="PENDING"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", Instant, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("closed_at", Instant),
    sa.Column("last_error", sa.Text),
    sa.UniqueConstraint("idempotency_key"),
    _one_of("state", "PENDING", "SENDING", "DONE", "FAILED"),
    sa.CheckConstraint("(state IN ('DONE', 'FAILED')) = (closed_at IS NOT NULL)", name="closed_has_instant"),
    sa.Index("outbound_call_open_idx", "not_before", postgresql_where=sa.text("state IN ('PENDING', 'SENDING')")),
    schema="flow",
)
"""Effects outside the database other than mail. `cause` is `mobility` or `inter_company`."""

mail = sa.Table(
    "mail",
    metadata,
    sa.Column("mail_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("dossier_code", sa.Text, sa.ForeignKey("hub.dossier.dossier_code")),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("html", sa.Text),
    sa.Column("state", sa.Text, nullable=False, server_default="PENDING"),
    sa.Column("on_uncertain", sa.Text, nullable=False),
    sa.Column("test_mode", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("uncertain_attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", Instant, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("claimed_at", Instant),
    sa.Column("sent_at", Instant),
    sa.Column("last_error", sa.Text),
    sa.UniqueConstraint("idempotency_key"),
    _one_of("state", "PENDING", "SENDING", "SENT", "UNCERTAIN", "FAILED", "SKIPPED"),
    _one_of("on_uncertain", "hold", "resend"),
    sa.CheckConstraint("state <> 'SENT' OR sent_at IS NOT NULL", name="sent_has_instant"),
    sa.CheckConstraint("(state = 'SENDING') = (claimed_at IS NOT NULL)", name="sending_is_claimed"),
    sa.CheckConstraint("state NOT IN ('FAILED', 'SKIPPED', 'UNCERTAIN') OR last_error IS NOT NULL", name="unsent_has_reason"),
    sa.Index(
        "mail_open_idx", "not_before", "mail_id", postgresql_where=sa.text("state IN ('PENDING', 'SENDING', 'UNCERTAIN')")
    ),
    sa.Index("mail_dossier_code_cause_idx", "dossier_code", "cause", "created_at"),
    schema="flow",
)
"""The mail outbox. `cause` is `interactions_alert`, `interactions_recovery`, `ticks_missed`...

`sent_at`: when a first recipient was accepted; a row that is still PENDING with it has recipients to be tried again.
`uncertain_attempts`: how often the answer to the whole message was lost.
"""

mail_recipient = sa.Table(
    "mail_recipient",
    metadata,
    sa.Column("mail_id", sa.BigInteger, sa.ForeignKey("flow.mail.mail_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False, server_default="PENDING"),
    sa.Column("answer", sa.Text),
    sa.Column("answered_at", Instant),
    _one_of("state", "PENDING", "ACCEPTED", "REFUSED"),
    schema="flow",
)

lease = sa.Table(
    "lease",
    metadata,
    _dossier(),
    sa.Column("work", sa.Text, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.Text),
    sa.Column("acquired_at", Instant),
    sa.Column("expires_at", Instant),
    sa.PrimaryKeyConstraint("dossier_code", "work"),
    sa.CheckConstraint("(holder IS NULL) = (expires_at IS NULL)", name="held_has_expiry"),
    schema="flow",
)
"""One writer per dossier and work. `epoch` grows with every new holder and never falls: it is the fence."""

tick = sa.Table(
    "tick",
    metadata,
    _dossier(),
    sa.Column("process_code", sa.Text, nullable=False),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="1"),
    sa.Column("recorded_at", Instant, nullable=False),
    sa.Column("requested_at", Instant),
    sa.Column("batch", sa.Text),
    sa.Column("run_id", sa.Text),
    sa.Column("closed_at", Instant),
    sa.Column("alerted_at", Instant),
    sa.PrimaryKeyConstraint("dossier_code", "process_code", "due_at"),
    _one_of("state", "REQUESTED", "RAN", "SKIPPED", "MISSED"),
    sa.CheckConstraint("(state = 'REQUESTED') = (closed_at IS NULL)", name="open_is_requested"),
    sa.CheckConstraint("state NOT IN ('SKIPPED', 'MISSED') OR reason IS NOT NULL", name="reason_present"),
    sa.Index("tick_open_idx", "requested_at", postgresql_where=sa.text("state = 'REQUESTED'")),
    sa.Index("tick_unalerted_idx", "due_at", postgresql_where=sa.text("state = 'MISSED' AND alerted_at IS NULL")),
    schema="flow",
)
"""The ledger: exactly one row for every due tick, written before the run is requested and closed by the run.

`batch` names the request, and stands as a tag on the run that was made for it.
"""

refresh_request = sa.Table(
    "refresh_request",
    metadata,
    sa.Column("request_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    _dossier(),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("requested_at", Instant, nullable=False),
    sa.Column("notify", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("state", sa.Text, nullable=False, server_default="REQUESTED"),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="1"),
    sa.Column("batch", sa.Text),
    sa.Column("run_id", sa.Text),
    sa.Column("closed_at", Instant),
    sa.Column("reason", sa.Text),
    _one_of("state", "REQUESTED", "RUNNING", "DONE", "FAILED"),
    sa.CheckConstraint("(state IN ('DONE', 'FAILED')) = (closed_at IS NOT NULL)", name="closed_has_instant"),
    sa.Index(
        "refresh_request_open_key",
        "dossier_code",
        unique=True,
        postgresql_where=sa.text("state IN ('REQUESTED', 'RUNNING')"),
    ),
    schema="flow",
)

# --- automation: processes and their schedules ------------------------------------------------------------------------

process = sa.Table(
    "process",
    metadata,
    _dossier(),
    sa.Column("process_code", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("test_mode", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("days", ARRAY(sa.SmallInteger), nullable=False),
    sa.Column("start", sa.Time, nullable=False),
    sa.Column("duration_min", sa.Integer, nullable=False),
    sa.Column("frequency_min", sa.Integer, nullable=False),
    sa.Column("missed_ticks", sa.Text, nullable=False),
    sa.Column("missed_max", sa.Integer, nullable=False),
    sa.Column("mail_group", sa.Text, nullable=False),
    sa.Column("mail_template", sa.Text, nullable=False),
    sa.Column("recovery_template", sa.Text),
    sa.Column("on_uncertain", sa.Text, nullable=False),
    sa.Column("considered_until", Instant, nullable=False),
    sa.Column("next_due_at", Instant),
    sa.Column("updated_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("dossier_code", "process_code"),
    _one_of("state", "ACTIVE", "IN_MODIFICATION", "EXPIRED"),
    _one_of("missed_ticks", "none", "last", "all"),
    _one_of("on_uncertain", "hold", "resend"),
    sa.CheckConstraint("duration_min BETWEEN 0 AND 1439", name="duration_range"),
    sa.CheckConstraint("frequency_min BETWEEN 1 AND 1440", name="frequency_range"),
    sa.CheckConstraint("missed_max BETWEEN 1 AND 1000", name="missed_max_range"),
    sa.CheckConstraint(
        "cardinality(days) BETWEEN 1 AND 7 AND days <@ ARRAY[1, 2, 3, 4, 5, 6, 7]::smallint[]", name="days_are_iso"
    ),
    sa.Index("process_next_due_at_idx", "next_due_at"),
    schema="automation",
)
"""`considered_until`: every tick up to here has its ledger row. `next_due_at`: the first one after it, NULL to be computed."""

# --- supervision: the state that people look at -----------------------------------------------------------------------

SYNC_STATES = ("NORMAL", "ALERT")


def _state_columns() -> list[sa.Column[Any]]:
    columns: list[sa.Column[Any]] = [
        sa.Column("crm_project_code", sa.Text, nullable=False),
        sa.Column("last_sync_at", Instant),
        sa.Column("sync_state", sa.Text, nullable=False),
        sa.Column("sync_state_label", sa.Text, nullable=False),
        sa.Column("alert_delay_min", sa.Integer, nullable=False),
        sa.Column("elapsed_min", sa.Integer, nullable=False),
        sa.Column("never_synced", sa.Boolean, nullable=False),
        sa.Column("last_refreshed_at", Instant, nullable=False),
        sa.Column("syncs_today", sa.Integer, nullable=False),
        sa.Column("interventions_today_not_ok", sa.Integer, nullable=False),
        sa.Column("interventions_not_ok", sa.Integer, nullable=False),
        sa.Column("times_not_ok", sa.Integer, nullable=False),
        sa.Column("documents_not_ok", sa.Integer, nullable=False),
        sa.Column("syncs_with_rejects", sa.Integer, nullable=False),
        sa.Column("interventions_in_error", sa.Integer, nullable=False),
        sa.Column("times_in_error", sa.Integer, nullable=False),
        sa.Column("documents_in_error", sa.Integer, nullable=False),
        sa.Column("anomaly_started_at", Instant),
        sa.Column("last_alert_mail_at", Instant),
        sa.Column("run_id", sa.Text),
    ]
    return columns


interaction_state = sa.Table(
    "interaction_state",
    metadata,
    sa.Column("dossier_code", sa.Text, sa.ForeignKey("hub.dossier.dossier_code"), primary_key=True),
    *_state_columns(),
    sa.Column("reported_at", Instant),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    _one_of("sync_state", *SYNC_STATES),
    sa.CheckConstraint("(sync_state = 'ALERT') = (anomaly_started_at IS NOT NULL)", name="alert_has_start"),
    sa.CheckConstraint("last_alert_mail_at IS NULL OR anomaly_started_at IS NOT NULL", name="mail_has_anomaly"),
    sa.CheckConstraint("elapsed_min >= 0", name="elapsed_range"),
    schema="supervision",
)
"""One row per dossier. `reported_at`: when the row was last written to Dagster as it stands, NULL when it has changed since."""

interaction_state_history = sa.Table(
    "interaction_state_history",
    metadata,
    sa.Column("dossier_code", sa.Text, nullable=False),
    *_state_columns(),
    sa.PrimaryKeyConstraint("dossier_code", "last_refreshed_at"),
    _one_of("sync_state", *SYNC_STATES),
    schema="supervision",
    postgresql_partition_by="RANGE (last_refreshed_at)",
)

watcher = sa.Table(
    "watcher",
    metadata,
    sa.Column("watcher_code", sa.Text, primary_key=True),
    sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("poll_interval_s", sa.Integer, nullable=False),
    sa.Column("heartbeat_at", Instant),
    sa.Column("last_work", sa.Text),
    sa.Column("state", sa.Text, nullable=False, server_default="OFF"),
    _one_of("watcher_code", "INTERCOMPANY", "DATA_HUB", "MOBILITY"),
    _one_of("state", "ON", "OFF"),
    sa.CheckConstraint("poll_interval_s BETWEEN 1 AND 86400", name="poll_interval_range"),
    schema="supervision",
)
"""`state` is what the last observation recorded; readers compute it anew from the heartbeat's age (mart.watcher)."""

alert = sa.Table(
    "alert",
    metadata,
    sa.Column("alert_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("dossier_code", sa.Text, sa.ForeignKey("hub.dossier.dossier_code")),
    sa.Column("check_name", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.Column("closed_at", Instant),
    sa.Column("details", JSONB, nullable=False),
    sa.Column("recovery", sa.Text, nullable=False),
    sa.Column("acknowledged_at", Instant),
    sa.Column("acknowledged_by", sa.Text),
    sa.Column("snoozed_until", Instant),
    sa.Column("note", sa.Text),
    _one_of("severity", "WARN", "ERROR"),
    sa.CheckConstraint("(acknowledged_at IS NULL) = (acknowledged_by IS NULL)", name="acknowledged_has_actor"),
    sa.Index(
        "alert_open_key",
        "dossier_code",
        "check_name",
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    ),
    schema="supervision",
)
"""A failing check, from its first failure to the evaluation that passes. `dossier_code` is NULL for the installation itself."""

# --- audit ------------------------------------------------------------------------------------------------------------

change = sa.Table(
    "change",
    metadata,
    sa.Column("change_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("object_kind", sa.Text, nullable=False),
    sa.Column("object_code", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("before", JSONB),
    sa.Column("after", JSONB),
    sa.Index("change_object_idx", "object_kind", "object_code", "at"),
    schema="audit",
)
"""Who changed which setting, dossier or dataset, when, and from what to what. Append-only by trigger."""
