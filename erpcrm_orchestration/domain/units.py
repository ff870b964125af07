"""Units of quantity, converted exactly: ratios are whole numbers over whole numbers, dated, and may be a product's own.

A result that has more digits than a quantity may have is refused instead of rounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from erpcrm_orchestration.domain.errors import InputError

MOST_DIGITS = 6
"""Digits after the point that a quantity may have."""


@dataclass(frozen=True)
class UnitRatio:
    """From a day on, one `unit` is numerator / denominator of `base_unit`. An empty `sku` holds for every product."""

    unit: str
    base_unit: str
    valid_from: date
    numerator: int
    denominator: int
    sku: str = ""

    @property
    def value(self) -> Fraction:
        return Fraction(self.numerator, self.denominator)


class Ratios:
    """The ratios of a dossier. A product's own ratio comes before the one for every product, the newest before older ones."""

    def __init__(self, ratios: Iterable[UnitRatio]) -> None:
        self._known: dict[tuple[str, str, str], list[UnitRatio]] = {}
        for one in sorted(ratios, key=lambda each: each.valid_from, reverse=True):
            self._known.setdefault((one.sku, one.unit, one.base_unit), []).append(one)

    def factor(self, unit: str, wanted: str, *, sku: str, day: date) -> Fraction:
        """Return how many `wanted` one `unit` is on a day; raise InputError E-UNT-001 for a pair that nobody gave."""
        if unit == wanted:
            return Fraction(1)
        for owner in dict.fromkeys((sku, "")):
            forth = self._valid((owner, unit, wanted), day)
            if forth is not None:
                return forth
            back = self._valid((owner, wanted, unit), day)
            if back is not None:
                return 1 / back
        raise InputError(
            "E-UNT-001", f"product {sku or 'any'}", f"no ratio from {unit} to {wanted} on {day}",
            f"give it: erpcrm mapping ratio set {unit} {wanted}",
        )  # fmt: skip

    def convert(self, quantity: Decimal, unit: str, wanted: str, *, sku: str, day: date) -> Decimal:
        """Return the quantity in another unit, exactly; raise InputError E-UNT-002 when it has no such number."""
        exact = Fraction(quantity) * self.factor(unit, wanted, sku=sku, day=day)
        scaled = exact * 10**MOST_DIGITS
        if scaled.denominator != 1:
            found = f"{quantity} {unit} is not a number of {wanted} with at most {MOST_DIGITS} digits"
            raise InputError("E-UNT-002", f"product {sku or 'any'}", found, "correct the ratio or the quantity")
        return Decimal(exact.numerator) if exact.denominator == 1 else Decimal(scaled.numerator).scaleb(-MOST_DIGITS)

    def _valid(self, pair: tuple[str, str, str], day: date) -> Fraction | None:
        return next((one.value for one in self._known.get(pair, ()) if one.valid_from <= day), None)
