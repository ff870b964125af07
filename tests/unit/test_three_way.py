"""Whose value of a shared field stands, and what is remembered of it: every case of the three-way merge."""

from __future__ import annotations

import pytest

from erpcrm_orchestration.domain.three_way import Base, Ownership, Stands, Told, base_after, decide, is_over

SAME = Base("a", "a")
LESS = Base("a", "A whole")
"""A system that keeps less than we do: it tells `a` where we hold `A whole`."""


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "stands", "after"),
    [
        (SAME, "a", "a", Stands.THEIRS, SAME),
        (SAME, "a", "b", Stands.THEIRS, Base("b", "b")),
        (SAME, "b", "a", Stands.OURS, SAME),
        (SAME, "b", "b", Stands.THEIRS, Base("b", "b")),
        (SAME, "b", "c", Stands.CONFLICT, Base("c", "a")),
        (Base("c", "a"), "b", "c", Stands.OURS, Base("c", "a")),
        (Base("c", "a"), "b", "d", Stands.CONFLICT, Base("d", "a")),
        (Base("c", "a"), "b", "a", Stands.OURS, SAME),
        (None, "a", "b", Stands.OURS, Base("b", "a")),
        (None, None, "b", Stands.THEIRS, Base("b", "b")),
        (LESS, "A whole", "a", Stands.OURS, LESS),
        (LESS, "A whole", "b", Stands.THEIRS, Base("b", "b")),
        (LESS, "B whole", "b", Stands.CONFLICT, Base("b", "A whole")),
    ],
)
def test_who_changed_alone_wins_and_two_changes_are_a_conflict(
    base: Base | None, ours: str | None, theirs: str, stands: Stands, after: Base
) -> None:
    told = Told(base, ours, theirs)
    assert decide(told, Ownership.SHARED) is stands
    held = theirs if stands is Stands.THEIRS else ours
    assert base_after(told, stands, held) == after


def test_a_field_with_an_owner_follows_the_owner() -> None:
    told = Told(SAME, "b", "c")
    assert decide(told, Ownership.THEIRS) is Stands.THEIRS
    assert decide(told, Ownership.OTHERS) is Stands.REFUSED


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "over"),
    [
        (Base("c", "a"), "b", "c", False),
        (Base("c", "a"), "b", "d", False),
        (Base("c", "a"), "b", "b", True),
        (Base("c", "a"), "b", "a", True),
    ],
)
def test_a_conflict_ends_by_itself_when_both_are_the_same_or_one_takes_its_change_back(
    base: Base, ours: str, theirs: str, over: bool
) -> None:
    told = Told(base, ours, theirs)
    assert is_over(told, decide(told, Ownership.SHARED)) is over
