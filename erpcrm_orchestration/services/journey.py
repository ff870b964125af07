"""One record's way through every system: received, waited, corrected, integrated, fetched, sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.store.engine import reported
from erpcrm_orchestration.store.journey import Known, asked_for, happened, known_as


@dataclass(frozen=True)
class Journey:
    """`known`: what each system calls the record. `steps`: at, system_code, event, subject, detail, run_id, by time."""

    dossier_code: str
    entity: str
    known: tuple[Known, ...]
    steps: tuple[dict[str, Any], ...]

    @property
    def record_id(self) -> int | None:
        return next((one.record_id for one in self.known if one.record_id is not None), None)


def journey(
    engine: sa.Engine,
    dossier_code: str,
    entity: str,
    *,
    source_id: str | None = None,
    record_id: int | None = None,
    system_code: str | None = None,
) -> Journey:
    """Return a record's way, found by the id that a system gives it or by ours; raise InputError E-COR-020 or 021."""
    where = f"{entity} {source_id or record_id} of dossier {dossier_code}"
    with reported(engine), engine.connect() as connection:
        found = known_as(
            connection, dossier_code, entity, source_id=source_id, record_id=record_id, system_code=system_code
        )  # fmt: skip
        ours = {one.record_id for one in found}
        if len(ours) > 1:
            systems = ", ".join(one.system_code for one in found)
            raise InputError("E-COR-021", where, f"{systems} give this id to different records", "name one with --system")
        if ours:
            found = known_as(connection, dossier_code, entity, record_id=ours.pop())
        elif source_id is not None:
            found = asked_for(connection, dossier_code, entity, source_id)
        steps = happened(connection, dossier_code, entity, found) if found else []
    if not steps:
        raise InputError("E-COR-020", where, "nothing is known of it", f"erpcrm fetch {entity} ID asks its system")
    return Journey(dossier_code, entity, tuple(found), tuple(steps))
