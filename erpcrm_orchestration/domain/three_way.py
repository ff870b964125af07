"""Fields that several systems tell us of: whose value stands, when it is a conflict.

`base` is what a system told last, `ours` what we hold, `theirs` what it tells now. A field that has an owner follows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Stands(StrEnum):
    """Whose value stands after a merge. REFUSED: theirs is not theirs to change, they are to be told ours again."""

    THEIRS = "theirs"
    OURS = "ours"
    REFUSED = "refused"
    CONFLICT = "conflict"


class Ownership(StrEnum):
    """Whose field it is: nobody's, of the system that tells it now, or of another one."""

    SHARED = "shared"
    THEIRS = "theirs"
    OTHERS = "others"


class _Unknown:
    """Stands for a base that nobody told us: the record was linked a moment ago."""


UNKNOWN_BASE = _Unknown()


@dataclass(frozen=True)
class Told:
    """The three values of a field, as plain values that can be compared."""

    base: Any
    ours: Any
    theirs: Any


def decide(told: Told, ownership: Ownership) -> Stands:
    """Return whose value stands. Without a base, what one of both does not have is taken from the other, and ours stands."""
    if told.theirs == told.ours or ownership is Ownership.THEIRS:
        return Stands.THEIRS
    if ownership is Ownership.OTHERS:
        return Stands.REFUSED
    if isinstance(told.base, _Unknown):
        return Stands.THEIRS if told.ours is None else Stands.OURS
    if told.theirs == told.base:
        return Stands.OURS
    return Stands.THEIRS if told.ours == told.base else Stands.CONFLICT
