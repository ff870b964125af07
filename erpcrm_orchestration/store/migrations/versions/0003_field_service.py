"""Interventions, time entries and documents as entities of the integration."""

from __future__ import annotations

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables of the field service's entities."""
