"""A person's wish for one record: fetched at once outside of the peak hours, in them at their end unless it is urgent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.connection import Connection, ConnectorEntity
from erpcrm_orchestration.domain.errors import InputError, did_you_mean
from erpcrm_orchestration.services.connectors import Connected, connected
from erpcrm_orchestration.services.fetching import in_peak
from erpcrm_orchestration.services.round import Round, work_round
from erpcrm_orchestration.store import worklist as store
from erpcrm_orchestration.store.dossier import time_zone_of
from erpcrm_orchestration.store.engine import reported
from erpcrm_orchestration.store.work import queue_fetches


@dataclass(frozen=True)
class Wish:
    """The record that a person wants; `entity` is our word or the system's."""

    dossier_code: str
    entity: str
    source_id: str
    system: str | None = None
    urgent: bool = False


@dataclass(frozen=True)
class Asked:
    """What became of a wish. `deferred_to` is when the peak ends, None when the record may be fetched now.

    `item`: work_id, state, urgent, not_before and last_error. `new` is False when it was asked for already.
    """

    connection_code: str
    new: bool
    item: Mapping[str, Any]
    deferred_to: datetime | None = None


def ask(engine: sa.Engine, wish: Wish, *, actor: str, clock: Clock, environment: Mapping[str, str], run_id: str) -> Asked:
    """Queue the fetch of a record and fetch it when it may be fetched now; raise InputError E-WRK-006 to 008."""
    now = clock.now()
    if not wish.source_id.strip():
        raise InputError("E-WRK-008", f"fetch {wish.entity}", "an empty id", "give the id that the system uses")
    with reported(engine), engine.begin() as connection:
        one, stream = _place(connection, wish)
        key, code = one.key(stream), one.connection.connection_code
        new = queue_fetches(
            connection, [(key, wish.source_id)], cause=f"asked by {actor}", urgent=wish.urgent, now=now
        )  # fmt: skip
        dedup_key = f"{code}/{stream.name}/{wish.source_id}"
        if wish.urgent and not new:
            store.hurry(connection, wish.dossier_code, dedup_key)
        zone = time_zone_of(connection, wish.dossier_code)
        item = _item(connection, wish.dossier_code, dedup_key)
    if not item["urgent"] and in_peak(one.connection, zone, now):
        return Asked(code, bool(new), item, peak_end(one.connection, zone, now))
    work_round(engine, [wish.dossier_code], Round(clock, environment, run_id=run_id, reading=False))
    with reported(engine), engine.connect() as connection:
        return Asked(code, bool(new), _item(connection, wish.dossier_code, dedup_key))


def peak_end(one: Connection, zone: str, now: datetime) -> datetime:
    """Return when the peak hours that we are in end, in the dossier's zone."""
    local = now.astimezone(ZoneInfo(zone))
    day = local.date() if local.time() < one.peak_to else local.date() + timedelta(days=1)
    return datetime.combine(day, one.peak_to, tzinfo=ZoneInfo(zone))


def _item(connection: sa.Connection, dossier_code: str, dedup_key: str) -> dict[str, Any]:
    found = store.open_fetch(connection, dossier_code, dedup_key)
    if found is None:
        raise LookupError(f"no fetch {dedup_key}")
    return found


def _place(connection: sa.Connection, wish: Wish) -> tuple[Connected, ConnectorEntity]:
    """Return the one connection and stream that the record is fetched from."""
    where = f"dossier {wish.dossier_code}"
    found = [one for one in connected(connection, [wish.dossier_code]) if wish.system in (None, one.connection.system)]
    if not found:
        raise InputError("E-WRK-006", where, f"no connection to {wish.system or 'any system'}", "see `erpcrm connections list`")
    places = [(one, stream) for one in found for stream in one.streams if _carries(stream, wish.entity)]
    if not places:
        known = {stream.map.entity if stream.map else stream.name for one in found for stream in one.streams}
        raise InputError("E-WRK-006", where, f"nobody there has a {wish.entity}", did_you_mean(wish.entity, known))
    single = [(one, stream) for one, stream in places if stream.read and stream.read.one]
    if not single:
        raise InputError("E-WRK-007", where, f"a single {wish.entity} cannot be fetched", "wait for the next complete reading")
    if len(single) > 1:
        systems = ", ".join(one.connection.system for one, _ in single)
        raise InputError("E-WRK-006", where, f"{systems} have a {wish.entity}", "name one with --system")
    return single[0]


def _carries(stream: ConnectorEntity, entity: str) -> bool:
    return entity == stream.name or (stream.map is not None and stream.map.entity == entity)
