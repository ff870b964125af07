"""Configuration as code: what a folder says becomes what the tables hold, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.config.diff import Change, Plan, compare
from erpcrm_orchestration.config.export import copied, to_yaml
from erpcrm_orchestration.config.folder import Reading, read_text
from erpcrm_orchestration.config.plain import CODES, plain
from erpcrm_orchestration.config.reference_rules import Known
from erpcrm_orchestration.config.references import removable
from erpcrm_orchestration.config.rules import check, require_free_code
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.configuration import Configuration
from erpcrm_orchestration.domain.connection import Connection
from erpcrm_orchestration.domain.errors import Findings, InputError
from erpcrm_orchestration.services.programs import known_programs
from erpcrm_orchestration.store import configuration as stored
from erpcrm_orchestration.store import configuration_write as write
from erpcrm_orchestration.store import routine_settings, schema
from erpcrm_orchestration.store.audit import AuditRow, record_changes
from erpcrm_orchestration.store.dossier import dossier_codes, load_dossiers, require_dossier, upsert_dossiers
from erpcrm_orchestration.store.references import held_codes

_TABLES = {
    "mail_groups": schema.mail_group,
    "mail_templates": schema.mail_template,
    "call_targets": schema.call_target,
    "dataset_types": schema.dataset_type,
    "sources": schema.source,
    **{section: one.table for section, one in routine_settings.SECTIONS.items()},
    "connectors": schema.connector,
    "connections": schema.connection,
}
"""The sections whose entries may be removed: what refers to others stands after them."""


_WRITERS: Mapping[str, Callable[..., None]] = {
    "mail_groups": write.write_mail_groups,
    "mail_templates": write.write_mail_templates,
    "call_targets": write.write_call_targets,
    "dataset_types": write.write_dataset_types,
    "sources": write.write_sources,
    "connectors": write.write_connectors,
    "connections": write.write_connections,
}


@dataclass(frozen=True)
class Outcome:
    """What a plan or an application found: the changes and the warnings, each a line."""

    plan: Plan
    warnings: tuple[str, ...] = ()


def current_configuration(connection: sa.Connection) -> Configuration:
    """Return the configuration as the tables hold it."""
    return Configuration(
        general=stored.load_general(connection) if stored.has_general(connection) else None,
        mail_groups=_in_order({one.group_code: one for one in stored.load_mail_groups(connection).values()}),
        mail_templates=_in_order(stored.load_mail_templates(connection)),
        call_targets=_in_order(stored.load_call_targets(connection)),
        dataset_types=_in_order(stored.load_dataset_types(connection)),
        sources=_in_order(stored.load_sources(connection)),
        connectors=_in_order(stored.load_connectors(connection)),
        dossiers=tuple(load_dossiers(connection).values()),
        **{section: _in_order(routine_settings.load(connection, section)) for section in routine_settings.SECTIONS},
        connections=_in_order(stored.load_connections(connection)),
    )


def plan(engine: sa.Engine, reading: Reading, *, prune: bool = False) -> Outcome:
    """Return what `apply` would change. Raises Findings for everything that is wrong."""
    with engine.connect() as connection:
        return _planned(connection, reading, prune=prune)


def apply(engine: sa.Engine, reading: Reading, *, clock: Clock, actor: str, prune: bool = False) -> Outcome:
    """Bring the tables to what the folder says, all or nothing; a second time changes nothing.

    Two applications at once follow each other. Raises Findings for everything that is wrong; nothing is written then.
    """
    with engine.begin() as connection:
        write.lock_configuration(connection)
        outcome = _planned(connection, reading, prune=prune)
        write_changes(connection, outcome.plan.changes, now=clock.now(), actor=actor)
        return outcome


def remove(engine: sa.Engine, section: str, code: str, *, clock: Clock, actor: str) -> Outcome:
    """Take one entry away; raise Findings or InputError E-CFG-090 when another one names it."""
    with engine.begin() as connection:
        write.lock_configuration(connection)
        current = current_configuration(connection)
        name = CODES[section]
        rest: dict[str, Any] = {section: tuple(one for one in getattr(current, section) if getattr(one, name) != code)}
        reading = read_text(to_yaml(replace(current, **rest)), name="configuration")
        outcome = _planned(connection, reading, prune=True)
        if not any((one.section, one.code, one.action) == (section, code, "remove") for one in outcome.plan.changes):
            raise InputError("E-CFG-090", f"{section}.{code}", "another entry or a stored row names it", "change that first")
        write_changes(connection, outcome.plan.changes, now=clock.now(), actor=actor)
        return outcome


def export(engine: sa.Engine, *, dossier: str | None = None, code: str | None = None) -> Configuration:
    """Return what the tables hold; with `dossier` that one alone, with `code` as a copy under another code.

    Raises InputError E-CLI-057 for an unknown dossier, E-DOS-091 for a code that is none or taken.
    """
    with engine.connect() as connection:
        if dossier is None:
            return current_configuration(connection)
        found = require_dossier(connection, dossier)
        if code is None:
            return Configuration(dossiers=(found,))
        require_free_code(code, dossier_codes(connection))
        return Configuration(dossiers=(copied(found, code),))


def write_changes(connection: sa.Connection, changes: Sequence[Change], *, now: datetime, actor: str) -> None:
    """Write the changes and their audit rows in the caller's transaction."""
    _clear_connections(connection, changes)
    for section in CODES:
        written = [change for change in changes if change.section == section and change.after is not None]
        if written:
            _write(connection, section, written, now)
    for section, table in reversed(_TABLES.items()):
        removed = [change.code for change in changes if change.section == section and change.action == "remove"]
        if removed:
            write.remove_codes(connection, table, removed)
    record_changes(connection, [_audit_row(change) for change in changes], now=now, actor=actor)


def _clear_connections(connection: sa.Connection, changes: Sequence[Change]) -> None:
    """Delete connections that go or become another system, so that two may change places; nothing refers to their rows."""
    codes = [
        change.code
        for change in changes
        if change.section == "connections"
        and change.before is not None
        and (change.after is None or _place(change.after) != _place(change.before))
    ]
    if codes:
        write.remove_codes(connection, schema.connection, codes)


def _place(one: Connection) -> tuple[str, str]:
    return one.dossier, one.system


def _planned(connection: sa.Connection, reading: Reading, *, prune: bool) -> Outcome:
    current = current_configuration(connection)
    wanted = reading.configuration
    remove = removable(current, wanted, held_codes(connection)) if prune else frozenset()
    stays = tuple(one for one in current.connections if ("connections", one.connection_code) not in remove)
    checked = check(reading, replace(Known.of(current), connections=stays, programs=known_programs().keys()))
    if checked.errors:
        raise Findings(checked.errors)
    return Outcome(compare(current, wanted, remove=remove), checked.warnings)


def _write(connection: sa.Connection, section: str, changes: Sequence[Change], now: datetime) -> None:
    values = [change.after for change in changes]
    if section == "general":
        write.write_general(connection, values[0], now=now)
    elif section == "dossiers":
        moved = [change.code for change in changes if change.moves_schedule]
        upsert_dossiers(connection, values, moved=moved, now=now)
    elif section in routine_settings.SECTIONS:
        routine_settings.write(connection, section, values, now=now)
    else:
        _WRITERS[section](connection, values, now=now)


def _audit_row(change: Change) -> AuditRow:
    code = CODES[change.section]
    before, after = (None if one is None else plain(one, defaults=True, without=code) for one in (change.before, change.after))
    return AuditRow(change.kind, change.code, change.action, before, after)


def _in_order(found: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(found[code] for code in sorted(found))
