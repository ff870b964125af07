"""Values of the domain as the plain data that the YAML holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import date, time
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

from erpcrm_orchestration.config.kinds import DAYS
from erpcrm_orchestration.domain import configuration as value
from erpcrm_orchestration.domain.connection import ChildMap, ConnectorEntity, FieldMap, Follow

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CODES = {
    "general": "",
    "mail_groups": "group_code",
    "mail_templates": "template_code",
    "call_targets": "target_code",
    "dataset_types": "type_code",
    "sources": "source_code",
    "connectors": "connector_code",
    "servers": "server_code",
    "agendas": "program",
    "audiences": "audience_code",
    "monitors": "parameter_code",
    "class_rules": "rule_code",
    "dossiers": "dossier_code",
    "connections": "connection_code",
}
"""Sections in the order in which they refer to each other, with the name of their code."""

Plain = Any
"""Mappings, lists, texts, numbers and booleans, nested as the YAML nests them."""

_AS_IT_IS = frozenset({str, int, bool, float, type(None)})

_KEYED = {
    value.WatcherSettings: "code",
    value.DatasetField: "name",
    value.AutomatonState: "state_number",
    value.DatasetMapping: "stream",
    ConnectorEntity: "name",
    Follow: "into",
    ChildMap: "child",
}
"""What stands in a tuple here and below its code in the YAML."""


def plain(found: object, *, defaults: bool, without: str = "") -> Plain:
    """Return a value as mappings, lists, texts, numbers and booleans; with `defaults` also what is not said."""
    if type(found) in _AS_IT_IS:
        return found
    if isinstance(found, FieldMap):
        return _field_map(found)
    if is_dataclass(found) and not isinstance(found, type):
        return _mapping(found, defaults=defaults, without=without)
    if isinstance(found, Mapping):
        return {key: plain(one, defaults=defaults) for key, one in found.items()}
    if isinstance(found, tuple):
        return _list(found, defaults=defaults)
    return _scalar(found)


def _field_map(found: FieldMap) -> Plain:
    """Return the path alone when there is nothing else; a table of defaults for every field would hide what is said."""
    said = _mapping(found, defaults=False, without="")
    return said["path"] if said.keys() == {"path"} else said


def _scalar(found: object) -> Plain:
    match found:
        case Enum():
            return found.value
        case time():
            return f"{found:%H:%M}"
        case date():
            return found.isoformat()
        case Decimal():
            # Quoted in YAML and a text in JSON: a number with a point is a binary fraction there.
            return f"{found:f}"
    return found


def _list(found: tuple[Any, ...], *, defaults: bool) -> Plain:
    key = _KEYED.get(type(found[0])) if found else None
    if key is None:
        return [plain(one, defaults=defaults) for one in found]
    return {plain(getattr(one, key), defaults=True): plain(one, defaults=defaults, without=key) for one in found}


def _mapping(found: DataclassInstance, *, defaults: bool, without: str) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name, default in _fields_of(type(found)):
        content = getattr(found, name)
        if name == without or (not defaults and content == default):
            continue
        said[name] = [DAYS[day - 1] for day in content] if name == "days" else plain(content, defaults=defaults)
    return said


@cache
def _fields_of(kind: type[DataclassInstance]) -> tuple[tuple[str, object], ...]:
    """Return the names of the fields with their defaults, MISSING for none."""
    return tuple((one.name, _default(one)) for one in fields(kind))


def _default(one: Field[Any]) -> object:
    if one.default is not MISSING:
        return one.default
    return one.default_factory() if one.default_factory is not MISSING else MISSING


def entries(configuration: value.Configuration, section: str) -> dict[str, Any]:
    """Return the values of a section by their code; `general` has the code general."""
    if section == "general":
        return {"general": configuration.general} if configuration.general is not None else {}
    return {getattr(one, CODES[section]): one for one in getattr(configuration, section)}
