"""Refreshes that people asked for, as the person who asks may see them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.store.person import granted
from erpcrm_orchestration.store.schema import refresh_request


@dataclass(frozen=True)
class RequestState:
    """One request; `state` is REQUESTED, RUNNING, DONE or FAILED, `reason` says why it failed."""

    request_id: int
    dossier_code: str
    state: str
    requested_by: str
    requested_at: datetime
    closed_at: datetime | None
    run_id: str | None
    reason: str | None


def read_requests(connection: sa.Connection, person_id: int, request_ids: Collection[int]) -> list[RequestState]:
    """Return these requests, by dossier code, without those of dossiers that the person may not see."""
    table = refresh_request.c
    statement = (
        sa.select(*(table[field.name] for field in fields(RequestState)))
        .where(
            table.request_id == sa.any_(sa.literal(list(request_ids), sa.ARRAY(sa.BigInteger))),
            granted(person_id, Access.VIEW, table.dossier_code),
        )
        .order_by(table.dossier_code)
    )
    return [RequestState(**row) for row in connection.execute(statement).mappings()]
