"""The tables of the background routines, in schema automation: what is configured, the orders, and what they made."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from erpcrm_orchestration.store.schema import Instant, _dossier, _one_of, metadata

ORDER_NUMBER = sa.Sequence("order_number_seq", metadata=metadata, schema="automation")
"""Numbers the orders of all dossiers, so that a number alone names one in a mail."""


def _definition(name: str, code: str) -> sa.Table:
    """Return a table of configured values: their code, and the whole value as JSON."""
    return sa.Table(
        name,
        metadata,
        sa.Column(code, sa.Text, primary_key=True),
        sa.Column("definition", JSONB, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        schema="automation",
    )


server = sa.Table(
    "server",
    metadata,
    sa.Column("server_code", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("capacity", sa.Integer, nullable=False),
    sa.Column("definition", JSONB, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    _one_of("state", "ACTIVE", "INACTIVE", "BLOCKED"),
    sa.CheckConstraint("capacity BETWEEN 1 AND 1000", name="capacity_range"),
    schema="automation",
)
"""A run queue. `capacity`: how many runs of orders work on it at once."""

agenda = _definition("agenda", "program")
audience = _definition("audience", "audience_code")
monitor_parameter = _definition("monitor_parameter", "parameter_code")
class_rule = _definition("class_rule", "rule_code")

execution_order = sa.Table(
    "execution_order",
    metadata,
    _dossier(),
    sa.Column("order_number", sa.BigInteger, ORDER_NUMBER, server_default=ORDER_NUMBER.next_value(), nullable=False),
    sa.Column("program", sa.Text, nullable=False),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("email", sa.Text),
    sa.Column("summary", sa.Boolean, nullable=False),
    sa.Column("scheduled_at", Instant, nullable=False),
    sa.Column("server_code", sa.Text, sa.ForeignKey("automation.server.server_code")),
    sa.Column("auto_agenda", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("origin", sa.Text, nullable=False, server_default="PERSON"),
    sa.Column("audience_code", sa.Text),
    sa.Column("parameters", JSONB, nullable=False, server_default="{}"),
    sa.Column("depends_on", sa.BigInteger),
    sa.Column("dry_run", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("state", sa.Text, nullable=False, server_default="PENDING"),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="1"),
    sa.Column("batch", sa.Text),
    sa.Column("requested_at", Instant),
    sa.Column("slot", sa.Integer),
    sa.Column("run_id", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("started_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("failure", sa.Text),
    sa.Column("audience_frozen", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("account_after", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("changed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("unchanged", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("skipped", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("errors", sa.BigInteger, nullable=False, server_default="0"),
    sa.PrimaryKeyConstraint("dossier_code", "order_number"),
    sa.UniqueConstraint("order_number"),
    sa.ForeignKeyConstraint(
        ["dossier_code", "depends_on"], ["automation.execution_order.dossier_code", "automation.execution_order.order_number"]
    ),
    _one_of("state", "PENDING", "RUNNING", "DONE", "FAILED", "CANCELLED"),
    _one_of("origin", "PERSON", "AGENDA", "BACKFILL"),
    sa.CheckConstraint("depends_on < order_number", name="parent_is_older"),
    sa.CheckConstraint("attempt >= 1", name="attempt_range"),
    sa.CheckConstraint("(batch IS NULL) = (requested_at IS NULL) AND (batch IS NULL) = (slot IS NULL)", name="batch_is_whole"),
    sa.CheckConstraint("state <> 'RUNNING' OR (run_id IS NOT NULL AND started_at IS NOT NULL)", name="running_has_run"),
    sa.CheckConstraint("(state IN ('DONE', 'FAILED', 'CANCELLED')) = (ended_at IS NOT NULL)", name="ended_has_instant"),
    sa.CheckConstraint("(state = 'FAILED') = (failure IS NOT NULL)", name="failed_has_reason"),
    sa.CheckConstraint(
        "account_after >= 0 AND changed >= 0 AND unchanged >= 0 AND skipped >= 0 AND errors >= 0", name="counts_range"
    ),
    # One order of a program runs in a dossier at a time, whoever starts it.
    sa.Index(
        "execution_order_running_key", "dossier_code", "program", unique=True, postgresql_where=sa.text("state = 'RUNNING'")
    ),
    # An agenda has one next order; what is attempted again was followed already.
    sa.Index(
        "execution_order_agenda_key",
        "dossier_code",
        "program",
        unique=True,
        postgresql_where=sa.text("auto_agenda AND attempt = 1 AND state = 'PENDING'"),
    ),
    sa.Index(
        "execution_order_open_idx",
        "scheduled_at",
        "order_number",
        postgresql_where=sa.text("state IN ('PENDING', 'RUNNING')"),
    ),
    sa.Index("execution_order_dossier_code_program_idx", "dossier_code", "program", "order_number"),
    schema="automation",
)
"""Orders to execute a routine. An order is its own ledger row: `batch` names the request for a run that was made for it, and
`slot` which of the places of its server that run has.

