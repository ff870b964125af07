"""Customer care: employees, contacts, opportunities, occurrences and activities as entities, and more of what a customer is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

Instant = sa.DateTime(timezone=True)
ENTITY_IS_KNOWN = (
    "entity IN ('category', 'employee', 'customer', 'contact', 'product', 'order', 'subscription', 'intervention', 'time_entry', "
    "'opportunity', 'occurrence', 'activity', 'document')"
)


def upgrade() -> None:
    """Create the tables of customer care, widen the customers, and index what routines ask of each customer."""
    _create_employees()
    _widen_customers()
    _create_tables()
    name = op.f("entity_meta_entity_known_check")
    op.drop_constraint(name, "entity_meta", schema="hub", type_="check")
    op.create_check_constraint(name, "entity_meta", ENTITY_IS_KNOWN, schema="hub")
    _create_indexes()


def _create_employees() -> None:
    op.create_table(
        "employee",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("employee_id", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=True),
        sa.Column("created_at", Instant, nullable=True),
        sa.Column("deleted_at", Instant, nullable=True),
        sa.Column("updated_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("employee_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "employee_id", name=op.f("employee_pkey")),
        schema="hub",
    )


def _widen_customers() -> None:
    for column in (
        sa.Column("second_email", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("class_code", sa.Text(), nullable=True),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("registered_on", sa.Date(), nullable=True),
        sa.Column("responsible_id", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", Instant, nullable=True),
    ):
        op.add_column("customer", column, schema="hub")
    op.create_foreign_key(
        op.f("customer_dossier_code_responsible_id_fkey"),
        "customer",
        "employee",
        ["dossier_code", "responsible_id"],
        ["dossier_code", "employee_id"],
        source_schema="hub",
        referent_schema="hub",
    )


def _create_indexes() -> None:
    for name, table, columns in (
        ("contact_customer_idx", "contact", ["customer_id", "dossier_code"]),
        ("order_header_customer_idx", "order_header", ["customer_id", "dossier_code", "ordered_at"]),
        ("opportunity_customer_idx", "opportunity", ["customer_id", "dossier_code", "changed_at"]),
        ("occurrence_customer_idx", "occurrence", ["customer_id", "dossier_code", "changed_at"]),
        ("activity_customer_idx", "activity", ["customer_id", "dossier_code", "changed_at"]),
        ("activity_contact_idx", "activity", ["contact_id", "dossier_code"]),
        ("activity_opportunity_idx", "activity", ["opportunity_id", "dossier_code"]),
        ("activity_occurrence_idx", "activity", ["occurrence_id", "dossier_code"]),
    ):
        op.create_index(name, table, columns, unique=False, schema="hub")
    op.create_index(
        "document_customer_idx",
        "document",
        ["dossier_code", "customer_id", "document_date"],
        unique=False,
        schema="hub",
        postgresql_include=["document_id", "type", "state", "number", "total", "currency"],
        postgresql_where=sa.text("customer_id IS NOT NULL AND deleted_at IS NULL"),
    )


def _create_tables() -> None:
    op.create_table(
        "contact",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", Instant, nullable=True),
        sa.Column("changed_at", Instant, nullable=True),
        sa.Column("deleted_at", Instant, nullable=True),
        sa.Column("updated_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(
            ["dossier_code", "customer_id"],
            ["hub.customer.dossier_code", "hub.customer.customer_id"],
            name=op.f("contact_dossier_code_customer_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("contact_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "contact_id", name=op.f("contact_pkey")),
        schema="hub",
    )
    op.create_table(
        "opportunity",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("opportunity_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("amount", sa.Numeric(), nullable=True),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("contact_id", sa.BigInteger(), nullable=True),
        sa.Column("responsible_id", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", Instant, nullable=True),
        sa.Column("closed_at", Instant, nullable=True),
        sa.Column("changed_at", Instant, nullable=True),
        sa.Column("deleted_at", Instant, nullable=True),
        sa.Column("updated_at", Instant, nullable=False),
        sa.CheckConstraint("abs(amount) < 1e18", name=op.f("opportunity_finite_check")),
        sa.ForeignKeyConstraint(
            ["dossier_code", "contact_id"],
            ["hub.contact.dossier_code", "hub.contact.contact_id"],
            name=op.f("opportunity_dossier_code_contact_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "customer_id"],
            ["hub.customer.dossier_code", "hub.customer.customer_id"],
            name=op.f("opportunity_dossier_code_customer_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "responsible_id"],
            ["hub.employee.dossier_code", "hub.employee.employee_id"],
            name=op.f("opportunity_dossier_code_responsible_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("opportunity_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "opportunity_id", name=op.f("opportunity_pkey")),
        schema="hub",
    )
    op.create_table(
        "occurrence",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("occurrence_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("priority", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("contact_id", sa.BigInteger(), nullable=True),
        sa.Column("responsible_id", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", Instant, nullable=True),
        sa.Column("closed_at", Instant, nullable=True),
        sa.Column("changed_at", Instant, nullable=True),
        sa.Column("deleted_at", Instant, nullable=True),
        sa.Column("updated_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(
            ["dossier_code", "contact_id"],
            ["hub.contact.dossier_code", "hub.contact.contact_id"],
            name=op.f("occurrence_dossier_code_contact_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "customer_id"],
            ["hub.customer.dossier_code", "hub.customer.customer_id"],
            name=op.f("occurrence_dossier_code_customer_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "responsible_id"],
            ["hub.employee.dossier_code", "hub.employee.employee_id"],
            name=op.f("occurrence_dossier_code_responsible_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("occurrence_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "occurrence_id", name=op.f("occurrence_pkey")),
        schema="hub",
    )
    op.create_table(
        "activity",
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("contact_id", sa.BigInteger(), nullable=True),
        sa.Column("responsible_id", sa.BigInteger(), nullable=True),
        sa.Column("opportunity_id", sa.BigInteger(), nullable=True),
        sa.Column("occurrence_id", sa.BigInteger(), nullable=True),
        sa.Column("occurred_at", Instant, nullable=True),
        sa.Column("due_at", Instant, nullable=True),
        sa.Column("done_at", Instant, nullable=True),
        sa.Column("changed_at", Instant, nullable=True),
        sa.Column("deleted_at", Instant, nullable=True),
        sa.Column("updated_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(
            ["dossier_code", "contact_id"],
            ["hub.contact.dossier_code", "hub.contact.contact_id"],
            name=op.f("activity_dossier_code_contact_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "customer_id"],
            ["hub.customer.dossier_code", "hub.customer.customer_id"],
            name=op.f("activity_dossier_code_customer_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "occurrence_id"],
            ["hub.occurrence.dossier_code", "hub.occurrence.occurrence_id"],
            name=op.f("activity_dossier_code_occurrence_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "opportunity_id"],
            ["hub.opportunity.dossier_code", "hub.opportunity.opportunity_id"],
            name=op.f("activity_dossier_code_opportunity_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["dossier_code", "responsible_id"],
            ["hub.employee.dossier_code", "hub.employee.employee_id"],
            name=op.f("activity_dossier_code_responsible_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["dossier_code"], ["hub.dossier.dossier_code"], name=op.f("activity_dossier_code_fkey")),
        sa.PrimaryKeyConstraint("dossier_code", "activity_id", name=op.f("activity_pkey")),
        schema="hub",
    )
