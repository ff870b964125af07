"""The ratios of units, and the unit that each product is counted in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from erpcrm_orchestration.domain.units import Ratios, UnitRatio
from erpcrm_orchestration.store.integration_schema import entity_table, unit_ratio


@dataclass(frozen=True)
class ProductUnit:
    """`unit` None: nobody said in what the product is counted."""

    sku: str
    unit: str | None


def load_ratios(connection: sa.Connection, dossier_code: str) -> Ratios:
    """Return all ratios of a dossier."""
    columns = unit_ratio.c
    rows = connection.execute(sa.select(unit_ratio).where(columns.dossier_code == dossier_code))
    return Ratios(UnitRatio(row.unit, row.base_unit, row.valid_from, row.numerator, row.denominator, row.sku) for row in rows)


def product_units(connection: sa.Connection, dossier_code: str, product_ids: Collection[int]) -> dict[int, ProductUnit]:
    """Return our id -> sku and unit of these products."""
    table = entity_table["product"]
    rows = connection.execute(
        sa.select(table.c.product_id, table.c.sku, table.c.unit).where(
            table.c.dossier_code == dossier_code, table.c.product_id.in_(product_ids)
        )
    )
    return {row.product_id: ProductUnit(row.sku or "", row.unit) for row in rows}
