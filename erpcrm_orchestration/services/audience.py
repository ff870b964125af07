"""What an audience holds at this moment: asked before an order is made of it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.errors import InputError, did_you_mean
from erpcrm_orchestration.domain.routine_settings import Audience
from erpcrm_orchestration.store.audience import sample
from erpcrm_orchestration.store.dossier import require_dossier
from erpcrm_orchestration.store.routine_settings import load


def preview(engine: sa.Engine, dossier_code: str, audience_code: str, *, limit: int) -> tuple[int, list[dict[str, Any]]]:
    """Return how many accounts of a dossier are in an audience, and the first of them.

    Raises InputError E-CLI-057 for an unknown dossier, E-ORD-007 for an unknown audience.
    """
    with engine.connect() as connection:
        require_dossier(connection, dossier_code)
        known: dict[str, Audience] = load(connection, "audiences")
        if audience_code not in known:
            raise InputError("E-ORD-007", "audience", f"no audience {audience_code!a}", did_you_mean(audience_code, known))
        return sample(connection, dossier_code, known[audience_code], limit=limit)
