"""Dossiers. The row of a dossier and that of its process interactions_erpcrm always come together."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.configuration import Dossier, MobilityTrigger, SupervisionProcess
from erpcrm_orchestration.domain.errors import InputError, nearest
from erpcrm_orchestration.domain.routine_settings import RoutineSettings
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.audit import AuditRow, record_changes
from erpcrm_orchestration.store.configuration import adapter
from erpcrm_orchestration.store.engine import load_sql

PROCESS_CODE = "interactions_erpcrm"
_PROCESS_FIELDS = tuple(SupervisionProcess.__dataclass_fields__)


def load_dossiers(connection: sa.Connection, codes: Collection[str] | None = None) -> dict[str, Dossier]:
    """Return these dossiers by code, all of them for None, in the order of their codes; unknown ones are left out."""
    statement = (
        sa.select(schema.dossier, *(schema.process.c[name].label(f"process_{name}") for name in _PROCESS_FIELDS))
        .join(
            schema.process,
            sa.and_(
                schema.process.c.dossier_code == schema.dossier.c.dossier_code,
                schema.process.c.process_code == PROCESS_CODE,
            ),
        )
        .order_by(schema.dossier.c.dossier_code)
    )
    if codes is not None:
        statement = statement.where(schema.dossier.c.dossier_code == sa.any_(sa.literal(list(codes), sa.ARRAY(sa.Text))))
    return {row["dossier_code"]: _dossier(row) for row in connection.execute(statement).mappings()}


def load_dossier(connection: sa.Connection, code: str) -> Dossier | None:
    """Return the dossier, or None."""
    # What cannot be printed is no code, and the database might refuse its bytes.
    return load_dossiers(connection, [code]).get(code) if code.isprintable() else None


def dossier_codes(connection: sa.Connection, *, active: bool | None = None) -> list[str]:
    """Return the codes in order; only active ones for True, only inactive ones for False."""
    statement = sa.select(schema.dossier.c.dossier_code).order_by(schema.dossier.c.dossier_code)
    if active is not None:
        statement = statement.where(schema.dossier.c.active.is_(active))
    return list(connection.scalars(statement))


def require_code(connection: sa.Connection, code: str | None) -> str | None:
    """Return the code; raise InputError E-CLI-057 naming the five nearest when no dossier has it. None stands for all."""
    if code is not None and code not in (known := dossier_codes(connection)):
        raise unknown_dossier(code, known)
    return code


def require_dossier(connection: sa.Connection, code: str) -> Dossier:
    """Return the dossier; raise InputError E-CLI-057 naming the five nearest codes when there is none."""
    found = load_dossier(connection, code)
    if found is None:
        raise unknown_dossier(code, dossier_codes(connection))
    return found


def unknown_dossier(code: str, known: Sequence[str]) -> InputError:
    """Return the error of a dossier that is not there, with the five nearest of those that are."""
    near = list(nearest(code, known, count=5))
    near += [one for one in known if one not in near][: 5 - len(near)]
    remedy = f"nearest: {', '.join(near)}" if near else "there is no dossier yet: erpcrm dossier add"
    return InputError("E-CLI-057", "dossier", f"no dossier {code!a}", remedy)


def create_dossier(connection: sa.Connection, dossier: Dossier, *, now: datetime, actor: str) -> None:
    """Create the dossier with its process and audit row. Raises InputError E-DOS-091 when the code is taken in any case."""
    taken = connection.scalar(
        sa.select(schema.dossier.c.dossier_code).where(
            sa.func.lower(schema.dossier.c.dossier_code) == dossier.dossier_code.lower()
        )
    )
    if taken is not None:
        raise InputError(
            "E-DOS-091", "dossier", f"dossier {taken} exists", "choose another code, or change it: erpcrm dossier set"
        )
    upsert_dossiers(connection, [dossier], moved=[dossier.dossier_code], now=now)
    _audit(connection, None, dossier, "add", now=now, actor=actor)


def set_dossier(connection: sa.Connection, dossier: Dossier, *, now: datetime, actor: str) -> bool:
    """Bring an existing dossier to these values; return False when it has them. A moved schedule counts anew from `now`."""
    before = require_dossier(connection, dossier.dossier_code)
    if before == dossier:
        return False
    moved = [dossier.dossier_code] if schedule_of(before) != schedule_of(dossier) else []
    upsert_dossiers(connection, [dossier], moved=moved, now=now)
    _audit(connection, before, dossier, "change", now=now, actor=actor)
    return True


def deactivate(connection: sa.Connection, code: str, *, now: datetime, actor: str) -> bool:
    """Stop evaluating the dossier; its rows stay. Returns False when it was inactive already."""
    return set_dossier(connection, replace(require_dossier(connection, code), active=False), now=now, actor=actor)


def schedule_of(dossier: Dossier) -> tuple[Any, ...]:
    """Return what decides when the process of the dossier is due."""
    process = dossier.process
    window = (process.days, process.start, process.duration_min, process.frequency_min)
    return dossier.time_zone, dossier.active, process.state, window


def upsert_dossiers(connection: sa.Connection, dossiers: Sequence[Dossier], *, moved: Collection[str], now: datetime) -> None:
    """Write dossiers and processes in two statements; the schedule of those in `moved` counts anew from `now`."""
    if not dossiers:
        return
    connection.execute(load_sql("upsert_dossiers"), {"rows": json.dumps([_row(one) for one in dossiers]), "now": now})
    processes = [
        {"dossier_code": one.dossier_code, **adapter(SupervisionProcess).dump_python(one.process, mode="json")}
        for one in dossiers
    ]
    connection.execute(
        load_sql("upsert_processes"),
        {"rows": json.dumps(processes), "process_code": PROCESS_CODE, "moved": list(moved), "now": now},
    )


def _row(dossier: Dossier) -> dict[str, Any]:
    same = ("dossier_code", "name", "crm_project_code", "time_zone", "active", "alert_delay_min", "alert_mail_interval_min")
    more = ("import_frequency_min", "count_only_open_hours", "hub_folder")
    return {name: getattr(dossier, name) for name in (*same, *more)} | {
        "source_code": dossier.source,
        "mobility_action": dossier.mobility.action if dossier.mobility else None,
        "mobility_target": dossier.mobility.target if dossier.mobility else None,
        "routines": adapter(RoutineSettings).dump_python(dossier.routines, mode="json"),
    }


def _dossier(row: sa.RowMapping) -> Dossier:
    process = adapter(SupervisionProcess).validate_python({name: row[f"process_{name}"] for name in _PROCESS_FIELDS})
    mobility = MobilityTrigger(row["mobility_action"], row["mobility_target"]) if row["mobility_action"] else None
    return Dossier(
        dossier_code=row["dossier_code"],
        crm_project_code=row["crm_project_code"],
        name=row["name"],
        time_zone=row["time_zone"],
        active=row["active"],
        alert_delay_min=row["alert_delay_min"],
        alert_mail_interval_min=row["alert_mail_interval_min"],
        import_frequency_min=row["import_frequency_min"],
        count_only_open_hours=row["count_only_open_hours"],
        source=row["source_code"],
        hub_folder=row["hub_folder"],
        mobility=mobility,
        process=process,
        routines=adapter(RoutineSettings).validate_python(row["routines"]),
    )


def _audit(
    connection: sa.Connection, before: Dossier | None, after: Dossier, action: str, *, now: datetime, actor: str
) -> None:
    content = adapter(Dossier)
    row = AuditRow(
        "dossier",
        after.dossier_code,
        action,
        content.dump_python(before, mode="json") if before else None,
        content.dump_python(after, mode="json"),
    )
    record_changes(connection, [row], now=now, actor=actor)


def time_zone_of(connection: sa.Connection, dossier_code: str) -> str:
    """Return the IANA zone of a dossier's days."""
    table = schema.dossier
    return str(connection.scalar(sa.select(table.c.time_zone).where(table.c.dossier_code == dossier_code)))
