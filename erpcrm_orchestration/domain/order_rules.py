"""What must agree within an order: its total is the sum of its parts, a line's price its total by its quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal

Values = Mapping[str, object]

TOLERANCE_PER_LINE = Decimal("0.01")
"""Shops round each line."""
PARTS = ("lines", "shipping_lines", "fee_lines")
PRICE_STEP = Decimal("0.0001")
"""The digits of a price: those of the column unit_price."""


def total_fault(header: Values, children: Mapping[str, Sequence[Values]]) -> str | None:
    """Return what differs when the total is not lines + tax + shipping + fees, None when it is or cannot be said.

    Prices without taxes have a `tax_total` in the header; without one, the parts are taken to include their taxes.
    """
    total, lines = _number(header.get("total")), children.get("lines", ())
    if total is None or not lines:
        return None
    found = {name: [row.get("total") for row in children.get(name, ())] for name in PARTS}
    parts = [value for values in found.values() for value in values if isinstance(value, Decimal)]
    if not all(isinstance(value, Decimal) for value in found["lines"]):
        return None
    expected = sum(parts, Decimal(0)) + (_number(header.get("tax_total")) or Decimal(0))
    if "shipping_lines" not in children:
        expected += _number(header.get("shipping_total")) or Decimal(0)
    if abs(total - expected) <= TOLERANCE_PER_LINE * len(parts):
        return None
    return f"total {total} is not the sum {expected} of lines, tax, shipping and fees"


def unit_price(line: Values) -> Decimal | None:
    """Return the price of one unit: as given, else the total by the quantity to four digits; None when it cannot be said.

    Shops tell the total of a line, and an ERP wants its price.
    """
    given, total, quantity = (_number(line.get(name)) for name in ("unit_price", "total", "quantity"))
    if given is not None or total is None or not quantity:
        return given
    return (total / quantity).quantize(PRICE_STEP, ROUND_HALF_EVEN)


def _number(value: object) -> Decimal | None:
    return value if isinstance(value, Decimal) else None
