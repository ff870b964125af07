"""Dossiers as the rest of the program meets them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from erpcrm_orchestration.store.schema import dossier


def codes_in_order(engine: sa.Engine) -> Sequence[str]:
    """Return every dossier code, inactive ones too, in the order of creation."""
    with engine.connect() as connection:
        return connection.scalars(
            sa.select(dossier.c.dossier_code).order_by(dossier.c.created_at, dossier.c.dossier_code)
        ).all()
