"""What a configuration would change in what stands in the database: pure, per object and field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from erpcrm_orchestration.config.plain import CODES, entries, plain
from erpcrm_orchestration.domain.configuration import Configuration

Action = Literal["add", "change", "remove"]

KINDS = {
    "general": "general",
    "mail_groups": "mail_group",
    "mail_templates": "mail_template",
    "call_targets": "call_target",
    "dataset_types": "dataset_type",
    "sources": "source",
    "connectors": "connector",
    "servers": "server",
    "agendas": "agenda",
    "audiences": "audience",
    "monitors": "monitor",
    "class_rules": "class_rule",
    "dossiers": "dossier",
    "connections": "connection",
}
"""The name of one entry of each section, as the audit trail calls it."""

SCHEDULE_FIELDS = frozenset(
    {"time_zone", "active", "process.state", "process.days", "process.start", "process.duration_min", "process.frequency_min"}
)
"""A dossier whose change touches one of these is due at other instants from now on."""

SECRET_FIELDS = frozenset({"password", "url", "user", "headers", "credentials", "webhook_secret"})


@dataclass(frozen=True)
class FieldChange:
    """One field, old and new as plain data."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Change:
    """One object. `before` and `after` are its values, None when it is not there."""

    section: str
    code: str
    action: Action
    before: Any
    after: Any
    fields: tuple[FieldChange, ...] = ()

    @property
    def kind(self) -> str:
        return KINDS[self.section]

    @property
    def moves_schedule(self) -> bool:
        """True when the dossier is due at other instants from now on."""
        return self.section == "dossiers" and any(one.field in SCHEDULE_FIELDS for one in self.fields)

    @property
    def activates(self) -> bool:
        """True when the dossier starts to be evaluated."""
        was = self.before is not None and self.before.active
        return self.section == "dossiers" and self.after is not None and self.after.active and not was


@dataclass(frozen=True)
class Plan:
    """The changes in the order in which they are written, and what only the database has: it is kept."""

    changes: tuple[Change, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()

    @property
    def counts(self) -> dict[Action, int]:
        counts: dict[Action, int] = {"add": 0, "change": 0, "remove": 0}
        for change in self.changes:
            counts[change.action] += 1
        return counts


def compare(current: Configuration, wanted: Configuration, *, remove: frozenset[tuple[str, str]] = frozenset()) -> Plan:
    """Return what leads from `current` to `wanted`; of what only `current` has, only what stands in `remove` goes."""
    changes: list[Change] = []
    kept: list[tuple[str, str]] = []
    for section in CODES:
        old, new = entries(current, section), entries(wanted, section)
        changes += _differences(section, old, new)
        if section != "general":
            kept += [(section, code) for code in sorted(old.keys() - new.keys()) if (section, code) not in remove]
            removed = [(section, code) for code in sorted(old.keys() - new.keys()) if (section, code) in remove]
            changes += [Change(section, code, "remove", old[code], None) for _, code in removed]
    return Plan(tuple(changes), tuple(kept))


def _differences(section: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    for code in sorted(new):
        before, after = old.get(code), new[code]
        if before is None:
            yield Change(section, code, "add", None, after, tuple(_fields(None, after, section)))
        elif before != after:
            yield Change(section, code, "change", before, after, tuple(_fields(before, after, section)))


def _fields(before: object, after: object, section: str) -> Iterator[FieldChange]:
    code = CODES[section]
    old, old_said = _values(before, code)
    new, new_said = _values(after, code)
    for name in sorted(old_said | new_said):
        if old.get(name) != new.get(name):
            yield FieldChange(name, old.get(name), new.get(name))


def _values(found: object, code: str) -> tuple[dict[str, Any], set[str]]:
    """Return the value of every field, and the names of those that are not at their default."""
    if found is None:
        return {}, set()
    every = dict(_flat(plain(found, defaults=True, without=code)))
    return every, {name for name, _ in _flat(plain(found, defaults=False, without=code))}


def _flat(content: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict) and (content or not prefix):
        for key, one in content.items():
            yield from _flat(one, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, content
