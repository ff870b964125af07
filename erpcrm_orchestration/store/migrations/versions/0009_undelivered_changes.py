"""An index of the changes that were given up or that a system forbids, for which every round asks, and words of a view.

What is on its way while the schema is raised is in doubt.
"""

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
    # A process that dies while it sends left only its lease before.
    op.execute("UPDATE flow.work_item SET in_doubt = true WHERE event = 'outbound' AND state = 'LEASED'")
    run_script(op.get_bind(), "migration_0009_words")
