"""Background routines: servers, agendas, audiences, presets and rules, execution orders, and what they made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from erpcrm_orchestration.store.engine import run_script

revision = "0006"
down_revision = "0005"

Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables of the routines."""
    op.execute(sa.schema.CreateSequence(sa.Sequence("order_number_seq", schema="automation")))
    op.add_column(
        "dossier",
        sa.Column("routines", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        schema="hub",
    )
    _create_settings()
    _create_orders()
    _create_accounts()
    _create_histories()
    run_script(op.get_bind(), "migration_0006_views")


def _create_settings() -> None:
    op.create_table(
        "server",
        sa.Column("server_code", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.CheckConstraint("state IN ('ACTIVE', 'INACTIVE', 'BLOCKED')", name=op.f("server_state_known_check")),
        sa.CheckConstraint("capacity BETWEEN 1 AND 1000", name=op.f("server_capacity_range_check")),
        sa.PrimaryKeyConstraint("server_code", name=op.f("server_pkey")),
        schema="automation",
    )
    op.create_table(
        "agenda",
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("program", name=op.f("agenda_pkey")),
        schema="automation",
    )
    op.create_table(
        "audience",
        sa.Column("audience_code", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("audience_code", name=op.f("audience_pkey")),
        schema="automation",
    )
    op.create_table(
        "monitor_parameter",
        sa.Column("parameter_code", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("parameter_code", name=op.f("monitor_parameter_pkey")),
        schema="automation",
    )
    op.create_table(
        "class_rule",
        sa.Column("rule_code", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("rule_code", name=op.f("class_rule_pkey")),
        schema="automation",
    )


def _create_orders() -> None:
    op.create_table(
        "execution_order",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column(
            "order_number", sa.BigInteger(), server_default=sa.text("nextval('automation.order_number_seq')"), nullable=False
        ),
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("summary", sa.Boolean(), nullable=False),
        sa.Column("scheduled_at", Instant, nullable=False),
        sa.Column("server_code", sa.Text(), nullable=True),
        sa.Column("auto_agenda", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("origin", sa.Text(), server_default="PERSON", nullable=False),
        sa.Column("audience_code", sa.Text(), nullable=True),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("depends_on", sa.BigInteger(), nullable=True),
        sa.Column("dry_run", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("state", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="1", nullable=False),
        sa.Column("batch", sa.Text(), nullable=True),
        sa.Column("requested_at", Instant, nullable=True),
        sa.Column("slot", sa.Integer(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("started_at", Instant, nullable=True),
        sa.Column("ended_at", Instant, nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("audience_frozen", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("account_after", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("changed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unchanged", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("skipped", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("errors", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("(state = 'FAILED') = (failure IS NOT NULL)", name=op.f("execution_order_failed_has_reason_check")),
        sa.CheckConstraint(
            "(state IN ('DONE', 'FAILED', 'CANCELLED')) = (ended_at IS NOT NULL)",
            name=op.f("execution_order_ended_has_instant_check"),
        ),
        sa.CheckConstraint("origin IN ('PERSON', 'AGENDA', 'BACKFILL')", name=op.f("execution_order_origin_known_check")),
        sa.CheckConstraint(
            "state <> 'RUNNING' OR (run_id IS NOT NULL AND started_at IS NOT NULL)",
            name=op.f("execution_order_running_has_run_check"),
        ),
        sa.CheckConstraint(
            "state IN ('PENDING', 'RUNNING', 'DONE', 'FAILED', 'CANCELLED')", name=op.f("execution_order_state_known_check")
        ),
        sa.CheckConstraint(
            "(batch IS NULL) = (requested_at IS NULL) AND (batch IS NULL) = (slot IS NULL)",
            name=op.f("execution_order_batch_is_whole_check"),
        ),
        sa.CheckConstraint(
            "account_after >= 0 AND changed >= 0 AND unchanged >= 0 AND skipped >= 0 AND errors >= 0",
            name=op.f("execution_order_counts_range_check"),
        ),
        sa.CheckConstraint("attempt >= 1", name=op.f("execution_order_attempt_range_check")),
        sa.CheckConstraint("depends_on < order_number", name=op.f("execution_order_parent_is_older_check")),
        sa.ForeignKeyConstraint(
            ["dossier_code", "depends_on"],
            ["automation.execution_order.dossier_code", "automation.execution_order.order_number"],
            name=op.f("execution_order_dossier_code_depends_on_fkey"),
        ),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("execution_order_dossier_code_fkey")),
        sa.ForeignKeyConstraint(
            ["server_code"], ["automation.server.server_code"], name=op.f("execution_order_server_code_fkey")
        ),
        sa.PrimaryKeyConstraint("dossier_code", "order_number", name=op.f("execution_order_pkey")),
        sa.UniqueConstraint("order_number", name=op.f("execution_order_order_number_key")),
        schema="automation",
    )
    op.create_index(
        "execution_order_agenda_key",
        "execution_order",
        ["dossier_code", "program"],
        unique=True,
        schema="automation",
        postgresql_where=sa.text("auto_agenda AND attempt = 1 AND state = 'PENDING'"),
    )
    op.create_index(
        "execution_order_dossier_code_program_idx",
        "execution_order",
        ["dossier_code", "program", "order_number"],
        unique=False,
        schema="automation",
    )
    op.create_index(
        "execution_order_open_idx",
        "execution_order",
        ["scheduled_at", "order_number"],
        unique=False,
        schema="automation",
        postgresql_where=sa.text("state IN ('PENDING', 'RUNNING')"),
    )
    op.create_index(
        "execution_order_running_key",
        "execution_order",
        ["dossier_code", "program"],
        unique=True,
        schema="automation",
        postgresql_where=sa.text("state = 'RUNNING'"),
    )
    op.create_table(
        "order_account",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("order_number", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dossier_code", "order_number"],
            ["automation.execution_order.dossier_code", "automation.execution_order.order_number"],
            name=op.f("order_account_dossier_code_order_number_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dossier_code", "order_number", "customer_id", name=op.f("order_account_pkey")),
        schema="automation",
    )
    op.create_table(
        "order_result",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("order_number", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.CheckConstraint("outcome <> 'error' OR message IS NOT NULL", name=op.f("order_result_error_has_message_check")),
        sa.CheckConstraint(
            "outcome IN ('changed', 'unchanged', 'skipped', 'error')", name=op.f("order_result_outcome_known_check")
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "order_number"],
            ["automation.execution_order.dossier_code", "automation.execution_order.order_number"],
            name=op.f("order_result_dossier_code_order_number_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dossier_code", "order_number", "customer_id", name=op.f("order_result_pkey")),
        schema="automation",
    )


def _create_accounts() -> None:
    op.create_table(
        "account_complement",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("last_purchase_date", sa.Date(), nullable=True),
        sa.Column("first_purchase_date", sa.Date(), nullable=True),
        sa.Column("last_purchase_value", sa.Numeric(), nullable=True),
        sa.Column("first_purchase_value", sa.Numeric(), nullable=True),
        sa.Column("accumulated_value", sa.Numeric(), nullable=False),
        sa.Column("last_quotation_date", sa.Date(), nullable=True),
        sa.Column("purchase_count", sa.BigInteger(), nullable=False),
        sa.Column("days_since_last_purchase", sa.Integer(), nullable=True),
        sa.Column("last_invoice_code", sa.Text(), nullable=True),
        sa.Column("updated_at", Instant, nullable=False),
        sa.CheckConstraint(
            "(purchase_count = 0) = (last_purchase_date IS NULL)", name=op.f("account_complement_purchase_has_date_check")
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "customer_id"],
            ["hub.customer.dossier_code", "hub.customer.customer_id"],
            name=op.f("account_complement_dossier_code_customer_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("dossier_code", "customer_id", name=op.f("account_complement_pkey")),
        schema="automation",
    )
    op.create_table(
        "account_status",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("status_erp", sa.Text(), nullable=False),
        sa.Column("status_gp", sa.Text(), nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.CheckConstraint(
            "status_erp IN ('ACTIVE_ERP', 'INACTIVE_ERP', 'NOT_INTEGRATED_ERP')",
            name=op.f("account_status_status_erp_known_check"),
        ),
        sa.CheckConstraint(
            "status_gp IN ('ACTIVE_GP', 'INACTIVE_GP', 'NOT_INTEGRATED_GP')", name=op.f("account_status_status_gp_known_check")
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "customer_id"],
            ["hub.customer.dossier_code", "hub.customer.customer_id"],
            name=op.f("account_status_dossier_code_customer_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("dossier_code", "customer_id", name=op.f("account_status_pkey")),
        schema="automation",
    )


def _create_histories() -> None:
    op.create_table(
        "birthday_greeting",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("order_number", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("mail_id", sa.BigInteger(), nullable=True),
        sa.Column("greeted_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(
            ["dossier_code", "customer_id"],
            ["hub.customer.dossier_code", "hub.customer.customer_id"],
            name=op.f("birthday_greeting_dossier_code_customer_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "order_number"],
            ["automation.execution_order.dossier_code", "automation.execution_order.order_number"],
            name=op.f("birthday_greeting_dossier_code_order_number_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["mail_id"], ["flow.mail.mail_id"], name=op.f("birthday_greeting_mail_id_fkey"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("dossier_code", "customer_id", "year", name=op.f("birthday_greeting_pkey")),
        schema="automation",
    )
    op.create_table(
        "class_transition",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("order_number", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("from_class", sa.Text(), nullable=True),
        sa.Column("to_class", sa.Text(), nullable=False),
        sa.Column("rule_code", sa.Text(), nullable=False),
        sa.Column("metric_value", sa.Numeric(), nullable=False),
        sa.Column("on_date", sa.Date(), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.CheckConstraint("from_class IS DISTINCT FROM to_class", name=op.f("class_transition_class_changes_check")),
        sa.ForeignKeyConstraint(
            ["dossier_code", "customer_id"],
            ["hub.customer.dossier_code", "hub.customer.customer_id"],
            name=op.f("class_transition_dossier_code_customer_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "order_number"],
            ["automation.execution_order.dossier_code", "automation.execution_order.order_number"],
            name=op.f("class_transition_dossier_code_order_number_fkey"),
        ),
        sa.PrimaryKeyConstraint("dossier_code", "order_number", "customer_id", name=op.f("class_transition_pkey")),
        schema="automation",
    )
    op.create_index(
        "class_transition_dossier_code_customer_id_idx",
        "class_transition",
        ["dossier_code", "customer_id", "on_date"],
        unique=False,
        schema="automation",
    )
    op.create_table(
        "responsible_transfer",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("order_number", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("from_employee_id", sa.BigInteger(), nullable=True),
        sa.Column("to_employee_id", sa.BigInteger(), nullable=False),
        sa.Column("on_date", sa.Date(), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.CheckConstraint(
            "from_employee_id IS DISTINCT FROM to_employee_id", name=op.f("responsible_transfer_responsible_changes_check")
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "customer_id"],
            ["hub.customer.dossier_code", "hub.customer.customer_id"],
            name=op.f("responsible_transfer_dossier_code_customer_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "from_employee_id"],
            ["hub.employee.dossier_code", "hub.employee.employee_id"],
            name=op.f("responsible_transfer_dossier_code_from_employee_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "order_number"],
            ["automation.execution_order.dossier_code", "automation.execution_order.order_number"],
            name=op.f("responsible_transfer_dossier_code_order_number_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "to_employee_id"],
            ["hub.employee.dossier_code", "hub.employee.employee_id"],
            name=op.f("responsible_transfer_dossier_code_to_employee_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("dossier_code", "order_number", "customer_id", name=op.f("responsible_transfer_pkey")),
        schema="automation",
    )
    op.create_index(
        "responsible_transfer_dossier_code_customer_id_idx",
        "responsible_transfer",
        ["dossier_code", "customer_id", "on_date"],
        unique=False,
        schema="automation",
    )
