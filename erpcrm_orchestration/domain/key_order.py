"""The order of the keys of an append-only list: numbers as numbers, before other keys."""

from __future__ import annotations


def key_order(key: str) -> tuple[bool, int, str]:
    """Return what keys are compared by."""
    return (False, int(key), "") if key.isascii() and key.isdigit() else (True, 0, key)
