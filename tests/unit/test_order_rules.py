"""What must agree within an order."""

from __future__ import annotations

from decimal import Decimal

import pytest

from erpcrm_orchestration.domain.order_rules import unit_price


@pytest.mark.parametrize(
    ("line", "price"),
    [
        ({"unit_price": Decimal("9.90"), "total": Decimal(30), "quantity": Decimal(3)}, Decimal("9.90")),
        ({"unit_price": None, "total": Decimal("37.50"), "quantity": Decimal(3)}, Decimal("12.5000")),
        ({"total": Decimal(10), "quantity": Decimal(3)}, Decimal("3.3333")),
        ({"total": Decimal(-5), "quantity": Decimal(-2)}, Decimal("2.5000")),
        ({"total": Decimal(10), "quantity": Decimal(0)}, None),
        ({"total": None, "quantity": Decimal(3)}, None),
    ],
)
def test_a_line_that_tells_its_total_only_has_a_price_of_one_unit(line: dict[str, object], price: Decimal | None) -> None:
    assert unit_price(line) == price
