"""An index of the messages that are refused for their place in a tree, and words of two views.

Every batch of a tree looks for the messages that it frees. What analysts read of the states of messages and of changes names
every reason for SUPERSEDED.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from erpcrm_orchestration.store.engine import run_script

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the index, and replace comments of the views of `0007`."""
    op.create_index(
        "inbox_wrong_tree_idx",
        "inbox",
        ["dossier_code", "system_code", "entity"],
        schema="flow",
        postgresql_where=sa.text("state = 'REJECTED' AND error LIKE 'E-INT-003 %'"),
    )
    run_script(op.get_bind(), "migration_0008_words")
