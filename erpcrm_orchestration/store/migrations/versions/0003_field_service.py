"""Interventions, time entries and documents as entities of the integration, and what the supervision counts of their inbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ENTITY_IS_KNOWN = (
    "entity IN ('category', 'customer', 'product', 'order', 'subscription', 'intervention', 'time_entry', 'document')"
)


def upgrade() -> None:
    """Create the tables of the field service's entities."""
    _create_tables()
    name = op.f("entity_meta_entity_known_check")
    op.drop_constraint(name, "entity_meta", schema="hub", type_="check")
    op.create_check_constraint(name, "entity_meta", ENTITY_IS_KNOWN, schema="hub")
    op.add_column("inbox", sa.Column("attempts", sa.Integer(), server_default="1", nullable=False), schema="flow")
    op.create_index(
        "inbox_not_ok_idx",
        "inbox",
        ["dossier_code", "message_id"],
        unique=False,
        schema="flow",
        postgresql_where=sa.text(
            "entity IN ('intervention', 'time_entry', 'document') AND state IN ('NEW', 'WAITING', 'REJECTED', 'DEAD')"
        ),
    )
    op.add_column("cross_reference", sa.Column("first_received_at", sa.DateTime(timezone=True), nullable=True), schema="hub")
    op.create_check_constraint(op.f("inbox_attempts_range_check"), "inbox", "attempts >= 1", schema="flow")


def _create_tables() -> None:
    op.create_table(
        "intervention",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("intervention_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("priority", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("technician", sa.Text(), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("order_id", sa.BigInteger(), nullable=True),
        sa.Column("site_address_hash", sa.Text(), nullable=True),
        sa.Column("planned_start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("planned_end_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dossier_code", "customer_id"],
            ["hub.customer.dossier_code", "hub.customer.customer_id"],
            name=op.f("intervention_dossier_code_customer_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "order_id"],
            ["hub.order_header.dossier_code", "hub.order_header.order_id"],
            name=op.f("intervention_dossier_code_order_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "site_address_hash"],
            ["hub.address.dossier_code", "hub.address.address_hash"],
            name=op.f("intervention_dossier_code_site_address_hash_fkey"),
        ),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("intervention_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "intervention_id", name=op.f("intervention_pkey")),
        schema="hub",
    )
    op.create_table(
        "document",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("document_id", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("order_id", sa.BigInteger(), nullable=True),
        sa.Column("intervention_id", sa.BigInteger(), nullable=True),
        sa.Column("billing_address_hash", sa.Text(), nullable=True),
        sa.Column("shipping_address_hash", sa.Text(), nullable=True),
        sa.Column("from_warehouse", sa.Text(), nullable=True),
        sa.Column("to_warehouse", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("total", sa.Numeric(), nullable=True),
        sa.Column("tax_total", sa.Numeric(), nullable=True),
        sa.Column("document_date", sa.Date(), nullable=True),
        sa.Column("due_date", sa.Date(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("abs(total) < 1e18 AND abs(tax_total) < 1e18", name=op.f("document_finite_check")),
        sa.ForeignKeyConstraint(
            ["dossier_code", "billing_address_hash"],
            ["hub.address.dossier_code", "hub.address.address_hash"],
            name=op.f("document_dossier_code_billing_address_hash_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "customer_id"],
            ["hub.customer.dossier_code", "hub.customer.customer_id"],
            name=op.f("document_dossier_code_customer_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "intervention_id"],
            ["hub.intervention.dossier_code", "hub.intervention.intervention_id"],
            name=op.f("document_dossier_code_intervention_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "order_id"],
            ["hub.order_header.dossier_code", "hub.order_header.order_id"],
            name=op.f("document_dossier_code_order_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "shipping_address_hash"],
            ["hub.address.dossier_code", "hub.address.address_hash"],
            name=op.f("document_dossier_code_shipping_address_hash_fkey"),
        ),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("document_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "document_id", name=op.f("document_pkey")),
        schema="hub",
    )
    op.create_table(
        "intervention_line",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("intervention_id", sa.BigInteger(), nullable=False),
        sa.Column("line_key", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=True),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("quantity", sa.Numeric(), nullable=False),
        sa.Column("unit_price", sa.Numeric(), nullable=True),
        sa.Column("subtotal", sa.Numeric(), nullable=True),
        sa.Column("total", sa.Numeric(), nullable=True),
        sa.Column("tax_total", sa.Numeric(), nullable=True),
        sa.CheckConstraint(
            "abs(quantity) < 1e18 AND abs(unit_price) < 1e18 AND abs(subtotal) < 1e18 AND abs(total) < 1e18 AND abs(tax_total) < 1e18",
            name=op.f("intervention_line_finite_check"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "intervention_id"],
            ["hub.intervention.dossier_code", "hub.intervention.intervention_id"],
            name=op.f("intervention_line_dossier_code_intervention_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "product_id"],
            ["hub.product.dossier_code", "hub.product.product_id"],
            name=op.f("intervention_line_dossier_code_product_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("dossier_code", "intervention_id", "line_key", name=op.f("intervention_line_pkey")),
        schema="hub",
    )
    op.create_table(
        "time_entry",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("time_entry_id", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("activity", sa.Text(), nullable=True),
        sa.Column("project", sa.Text(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("intervention_id", sa.BigInteger(), nullable=True),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("order_id", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worked_hours", sa.Numeric(), nullable=True),
        sa.Column("billable", sa.Boolean(), nullable=True),
        sa.Column("validated", sa.Boolean(), nullable=True),
        sa.Column("exported", sa.Boolean(), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("abs(worked_hours) < 1e18", name=op.f("time_entry_finite_check")),
        sa.ForeignKeyConstraint(
            ["dossier_code", "customer_id"],
            ["hub.customer.dossier_code", "hub.customer.customer_id"],
            name=op.f("time_entry_dossier_code_customer_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "intervention_id"],
            ["hub.intervention.dossier_code", "hub.intervention.intervention_id"],
            name=op.f("time_entry_dossier_code_intervention_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "order_id"],
            ["hub.order_header.dossier_code", "hub.order_header.order_id"],
            name=op.f("time_entry_dossier_code_order_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("time_entry_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "time_entry_id", name=op.f("time_entry_pkey")),
        schema="hub",
    )
    op.create_table(
        "document_line",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("document_id", sa.BigInteger(), nullable=False),
        sa.Column("line_key", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=True),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("quantity", sa.Numeric(), nullable=False),
        sa.Column("unit_price", sa.Numeric(), nullable=True),
        sa.Column("subtotal", sa.Numeric(), nullable=True),
        sa.Column("total", sa.Numeric(), nullable=True),
        sa.Column("tax_total", sa.Numeric(), nullable=True),
        sa.CheckConstraint(
            "abs(quantity) < 1e18 AND abs(unit_price) < 1e18 AND abs(subtotal) < 1e18 AND abs(total) < 1e18 AND abs(tax_total) < 1e18",
            name=op.f("document_line_finite_check"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "document_id"],
            ["hub.document.dossier_code", "hub.document.document_id"],
            name=op.f("document_line_dossier_code_document_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "product_id"],
            ["hub.product.dossier_code", "hub.product.product_id"],
            name=op.f("document_line_dossier_code_product_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("dossier_code", "document_id", "line_key", name=op.f("document_line_pkey")),
        schema="hub",
    )
