"""The next item is made while the present one is worked on: a page is read while the database takes the one before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items in their order; one thread makes them all, each while the caller works on the one before it.

    What making an item raises is raised in its place. A caller that stops early waits for the item that is being made.
    """
    with ThreadPoolExecutor(1, "ahead") as thread:
        following = thread.submit(next, items, _END)
        while (item := following.result()) is not _END:
            following = thread.submit(next, items, _END)
            yield item  # type: ignore[misc]
