"""Whose birthday a day is."""

from __future__ import annotations

from calendar import isleap
from datetime import date


def birthdays_on(day: date) -> tuple[str, ...]:
    """Return the days of birth, as MMDD, that are celebrated on a day: on 28 February of a common year also the 29th."""
    own = f"{day:%m%d}"
    return (own, "0229") if own == "0228" and not isleap(day.year) else (own,)
