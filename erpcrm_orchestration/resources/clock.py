"""The clock as a Dagster resource: the machine's, or one that stands at a given instant."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field


class ClockResource(dg.ConfigurableResource[None]):
    """`at` (ISO 8601 with offset) evaluates a past instant; empty is now."""

    at: str = Field(default="", description="ISO 8601 instant with offset, or empty for the machine's clock")

    def now(self) -> datetime:
        """Return an aware instant in UTC."""
        if not self.at:
            return datetime.now(UTC)
        return datetime.fromisoformat(self.at).astimezone(UTC)
