"""The tables of the board: people, rights, sessions, links that open the door once, and what happened at it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ENUM, JSONB

from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.store.schema import DOSSIER_CODE_RULE, Instant, metadata

access_type = ENUM(*(one.value for one in Access), name="access", schema="board", create_type=False)
"""Ordered as its words stand: `access >= 'operate'` holds for operate and admin."""

person = sa.Table(
    "person",
    metadata,
    sa.Column("person_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("login", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("email", sa.Text),
    sa.Column("language", sa.Text),
    sa.Column("theme", sa.Text),
    sa.Column("default_dossier_code", sa.Text, sa.ForeignKey("hub.dossier.dossier_code")),
    sa.Column("password_hash", sa.Text),
    sa.Column("oidc_subject", sa.Text),
    sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.UniqueConstraint("oidc_subject"),
    sa.CheckConstraint("login ~ '^[a-z0-9][a-z0-9._@+-]{0,127}$'", name="login_rule"),
    sa.CheckConstraint("language IN ('en', 'es', 'fr', 'pt', 'ru')", name="language_known"),
    sa.CheckConstraint("theme IN ('light', 'dark')", name="theme_known"),
    sa.Index("person_login_key", "login", unique=True),
    schema="board",
)
"""`oidc_subject` is issuer and subject of the identity provider; a person has it, a password, both or (invited) none yet."""

person_grant = sa.Table(
    "person_grant",
    metadata,
    sa.Column("person_id", sa.BigInteger, sa.ForeignKey("board.person.person_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("dossier_code", sa.Text, primary_key=True),
    sa.Column("access", access_type, nullable=False),
    sa.Column("granted_at", Instant, nullable=False),
    sa.Column("granted_by", sa.Text, nullable=False),
    sa.CheckConstraint(f"dossier_code = '*' OR dossier_code ~ '{DOSSIER_CODE_RULE}'", name="dossier_code_rule"),
    schema="board",
)
"""`dossier_code` `*` is every dossier, also those to come, and the installation; a code may be granted before it exists."""

session = sa.Table(
    "session",
    metadata,
    sa.Column("token_hash", sa.LargeBinary, primary_key=True),
    sa.Column("person_id", sa.BigInteger, sa.ForeignKey("board.person.person_id", ondelete="CASCADE"), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.CheckConstraint("octet_length(token_hash) = 32", name="token_hash_is_sha256"),
    sa.Index("session_person_id_idx", "person_id"),
    schema="board",
)
"""Somebody signed in. The token itself stands in the person's cookie alone."""

invitation = sa.Table(
    "invitation",
    metadata,
    sa.Column("token_hash", sa.LargeBinary, primary_key=True),
    sa.Column("person_id", sa.BigInteger, sa.ForeignKey("board.person.person_id", ondelete="CASCADE")),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
    sa.CheckConstraint("octet_length(token_hash) = 32", name="token_hash_is_sha256"),
    schema="board",
)
"""A link that sets a password once. Without a person it is the first one's: it makes the first administrator."""

event = sa.Table(
    "event",
    metadata,
    sa.Column("event_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("dossier_code", sa.Text),
    sa.Column("address", sa.Text),
    sa.Column("details", JSONB, nullable=False, server_default="{}"),
    sa.CheckConstraint("outcome IN ('ok', 'denied', 'failed')", name="outcome_known"),
    sa.Index("event_at_idx", "at"),
    schema="audit",
)
"""What people did and were refused: sign-in, sign-out, denial, refresh, export. Append-only by trigger.

`address` is where the request came from. What changes a record or a setting stands in audit.correction and audit.change.
"""
