"""Dotted paths into what a system sent: `billing.email`, `tags.0`; the empty path is the value itself."""

from __future__ import annotations

from typing import Final


class Absent:
    """Nothing stands there; unlike None, which is a null that the system sent."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


def at(value: object, path: str) -> object:
    """Return what stands at the path, ABSENT when there is nothing.

    A key that itself holds dots is found when it stands whole at its level: a mapping {"a.b": 1} has "a.b".
    """
    if path == "":
        return value
    if isinstance(value, dict) and path in value:
        return value[path]
    step, _, rest = path.partition(".")
    if isinstance(value, dict) and step in value:
        return at(value[step], rest)
    if isinstance(value, list | tuple) and step.isascii() and step.isdigit() and int(step) < len(value):
        return at(value[int(step)], rest)
    return ABSENT


def here(value: object, path: str) -> object:
    """Return what stands at the path, None when there is nothing or a null."""
    found = at(value, path)
    return None if found is ABSENT else found


def part_of(text: str, number: int) -> str | None:
    """Return the n-th part of a path or address between its slashes, from the end with -1; None when it has no such part."""
    parts = [part for part in text.partition("?")[0].split("/") if part]
    return parts[number] if -len(parts) <= number < len(parts) else None
