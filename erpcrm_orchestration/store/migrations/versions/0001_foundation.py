"""The foundation: dossiers, configuration, intake, ledger, outboxes, interaction state, and the read side for analysts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from erpcrm_orchestration.store.engine import run_script

revision = "0001"
down_revision = None

SCHEMAS = ("hub", "flow", "supervision", "automation", "audit", "mart")


def upgrade() -> None:
    for schema in SCHEMAS:
        op.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
    _create_tables()
    for script in ("migration_0001_rights", "migration_0001_mart"):
        run_script(op.get_bind(), script)


def _create_tables() -> None:
    op.create_table(
        "change",
        sa.Column("change_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("object_kind", sa.Text(), nullable=False),
        sa.Column("object_code", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("change_id", name=op.f("change_pkey")),
        schema="audit",
    )
    op.create_index("change_object_idx", "change", ["object_kind", "object_code", "at"], unique=False, schema="audit")
    op.create_table(
        "call_target",
        sa.Column("target_code", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("target_code", name=op.f("call_target_pkey")),
        schema="hub",
    )
    op.create_table(
        "dataset_type",
        sa.Column("type_code", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("fields", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "category IN ('INTERVENTION', 'TIME', 'DOCUMENT', 'OTHER')", name=op.f("dataset_type_category_known_check")
        ),
        sa.PrimaryKeyConstraint("type_code", name=op.f("dataset_type_pkey")),
        schema="hub",
    )
    op.create_table(
        "general_parameters",
        sa.Column("only_row", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("only_row", name=op.f("general_parameters_only_row_check")),
        sa.PrimaryKeyConstraint("only_row", name=op.f("general_parameters_pkey")),
        schema="hub",
    )
    op.create_table(
        "mail_group",
        sa.Column("group_code", sa.Text(), nullable=False),
        sa.Column("aliases", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("group_code", name=op.f("mail_group_pkey")),
        schema="hub",
    )
    op.create_table(
        "mail_template",
        sa.Column("template_code", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("template_code", name=op.f("mail_template_pkey")),
        schema="hub",
    )
    op.create_table(
        "source",
        sa.Column("source_code", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source_code", name=op.f("source_pkey")),
        schema="hub",
    )
    op.create_table(
        "interaction_state_history",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("crm_project_code", sa.Text(), nullable=False),
        sa.Column("last_sync_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sync_state", sa.Text(), nullable=False),
        sa.Column("sync_state_label", sa.Text(), nullable=False),
        sa.Column("alert_delay_min", sa.Integer(), nullable=False),
        sa.Column("elapsed_min", sa.Integer(), nullable=False),
        sa.Column("never_synced", sa.Boolean(), nullable=False),
        sa.Column("last_refreshed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("syncs_today", sa.Integer(), nullable=False),
        sa.Column("interventions_today_not_ok", sa.Integer(), nullable=False),
        sa.Column("interventions_not_ok", sa.Integer(), nullable=False),
        sa.Column("times_not_ok", sa.Integer(), nullable=False),
        sa.Column("documents_not_ok", sa.Integer(), nullable=False),
        sa.Column("syncs_with_rejects", sa.Integer(), nullable=False),
        sa.Column("interventions_in_error", sa.Integer(), nullable=False),
        sa.Column("times_in_error", sa.Integer(), nullable=False),
        sa.Column("documents_in_error", sa.Integer(), nullable=False),
        sa.Column("anomaly_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_alert_mail_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.CheckConstraint("sync_state IN ('NORMAL', 'ALERT')", name=op.f("interaction_state_history_sync_state_known_check")),
        sa.PrimaryKeyConstraint("dossier_code", "last_refreshed_at", name=op.f("interaction_state_history_pkey")),
        schema="supervision",
        postgresql_partition_by="RANGE (last_refreshed_at)",
    )
    op.create_table(
        "watcher",
        sa.Column("watcher_code", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("poll_interval_s", sa.Integer(), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_work", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="OFF", nullable=False),
        sa.CheckConstraint("state IN ('ON', 'OFF')", name=op.f("watcher_state_known_check")),
        sa.CheckConstraint(
            "watcher_code IN ('INTERCOMPANY', 'DATA_HUB', 'MOBILITY')", name=op.f("watcher_watcher_code_known_check")
        ),
        sa.CheckConstraint("poll_interval_s BETWEEN 1 AND 86400", name=op.f("watcher_poll_interval_range_check")),
        sa.PrimaryKeyConstraint("watcher_code", name=op.f("watcher_pkey")),
        schema="supervision",
    )
    op.create_table(
        "automaton_state",
        sa.Column("type_code", sa.Text(), nullable=False),
        sa.Column("state_number", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("state_group", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("function", sa.Text(), nullable=True),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("next_if_true", sa.Integer(), nullable=True),
        sa.Column("next_if_false", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "(action = 'AUTOMATIC') = (function IS NOT NULL AND next_if_true IS NOT NULL AND next_if_false IS NOT NULL)",
            name=op.f("automaton_state_automatic_has_function_and_branches_check"),
        ),
        sa.CheckConstraint(
            "(action = 'FINAL') = (state_group IN ('CLOSED_OK', 'CLOSED_KO'))",
            name=op.f("automaton_state_final_is_closed_check"),
        ),
        sa.CheckConstraint("action IN ('AUTOMATIC', 'MANUAL', 'FINAL')", name=op.f("automaton_state_action_known_check")),
        sa.CheckConstraint(
            "state_group IN ('RECEIVED', 'PENDING', 'PROCESSING', 'WAITING', 'ERROR', 'CLOSED_OK', 'CLOSED_KO')",
            name=op.f("automaton_state_state_group_known_check"),
        ),
        sa.CheckConstraint("state_number BETWEEN 1 AND 9999", name=op.f("automaton_state_state_number_range_check")),
        sa.ForeignKeyConstraint(
            ["type_code", "next_if_false"],
            ["hub.automaton_state.type_code", "hub.automaton_state.state_number"],
            name=op.f("automaton_state_type_code_next_if_false_fkey"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["type_code", "next_if_true"],
            ["hub.automaton_state.type_code", "hub.automaton_state.state_number"],
            name=op.f("automaton_state_type_code_next_if_true_fkey"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["type_code"], ["hub.dataset_type.type_code"], name=op.f("automaton_state_type_code_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("type_code", "state_number", name=op.f("automaton_state_pkey")),
        schema="hub",
    )
    op.create_table(
        "dossier",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("crm_project_code", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), server_default="Europe/Paris", nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("alert_delay_min", sa.Integer(), server_default="0", nullable=False),
        sa.Column("alert_mail_interval_min", sa.Integer(), server_default="60", nullable=False),
        sa.Column("import_frequency_min", sa.Integer(), nullable=True),
        sa.Column("count_only_open_hours", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("source_code", sa.Text(), nullable=True),
        sa.Column("hub_folder", sa.Text(), nullable=True),
        sa.Column("mobility_action", sa.Text(), nullable=True),
        sa.Column("mobility_target", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("crm_project_code <> ''", name=op.f("dossier_crm_project_code_present_check")),
        sa.CheckConstraint("dossier_code ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,15}$'", name=op.f("dossier_dossier_code_rule_check")),
        sa.CheckConstraint(
            "(mobility_action IS NULL) = (mobility_target IS NULL)", name=op.f("dossier_mobility_complete_check")
        ),
        sa.CheckConstraint(
            "alert_delay_min = 0 OR import_frequency_min IS NULL OR alert_delay_min >= import_frequency_min",
            name=op.f("dossier_alert_delay_not_below_import_frequency_check"),
        ),
        sa.CheckConstraint("alert_delay_min BETWEEN 0 AND 10080", name=op.f("dossier_alert_delay_range_check")),
        sa.CheckConstraint("alert_mail_interval_min BETWEEN 0 AND 10080", name=op.f("dossier_alert_mail_interval_range_check")),
        sa.CheckConstraint("import_frequency_min BETWEEN 1 AND 1440", name=op.f("dossier_import_frequency_range_check")),
        sa.ForeignKeyConstraint(
            ["mobility_target"], ["hub.call_target.target_code"], name=op.f("dossier_mobility_target_fkey")
        ),
        sa.ForeignKeyConstraint(["source_code"], ["hub.source.source_code"], name=op.f("dossier_source_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", name=op.f("dossier_pkey")),
        schema="hub",
    )
    op.create_index(
        "dossier_code_casefold_key", "dossier", [sa.literal_column("lower(dossier_code)")], unique=True, schema="hub"
    )
    op.create_index("dossier_source_code_idx", "dossier", ["source_code"], unique=False, schema="hub")
    op.create_table(
        "mail_group_member",
        sa.Column("group_code", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_code"], ["hub.mail_group.group_code"], name=op.f("mail_group_member_group_code_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_code", "address", name=op.f("mail_group_member_pkey")),
        schema="hub",
    )
    op.create_table(
        "process",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("process_code", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("test_mode", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("days", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("start", sa.Time(), nullable=False),
        sa.Column("duration_min", sa.Integer(), nullable=False),
        sa.Column("frequency_min", sa.Integer(), nullable=False),
        sa.Column("missed_ticks", sa.Text(), nullable=False),
        sa.Column("missed_max", sa.Integer(), nullable=False),
        sa.Column("mail_group", sa.Text(), nullable=False),
        sa.Column("mail_template", sa.Text(), nullable=False),
        sa.Column("recovery_template", sa.Text(), nullable=True),
        sa.Column("on_uncertain", sa.Text(), nullable=False),
        sa.Column("considered_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("missed_ticks IN ('none', 'last', 'all')", name=op.f("process_missed_ticks_known_check")),
        sa.CheckConstraint("on_uncertain IN ('hold', 'resend')", name=op.f("process_on_uncertain_known_check")),
        sa.CheckConstraint("state IN ('ACTIVE', 'IN_MODIFICATION', 'EXPIRED')", name=op.f("process_state_known_check")),
        sa.CheckConstraint(
            "cardinality(days) BETWEEN 1 AND 7 AND days <@ ARRAY[1, 2, 3, 4, 5, 6, 7]::smallint[]",
            name=op.f("process_days_are_iso_check"),
        ),
        sa.CheckConstraint("duration_min BETWEEN 0 AND 1439", name=op.f("process_duration_range_check")),
        sa.CheckConstraint("frequency_min BETWEEN 1 AND 1440", name=op.f("process_frequency_range_check")),
        sa.CheckConstraint("missed_max BETWEEN 1 AND 1000", name=op.f("process_missed_max_range_check")),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("process_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "process_code", name=op.f("process_pkey")),
        schema="automation",
    )
    op.create_index("process_next_due_at_idx", "process", ["next_due_at"], unique=False, schema="automation")
    op.create_table(
        "hub_dataset",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("dataset_number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("type_code", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("intake", sa.Text(), nullable=False),
        sa.Column("source_key", sa.Text(), nullable=False),
        sa.Column("state_number", sa.Integer(), nullable=False),
        sa.Column("state_group", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="1", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("pivot_name", sa.Text(), nullable=True),
        sa.Column("companions", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("payload", sa.Text(), nullable=True),
        sa.Column("fields", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "category IN ('INTERVENTION', 'TIME', 'DOCUMENT', 'OTHER')", name=op.f("hub_dataset_category_known_check")
        ),
        sa.CheckConstraint("origin IN ('CRM', 'EDI', 'MAIL', 'OTHER')", name=op.f("hub_dataset_origin_known_check")),
        sa.CheckConstraint("state_group <> 'ERROR' OR last_error IS NOT NULL", name=op.f("hub_dataset_error_has_reason_check")),
        sa.CheckConstraint(
            "state_group IN ('RECEIVED', 'PENDING', 'PROCESSING', 'WAITING', 'ERROR', 'CLOSED_OK', 'CLOSED_KO')",
            name=op.f("hub_dataset_state_group_known_check"),
        ),
        sa.CheckConstraint("attempts >= 0", name=op.f("hub_dataset_attempts_range_check")),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("hub_dataset_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "dataset_number", name=op.f("hub_dataset_pkey")),
        sa.UniqueConstraint("dataset_number", name=op.f("hub_dataset_dataset_number_key")),
        sa.UniqueConstraint(
            "dossier_code", "intake", "source_key", name=op.f("hub_dataset_dossier_code_intake_source_key_key")
        ),
        schema="flow",
    )
    op.create_index(
        "hub_dataset_not_ok_idx",
        "hub_dataset",
        ["dossier_code", "category", "created_at"],
        unique=False,
        schema="flow",
        postgresql_include=["origin", "state_group"],
        postgresql_where=sa.text("state_group <> 'CLOSED_OK'"),
    )
    op.create_table(
        "intake_reject",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("intake", sa.Text(), nullable=False),
        sa.Column("source_key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("intake_reject_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "intake", "source_key", name=op.f("intake_reject_pkey")),
        schema="flow",
    )
    op.create_table(
        "inter_company_task",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("intake", sa.Text(), nullable=False),
        sa.Column("task_key", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target_code", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), server_default="ACTIVE", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'DONE') = (done_at IS NOT NULL)", name=op.f("inter_company_task_done_has_instant_check")),
        sa.CheckConstraint(
            "state <> 'SUSPENDED' OR last_error IS NOT NULL", name=op.f("inter_company_task_suspended_has_reason_check")
        ),
        sa.CheckConstraint("state IN ('ACTIVE', 'DONE', 'SUSPENDED')", name=op.f("inter_company_task_state_known_check")),
        sa.ForeignKeyConstraint(
            ["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("inter_company_task_dossier_code_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["target_code"], ["hub.call_target.target_code"], name=op.f("inter_company_task_target_code_fkey")
        ),
        sa.PrimaryKeyConstraint("dossier_code", "intake", "task_key", name=op.f("inter_company_task_pkey")),
        schema="flow",
    )
    op.create_index(
        "inter_company_task_active_idx",
        "inter_company_task",
        ["dossier_code", "at"],
        unique=False,
        schema="flow",
        postgresql_where=sa.text("state = 'ACTIVE'"),
    )
    op.create_table(
        "lease",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("work", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("acquired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(holder IS NULL) = (expires_at IS NULL)", name=op.f("lease_held_has_expiry_check")),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("lease_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "work", name=op.f("lease_pkey")),
        schema="flow",
    )
    op.create_table(
        "logbook_entry",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("entry_key", sa.Text(), nullable=False),
        sa.Column("sync_id", sa.Text(), nullable=True),
        sa.Column("program", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reject_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("outcome IN ('OK', 'REJECT', 'ERROR')", name=op.f("logbook_entry_outcome_known_check")),
        sa.CheckConstraint("reject_count >= 0", name=op.f("logbook_entry_reject_count_range_check")),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("logbook_entry_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "at", "origin", "entry_key", name=op.f("logbook_entry_pkey")),
        schema="flow",
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index(
        "logbook_entry_recorded_at_idx", "logbook_entry", ["recorded_at"], unique=False, schema="flow", postgresql_using="brin"
    )
    op.create_index(
        "logbook_entry_reject_idx",
        "logbook_entry",
        ["dossier_code", "at", "sync_id"],
        unique=False,
        schema="flow",
        postgresql_where=sa.text("outcome = 'REJECT' OR reject_count > 0"),
    )
    op.create_index(
        "logbook_entry_synchronisation_idx",
        "logbook_entry",
        ["dossier_code", "at"],
        unique=False,
        schema="flow",
        postgresql_where=sa.text("action = 'WEAVY_URL_FILE'"),
    )
    op.create_table(
        "mail",
        sa.Column("mail_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("dossier_code", sa.Text(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("on_uncertain", sa.Text(), nullable=False),
        sa.Column("test_mode", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("uncertain_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint("(state = 'SENDING') = (claimed_at IS NOT NULL)", name=op.f("mail_sending_is_claimed_check")),
        sa.CheckConstraint("on_uncertain IN ('hold', 'resend')", name=op.f("mail_on_uncertain_known_check")),
        sa.CheckConstraint("state <> 'SENT' OR sent_at IS NOT NULL", name=op.f("mail_sent_has_instant_check")),
        sa.CheckConstraint(
            "state IN ('PENDING', 'SENDING', 'SENT', 'UNCERTAIN', 'FAILED', 'SKIPPED')", name=op.f("mail_state_known_check")
        ),
        sa.CheckConstraint(
            "state NOT IN ('FAILED', 'SKIPPED', 'UNCERTAIN') OR last_error IS NOT NULL",
            name=op.f("mail_unsent_has_reason_check"),
        ),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("mail_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("mail_id", name=op.f("mail_pkey")),
        sa.UniqueConstraint("idempotency_key", name=op.f("mail_idempotency_key_key")),
        schema="flow",
    )
    op.create_index("mail_dossier_code_cause_idx", "mail", ["dossier_code", "cause", "created_at"], unique=False, schema="flow")
    op.create_index(
        "mail_open_idx",
        "mail",
        ["not_before", "mail_id"],
        unique=False,
        schema="flow",
        postgresql_where=sa.text("state IN ('PENDING', 'SENDING', 'UNCERTAIN')"),
    )
    op.create_table(
        "outbound_call",
        sa.Column("call_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("target_code", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state IN ('DONE', 'FAILED')) = (closed_at IS NOT NULL)", name=op.f("outbound_call_closed_has_instant_check")
        ),
        sa.CheckConstraint("state IN ('PENDING', 'SENDING', 'DONE', 'FAILED')", name=op.f("outbound_call_state_known_check")),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("outbound_call_dossier_code_fkey")),
        sa.ForeignKeyConstraint(["target_code"], ["hub.call_target.target_code"], name=op.f("outbound_call_target_code_fkey")),
        sa.PrimaryKeyConstraint("call_id", name=op.f("outbound_call_pkey")),
        sa.UniqueConstraint("idempotency_key", name=op.f("outbound_call_idempotency_key_key")),
        schema="flow",
    )
    op.create_index(
        "outbound_call_open_idx",
        "outbound_call",
        ["not_before"],
        unique=False,
        schema="flow",
        postgresql_where=sa.text("state IN ('PENDING', 'SENDING')"),
    )
    op.create_table(
        "refresh_request",
        sa.Column("request_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("notify", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("state", sa.Text(), server_default="REQUESTED", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="1", nullable=False),
        sa.Column("batch", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state IN ('DONE', 'FAILED')) = (closed_at IS NOT NULL)", name=op.f("refresh_request_closed_has_instant_check")
        ),
        sa.CheckConstraint(
            "state IN ('REQUESTED', 'RUNNING', 'DONE', 'FAILED')", name=op.f("refresh_request_state_known_check")
        ),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("refresh_request_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("refresh_request_pkey")),
        schema="flow",
    )
    op.create_index(
        "refresh_request_open_key",
        "refresh_request",
        ["dossier_code"],
        unique=True,
        schema="flow",
        postgresql_where=sa.text("state IN ('REQUESTED', 'RUNNING')"),
    )
    op.create_table(
        "source_cursor",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("source_code", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("watermark_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("overlap_s", sa.Integer(), nullable=False),
        sa.Column("late_arrivals", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("max_lateness_s", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rows_taken", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rows_rejected", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_success_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_failure_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_failure", sa.Text(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("overlap_s >= 0", name=op.f("source_cursor_overlap_range_check")),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("source_cursor_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "source_code", "stream", name=op.f("source_cursor_pkey")),
        schema="flow",
    )
    op.create_table(
        "tick",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("process_code", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="1", nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("batch", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("alerted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'REQUESTED') = (closed_at IS NULL)", name=op.f("tick_open_is_requested_check")),
        sa.CheckConstraint("state IN ('REQUESTED', 'RAN', 'SKIPPED', 'MISSED')", name=op.f("tick_state_known_check")),
        sa.CheckConstraint("state NOT IN ('SKIPPED', 'MISSED') OR reason IS NOT NULL", name=op.f("tick_reason_present_check")),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("tick_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "process_code", "due_at", name=op.f("tick_pkey")),
        schema="flow",
    )
    op.create_index(
        "tick_open_idx", "tick", ["requested_at"], unique=False, schema="flow", postgresql_where=sa.text("state = 'REQUESTED'")
    )
    op.create_index(
        "tick_unalerted_idx",
        "tick",
        ["due_at"],
        unique=False,
        schema="flow",
        postgresql_where=sa.text("state = 'MISSED' AND alerted_at IS NULL"),
    )
    op.create_table(
        "alert",
        sa.Column("alert_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("dossier_code", sa.Text(), nullable=True),
        sa.Column("check_name", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("recovery", sa.Text(), nullable=False),
        sa.CheckConstraint("severity IN ('WARN', 'ERROR')", name=op.f("alert_severity_known_check")),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("alert_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("alert_pkey")),
        schema="supervision",
    )
    op.create_index(
        "alert_open_key",
        "alert",
        ["dossier_code", "check_name"],
        unique=True,
        schema="supervision",
        postgresql_where=sa.text("closed_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "interaction_state",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("crm_project_code", sa.Text(), nullable=False),
        sa.Column("last_sync_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sync_state", sa.Text(), nullable=False),
        sa.Column("sync_state_label", sa.Text(), nullable=False),
        sa.Column("alert_delay_min", sa.Integer(), nullable=False),
        sa.Column("elapsed_min", sa.Integer(), nullable=False),
        sa.Column("never_synced", sa.Boolean(), nullable=False),
        sa.Column("last_refreshed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("syncs_today", sa.Integer(), nullable=False),
        sa.Column("interventions_today_not_ok", sa.Integer(), nullable=False),
        sa.Column("interventions_not_ok", sa.Integer(), nullable=False),
        sa.Column("times_not_ok", sa.Integer(), nullable=False),
        sa.Column("documents_not_ok", sa.Integer(), nullable=False),
        sa.Column("syncs_with_rejects", sa.Integer(), nullable=False),
        sa.Column("interventions_in_error", sa.Integer(), nullable=False),
        sa.Column("times_in_error", sa.Integer(), nullable=False),
        sa.Column("documents_in_error", sa.Integer(), nullable=False),
        sa.Column("anomaly_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_alert_mail_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(sync_state = 'ALERT') = (anomaly_started_at IS NOT NULL)", name=op.f("interaction_state_alert_has_start_check")
        ),
        sa.CheckConstraint("sync_state IN ('NORMAL', 'ALERT')", name=op.f("interaction_state_sync_state_known_check")),
        sa.CheckConstraint("elapsed_min >= 0", name=op.f("interaction_state_elapsed_range_check")),
        sa.CheckConstraint(
            "last_alert_mail_at IS NULL OR anomaly_started_at IS NOT NULL",
            name=op.f("interaction_state_mail_has_anomaly_check"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("interaction_state_dossier_code_fkey")
        ),
        sa.PrimaryKeyConstraint("dossier_code", name=op.f("interaction_state_pkey")),
        schema="supervision",
    )
    op.create_table(
        "mail_recipient",
        sa.Column("mail_id", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('PENDING', 'ACCEPTED', 'REFUSED')", name=op.f("mail_recipient_state_known_check")),
        sa.ForeignKeyConstraint(
            ["mail_id"], ["flow.mail.mail_id"], name=op.f("mail_recipient_mail_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("mail_id", "address", name=op.f("mail_recipient_pkey")),
        schema="flow",
    )
