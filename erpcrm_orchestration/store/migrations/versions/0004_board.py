"""The board: people, their rights, their sessions, what they asked for."""

from __future__ import annotations

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables of the board."""
