"""The board: people, their rights, their sessions, and what happened at its door; alerts that somebody took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from erpcrm_orchestration.store.engine import run_script

revision = "0004"
down_revision = "0003"

Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute(sa.schema.CreateSchema("board", if_not_exists=True))
    _create_people()
    _create_events()
    _take_alerts()
    op.add_column("correction", sa.Column("dataset_number", sa.BigInteger(), nullable=True), schema="audit")
    run_script(op.get_bind(), "migration_0004_guards")


def _create_people() -> None:
    access = postgresql.ENUM("view", "refresh", "operate", "admin", name="access", schema="board", create_type=False)
    access.create(op.get_bind())
    op.create_table(
        "person",
        sa.Column("person_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("theme", sa.Text(), nullable=True),
        sa.Column("default_dossier_code", sa.Text(), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("oidc_subject", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.CheckConstraint("login ~ '^[a-z0-9][a-z0-9._@+-]{0,127}$'", name=op.f("person_login_rule_check")),
        sa.CheckConstraint("language IN ('en', 'es', 'fr', 'pt', 'ru')", name=op.f("person_language_known_check")),
        sa.CheckConstraint("theme IN ('light', 'dark')", name=op.f("person_theme_known_check")),
        sa.ForeignKeyConstraint(
            ["default_dossier_code"], ["hub.dossier.dossier_code"], name=op.f("person_default_dossier_code_fkey")
        ),
        sa.PrimaryKeyConstraint("person_id", name=op.f("person_pkey")),
        sa.UniqueConstraint("oidc_subject", name=op.f("person_oidc_subject_key")),
        schema="board",
    )
    op.create_index("person_login_key", "person", ["login"], unique=True, schema="board")
    op.create_table(
        "person_grant",
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("dossier_code", sa.Text(), nullable=False),
        sa.Column("access", access, nullable=False),
        sa.Column("granted_at", Instant, nullable=False),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "dossier_code = '*' OR dossier_code ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,15}$'",
            name=op.f("person_grant_dossier_code_rule_check"),
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["board.person.person_id"], name=op.f("person_grant_person_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("person_id", "dossier_code", name=op.f("person_grant_pkey")),
        schema="board",
    )
    op.create_table(
        "session",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("last_seen_at", Instant, nullable=False),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("session_token_hash_is_sha256_check")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["board.person.person_id"], name=op.f("session_person_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("session_pkey")),
        schema="board",
    )
    op.create_index("session_person_id_idx", "session", ["person_id"], schema="board")
    op.create_table(
        "invitation",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.Column("used_at", Instant, nullable=True),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("invitation_token_hash_is_sha256_check")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["board.person.person_id"], name=op.f("invitation_person_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("invitation_pkey")),
        schema="board",
    )


def _create_events() -> None:
    op.create_table(
        "event",
        sa.Column("event_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("dossier_code", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.CheckConstraint("outcome IN ('ok', 'denied', 'failed')", name=op.f("event_outcome_known_check")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("event_pkey")),
        schema="audit",
    )
    op.create_index("event_at_idx", "event", ["at"], schema="audit")


def _take_alerts() -> None:
    for column in (
        sa.Column("acknowledged_at", Instant, nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("snoozed_until", Instant, nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
    ):
        op.add_column("alert", column, schema="supervision")
    op.create_check_constraint(
        op.f("alert_acknowledged_has_actor_check"),
        "alert",
        "(acknowledged_at IS NULL) = (acknowledged_by IS NULL)",
        schema="supervision",
    )
