"""An index of the changes that were given up or that a system forbids, for which every round asks, and words of a view."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from erpcrm_orchestration.store.engine import run_script

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the index, and replace comments of a view of `0007`."""
    op.create_index(
        "work_item_problem_idx",
        "work_item",
        ["dossier_code", "entity"],
        schema="flow",
        postgresql_where=sa.text("state IN ('DEAD', 'CONFLICT')"),
    )
    run_script(op.get_bind(), "migration_0009_words")
