"""The only source of `now`: every rule gets its instant from here, so that it can be tested and backfilled."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Anything that tells an aware instant."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class FixedClock:
    """A clock that stands still until it is set: for tests and for evaluating a past instant."""

    def __init__(self, at: datetime) -> None:
        self.at = require_aware(at)

    def now(self) -> datetime:
        return self.at


def require_aware(at: datetime) -> datetime:
    """Return the instant unchanged; raise ValueError for a naive one, which would be compared wrongly."""
    if at.tzinfo is None or at.utcoffset() is None:
        raise ValueError(f"naive datetime {at.isoformat()}: give it a zone")
    return at
