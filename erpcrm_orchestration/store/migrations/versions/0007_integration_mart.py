"""An index of the messages that wait, and what analysts read of the integration and of the execution orders.

Every batch asks for the messages that wait for its records.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from erpcrm_orchestration.store.engine import run_script

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the index and the views.

    The index of all open messages grows with an inbox that is being worked off, this one does not. The views of schema mart
    are of tables that `0002` and `0006` created after the first ones; the script grants them to analysts by name.
    """
    op.create_index(
        "inbox_waiting_idx",
        "inbox",
        ["dossier_code", "waiting_for"],
        schema="flow",
        postgresql_where=sa.text("state = 'WAITING'"),
    )
    run_script(op.get_bind(), "migration_0007_mart")