`account_after`: every account up to this id was handled; it is written with what was done, so that another attempt goes on
there. The counts are of all attempts together.
"""


def _of_order(*columns: sa.Column[Any]) -> list[sa.Column[Any]]:
    """Return the columns of a table that belongs to an order; it goes with it."""
    return [
        sa.Column("dossier_code", sa.Text, nullable=False),
        sa.Column("order_number", sa.BigInteger, nullable=False),
        sa.Column("customer_id", sa.BigInteger, nullable=False),
        *columns,
    ]


def _order_key(*, ondelete: str | None = "CASCADE") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["dossier_code", "order_number"],
        ["automation.execution_order.dossier_code", "automation.execution_order.order_number"],
        ondelete=ondelete,
    )


def _account_key() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["dossier_code", "customer_id"], ["hub.customer.dossier_code", "hub.customer.customer_id"])


order_account = sa.Table(
    "order_account",
    metadata,
    *_of_order(),
    sa.PrimaryKeyConstraint("dossier_code", "order_number", "customer_id"),
    _order_key(),
    schema="automation",
)
"""The accounts of an order with an audience, as the audience was when its first run began."""

order_result = sa.Table(
    "order_result",
    metadata,
    *_of_order(
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("message", sa.Text),
        sa.Column("details", JSONB, nullable=False, server_default="{}"),
    ),
    sa.PrimaryKeyConstraint("dossier_code", "order_number", "customer_id"),
    _one_of("outcome", "changed", "unchanged", "skipped", "error"),
    sa.CheckConstraint("outcome <> 'error' OR message IS NOT NULL", name="error_has_message"),
    _order_key(),
    schema="automation",
)
"""What an order did with single accounts, where people want to see them: errors, skipped ones, moves, and dry runs."""

account_complement = sa.Table(
    "account_complement",
    metadata,
    sa.Column("dossier_code", sa.Text, nullable=False),
    sa.Column("customer_id", sa.BigInteger, nullable=False),
    sa.Column("last_purchase_date", sa.Date),
    sa.Column("first_purchase_date", sa.Date),
    sa.Column("last_purchase_value", sa.Numeric),
    sa.Column("first_purchase_value", sa.Numeric),
    sa.Column("accumulated_value", sa.Numeric, nullable=False),
    sa.Column("last_quotation_date", sa.Date),
    sa.Column("purchase_count", sa.BigInteger, nullable=False),
    sa.Column("days_since_last_purchase", sa.Integer),
    sa.Column("last_invoice_code", sa.Text),
    sa.Column("updated_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("dossier_code", "customer_id"),
    _account_key(),
    sa.CheckConstraint("(purchase_count = 0) = (last_purchase_date IS NULL)", name="purchase_has_date"),
    schema="automation",
)
"""What the invoices of the ERP tell of an account, on the run date of the order that wrote it last."""

account_status = sa.Table(
    "account_status",
    metadata,
    sa.Column("dossier_code", sa.Text, nullable=False),
    sa.Column("customer_id", sa.BigInteger, nullable=False),
    sa.Column("status_erp", sa.Text, nullable=False),
    sa.Column("status_gp", sa.Text, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("dossier_code", "customer_id"),
    _account_key(),
    _one_of("status_erp", "ACTIVE_ERP", "INACTIVE_ERP", "NOT_INTEGRATED_ERP"),
    _one_of("status_gp", "ACTIVE_GP", "INACTIVE_GP", "NOT_INTEGRATED_GP"),
    schema="automation",
)
"""Informative only: no rule reads it and nothing is refused because of it."""

birthday_greeting = sa.Table(
    "birthday_greeting",
    metadata,
    *_of_order(
        sa.Column("year", sa.Integer, nullable=False),
        sa.Column("mail_id", sa.BigInteger, sa.ForeignKey("flow.mail.mail_id", ondelete="SET NULL")),
        sa.Column("greeted_at", Instant, nullable=False),
    ),
    sa.PrimaryKeyConstraint("dossier_code", "customer_id", "year"),
    _account_key(),
    _order_key(ondelete=None),
    schema="automation",
)
"""Once for each account and year, whichever order did it."""

class_transition = sa.Table(
    "class_transition",
    metadata,
    *_of_order(
        sa.Column("from_class", sa.Text),
        sa.Column("to_class", sa.Text, nullable=False),
        sa.Column("rule_code", sa.Text, nullable=False),
        sa.Column("metric_value", sa.Numeric, nullable=False),
        sa.Column("on_date", sa.Date, nullable=False),
        sa.Column("at", Instant, nullable=False),
    ),
    sa.PrimaryKeyConstraint("dossier_code", "order_number", "customer_id"),
    _account_key(),
    _order_key(ondelete=None),
    sa.CheckConstraint("from_class IS DISTINCT FROM to_class", name="class_changes"),
    sa.Index("class_transition_dossier_code_customer_id_idx", "dossier_code", "customer_id", "on_date"),
    schema="automation",
)
"""The history of classes; at most one transition of an account in each order."""

responsible_transfer = sa.Table(
    "responsible_transfer",
    metadata,
    *_of_order(
        sa.Column("from_employee_id", sa.BigInteger),
        sa.Column("to_employee_id", sa.BigInteger, nullable=False),
        sa.Column("on_date", sa.Date, nullable=False),
        sa.Column("at", Instant, nullable=False),
    ),
    sa.PrimaryKeyConstraint("dossier_code", "order_number", "customer_id"),
    _account_key(),
    _order_key(ondelete=None),
    sa.CheckConstraint("from_employee_id IS DISTINCT FROM to_employee_id", name="responsible_changes"),
    sa.ForeignKeyConstraint(["dossier_code", "from_employee_id"], ["hub.employee.dossier_code", "hub.employee.employee_id"]),
    sa.ForeignKeyConstraint(["dossier_code", "to_employee_id"], ["hub.employee.dossier_code", "hub.employee.employee_id"]),
    sa.Index("responsible_transfer_dossier_code_customer_id_idx", "dossier_code", "customer_id", "on_date"),
    schema="automation",
)
"""The history of who was responsible for an account, as far as the monitor changed it."""
