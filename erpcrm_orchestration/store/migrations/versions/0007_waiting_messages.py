"""An index of the messages that wait: every batch asks for those that wait for its records."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create it; the index of all open messages grows with an inbox that is being worked off, this one does not."""
    op.create_index(
        "inbox_waiting_idx",
        "inbox",
        ["dossier_code", "waiting_for"],
        schema="flow",
        postgresql_where=sa.text("state = 'WAITING'"),
    )
