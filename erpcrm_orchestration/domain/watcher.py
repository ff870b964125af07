"""ON or OFF: a watcher is ON while its last heartbeat is not older than twice its poll interval."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

TOLERANCE = 2
"""So many poll intervals may pass without a heartbeat."""


class WatcherState(StrEnum):
    ON = "ON"
    OFF = "OFF"


@dataclass(frozen=True)
class Heartbeat:
    """`poll_interval_s`: seconds; `heartbeat_at` is None before the first look."""

    watcher_code: str
    enabled: bool
    poll_interval_s: int
    heartbeat_at: datetime | None
    last_work: str | None = None

    def state(self, now: datetime) -> WatcherState:
        """Return ON when the heartbeat is at most two poll intervals old."""
        if self.heartbeat_at is None or now - self.heartbeat_at > timedelta(seconds=TOLERANCE * self.poll_interval_s):
            return WatcherState.OFF
        return WatcherState.ON
