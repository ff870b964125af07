"""One item is made while the one before it is worked on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from erpcrm_orchestration.services.ahead import one_ahead

PATIENCE_S = 30


def test_items_come_in_their_order_and_none_is_an_item() -> None:
    assert list(one_ahead(iter([1, None, 2]))) == [1, None, 2]
    assert list(one_ahead(iter([]))) == []


def test_the_next_item_is_made_while_the_caller_works_on_the_present_one() -> None:
    is_made = threading.Event()

    def items() -> Iterator[str]:
        yield "first"
        is_made.set()
        yield "second"

    found = one_ahead(items())
    assert next(found) == "first"
    assert is_made.wait(PATIENCE_S), "nobody asked for it yet"
    assert list(found) == ["second"]


def test_one_thread_makes_all_items_and_it_is_not_the_callers() -> None:
    makers = list(one_ahead(threading.get_ident() for _ in range(5)))
    assert len(set(makers)) == 1
    assert makers[0] != threading.get_ident()


def test_an_error_comes_in_the_place_of_its_item() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("the second is no good")

    found = one_ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="the second is no good"):
        next(found)


def test_a_caller_that_stops_early_leaves_no_thread_behind() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    before = threading.active_count()
    for one in one_ahead(items()):
        if one == 2:
            break
    assert threading.active_count() == before
    found = one_ahead(items())
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert len(made) < 10
