"""Trees of records that arrive in any order: which parents close a circle, and which are too deep."""

from __future__ import annotations

from collections.abc import Collection, Mapping

DEEPEST = 32
"""The most levels of a tree, the root counted."""


def tree_faults(arriving: Collection[str], parents: Mapping[str, str]) -> dict[str, str]:
    """Return id -> what is wrong, for arriving records in a circle or below the deepest level.

    `parents` holds child -> parent of all that is known, the arriving ones included.
    """
    faults: dict[str, str] = {}
    for one in arriving:
        chain = [one]
        seen = {one}
        while (above := parents.get(chain[-1])) is not None and len(chain) <= DEEPEST:
            if above in seen:
                circle = chain[chain.index(above) :]
                if one in circle:
                    faults[one] = f"cycle {' > '.join([*circle, above])}"
                break
            chain.append(above)
            seen.add(above)
        else:
            if len(chain) > DEEPEST:
                faults[one] = f"deeper than {DEEPEST} levels"
    return faults


def circle_of(fault: str) -> frozenset[str]:
    """Return the ids of the circle that a fault names; none for another fault."""
    return frozenset(fault.removeprefix("cycle ").split(" > ")) if fault.startswith("cycle ") else frozenset()
