"""Units: whatever is converted there and back is what it was, and no pair is guessed."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.units import Ratios, UnitRatio

DAY = date(2026, 11, 18)
WHOLE = st.integers(1, 10_000)


@given(WHOLE, WHOLE)
def test_a_factor_there_and_back_is_one(numerator: int, denominator: int) -> None:
    ratios = Ratios([UnitRatio("box", "pcs", DAY, numerator, denominator)])
    there, back = (ratios.factor(*pair, sku="A", day=DAY) for pair in (("box", "pcs"), ("pcs", "box")))
    assert there * back == 1
    assert there == Fraction(numerator, denominator)


@given(st.integers(0, 10**9), WHOLE)
def test_a_quantity_of_whole_boxes_is_the_same_after_there_and_back(boxes: int, pieces: int) -> None:
    ratios = Ratios([UnitRatio("box", "pcs", DAY, pieces, 1)])
    there = ratios.convert(Decimal(boxes), "box", "pcs", sku="", day=DAY)
    assert there == boxes * pieces
    assert ratios.convert(there, "pcs", "box", sku="", day=DAY) == boxes


@given(st.integers(0, 400))
def test_the_newest_ratio_that_is_valid_on_the_day_counts(days: int) -> None:
    ratios = Ratios([UnitRatio("box", "pcs", DAY, 6, 1), UnitRatio("box", "pcs", DAY + timedelta(days=200), 10, 1)])
    assert ratios.factor("box", "pcs", sku="", day=DAY + timedelta(days=days)) == (6 if days < 200 else 10)


def test_a_products_own_ratio_comes_before_the_one_for_all() -> None:
    ratios = Ratios([UnitRatio("box", "pcs", DAY, 6, 1), UnitRatio("box", "pcs", DAY, 24, 1, "A001")])
    assert ratios.factor("box", "pcs", sku="A001", day=DAY) == 24
    assert ratios.factor("box", "pcs", sku="A002", day=DAY) == 6


def test_a_pair_that_nobody_gave_is_named() -> None:
    """Catalogue 99"""
    ratios = Ratios([UnitRatio("box", "pcs", DAY, 6, 1)])
    with pytest.raises(InputError, match="E-UNT-001 product A001: no ratio from kg to pcs on 2026-11-18"):
        ratios.factor("kg", "pcs", sku="A001", day=DAY)
    with pytest.raises(InputError, match="E-UNT-001"):
        ratios.factor("box", "pcs", sku="A001", day=DAY - timedelta(days=1))


def test_a_quantity_that_does_not_divide_is_refused_and_not_rounded() -> None:
    ratios = Ratios([UnitRatio("box", "pcs", DAY, 3, 1)])
    with pytest.raises(InputError, match=r"E-UNT-002 .*1 pcs is not a number of box"):
        ratios.convert(Decimal(1), "pcs", "box", sku="", day=DAY)
