"""Fields that several systems tell us of: whose value stands, when it is a conflict.

`base` is what both held when they last agreed, `ours` what we hold, `theirs` what a system tells now. A field that has an
owner follows it.
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


@dataclass(frozen=True)
class Base:
    """What a system told last, and our value that it stands for: a system may keep less of a value than we do."""

    theirs: Any
    ours: Any


@dataclass(frozen=True)
class Told:
    """The values of a field, as plain values that can be compared; no base: the record was linked a moment ago."""

    base: Base | None
    ours: Any
    theirs: Any


def decide(told: Told, ownership: Ownership) -> Stands:
    """Return whose value stands. Without a base, what one of both does not have is taken from the other, and ours stands."""
    if told.theirs == told.ours or ownership is Ownership.THEIRS:
        return Stands.THEIRS
    if ownership is Ownership.OTHERS:
        return Stands.REFUSED
    if told.base is None:
        return Stands.THEIRS if told.ours is None else Stands.OURS
    if told.theirs in (told.base.theirs, told.base.ours):
        return Stands.OURS
    return Stands.THEIRS if told.ours in (told.base.theirs, told.base.ours) else Stands.CONFLICT


def is_over(told: Told, stands: Stands) -> bool:
    """True when an open conflict is none any more: they tell something else than when it came, and that is no conflict."""
    unchanged = stands is Stands.OURS and told.base is not None and told.theirs == told.base.theirs
    return stands is not Stands.CONFLICT and not unchanged


def base_after(told: Told, stands: Stands, held: object) -> Base:
    """Return the base of the next merge; `held` is our value after this one. What was not agreed on leaves ours of the base."""
    if told.base is None or stands is Stands.THEIRS:
        return Base(told.theirs, held)
    return Base(told.theirs, told.base.ours)
