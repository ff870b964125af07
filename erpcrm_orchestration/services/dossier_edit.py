"""Dossiers by the command line: the same validation as the files, one dossier at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from erpcrm_orchestration.config.assignments import read_dossier
from erpcrm_orchestration.config.folder import Reading
from erpcrm_orchestration.config.reference_rules import Known
from erpcrm_orchestration.config.rules import check, require_free_code
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.configuration import Configuration, Dossier
from erpcrm_orchestration.domain.errors import Findings
from erpcrm_orchestration.store import dossier as store
from erpcrm_orchestration.store.configuration import load_call_targets, load_mail_groups, load_mail_templates, load_sources
from erpcrm_orchestration.store.configuration_write import lock_configuration


@dataclass(frozen=True)
class Edited:
    """The dossier as it is now, whether anything changed, and warnings."""

    dossier: Dossier
    changed: bool
    warnings: tuple[str, ...] = ()


def add(engine: sa.Engine, code: str, words: Sequence[str], *, clock: Clock, actor: str) -> Edited:
    """Create a dossier from `field=value` words. Raises Findings or InputError for everything that is wrong."""
    with engine.begin() as connection:
        lock_configuration(connection)
        require_free_code(code, store.dossier_codes(connection))
        dossier, warnings = _checked(connection, read_dossier(code, words))
        store.create_dossier(connection, dossier, now=clock.now(), actor=actor)
        return Edited(dossier, True, warnings)


def change(engine: sa.Engine, code: str, words: Sequence[str], *, clock: Clock, actor: str) -> Edited:
    """Change fields of a dossier. Raises InputError E-CLI-057 for an unknown one, Findings for what is wrong."""
    with engine.begin() as connection:
        lock_configuration(connection)
        current = store.require_dossier(connection, code)
        dossier, warnings = _checked(connection, read_dossier(code, words, current=current))
        changed = store.set_dossier(connection, dossier, now=clock.now(), actor=actor)
        return Edited(dossier, changed, warnings)


def deactivate(engine: sa.Engine, code: str, *, clock: Clock, actor: str) -> Edited:
    """Stop evaluating a dossier; everything about it stays. Raises InputError E-CLI-057 for an unknown one."""
    with engine.begin() as connection:
        lock_configuration(connection)
        changed = store.deactivate(connection, code, now=clock.now(), actor=actor)
        return Edited(store.require_dossier(connection, code), changed)


def listed(engine: sa.Engine) -> list[Dossier]:
    """Return every dossier in the order of the codes."""
    with engine.connect() as connection:
        return list(store.load_dossiers(connection).values())


def find(engine: sa.Engine, code: str) -> Dossier:
    """Return a dossier. Raises InputError E-CLI-057 for an unknown one."""
    with engine.connect() as connection:
        return store.require_dossier(connection, code)


def _checked(connection: sa.Connection, reading: Reading) -> tuple[Dossier, tuple[str, ...]]:
    there = Configuration(
        mail_groups=tuple(load_mail_groups(connection).values()),
        mail_templates=tuple(load_mail_templates(connection).values()),
        call_targets=tuple(load_call_targets(connection).values()),
        sources=tuple(load_sources(connection).values()),
    )
    known = Known.of(there)
    found = check(reading, Known(known.codes, tolerates_defaults=True))
    if found.errors:
        raise Findings(found.errors)
    return reading.configuration.dossiers[0], found.warnings
