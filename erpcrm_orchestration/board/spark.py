"""Sparklines: the course of a counter as the points of a line, drawn by the browser from the page itself."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT = 64, 16


def points(values: Sequence[int]) -> str | None:
    """Return the points of an SVG line in a box of 64 x 16, None when there is no course to be seen.

    The lowest value stands at the bottom; a course without change is a line in the middle.
    """
    if len(values) < 2:
        return None
    low, high = min(values), max(values)
    step = WIDTH / (len(values) - 1)
    return " ".join(f"{place * step:.1f},{_height(value, low, high):.1f}" for place, value in enumerate(values))


def _height(value: int, low: int, high: int) -> float:
    if high == low:
        return HEIGHT / 2
    return 1 + (HEIGHT - 2) * (high - value) / (high - low)
