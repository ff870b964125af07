"""The integration of received records: how much at once, how long a record waits, when a stream stops."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

WORK = "integration"
"""The name of the lease: one writer per dossier."""
BATCH = 2000
"""Records of one transaction."""
PART = 1000
"""Records that are merged at once; the next ones are read and mapped meanwhile."""
LONGEST_WAIT = timedelta(hours=24)
"""A record that waits longer for what is missing is given up; it can be relaunched."""
MOST_REJECTS_PERCENT = 5
FEWEST_TO_JUDGE = 20
"""A batch with fewer records says nothing about its stream."""


@dataclass(frozen=True)
class Tally:
    """What became of the messages of one stream. `changed` counts records whose rows changed."""

    transformed: int = 0
    changed: int = 0
    rejected: int = 0
    waiting: int = 0
    ignored: int = 0
    deleted: int = 0
    warned: int = 0
    stopped: str | None = None

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.transformed + other.transformed,
            self.changed + other.changed,
            self.rejected + other.rejected,
            self.waiting + other.waiting,
            self.ignored + other.ignored,
            self.deleted + other.deleted,
            self.warned + other.warned,
            self.stopped or other.stopped,
        )

    @property
    def messages(self) -> int:
        return self.transformed + self.rejected + self.waiting + self.ignored + self.deleted


def too_many_rejects(rejected: int, messages: int) -> bool:
    """True when the records of a batch are so often refused that the source must have changed its shape."""
    return messages >= FEWEST_TO_JUDGE and rejected * 100 > messages * MOST_REJECTS_PERCENT
