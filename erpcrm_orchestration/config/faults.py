"""What pydantic refuses, said our way: the value, its rule in words, and the nearest known name for an unknown key."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from erpcrm_orchestration.config.kinds import time_zones
from erpcrm_orchestration.config.places import Path, shown
from erpcrm_orchestration.domain.errors import did_you_mean, nearest

UNKNOWN_KEY = "E-CFG-040"
WRONG_VALUE = "E-CFG-041"
MISSING_KEY = "E-CFG-002"
UNKNOWN_ZONE = "E-CFG-044"

Annotation = Any
"""A type expression: Python has no type for these."""

_RULES = {
    "bool_type": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "tuple_type": "a list",
}
_SECRET_FIELDS = frozenset({"password", "url", "user", "headers", "credentials", "webhook_secret"})


def explain(model: type[BaseModel], details: ErrorDetails) -> tuple[str, Path, str, str]:
    """Return code, way, what was found and what to do for one refusal of a model."""
    path, kind = _path(details["loc"]), details["type"]
    if kind == "extra_forbidden":
        return UNKNOWN_KEY, path, "unknown key", did_you_mean(str(path[-1]), _known(model, path[:-1]))
    if kind == "missing":
        return MISSING_KEY, path, "missing", f"give {_description(model, path)}"
    value = "the value" if _SECRET_FIELDS & set(path) else shown(details["input"])
    if "[key]" in details["loc"]:
        return WRONG_VALUE, path, f"the key {shown(path[-1])} is not {_rule(model, path, details)}", "correct the key"
    if kind == "time_zone":
        return UNKNOWN_ZONE, path, f"{value} is no time zone", _near_zone(details["input"])
    rule = _rule(model, path, details)
    return (
        WRONG_VALUE,
        path,
        f"{value} is not {rule}",
        _near_word(rule, details["input"]) or f"give {_description(model, path)}",
    )


def _path(loc: Sequence[str | int]) -> Path:
    """Return the way without what pydantic adds for keys and for the members of a union."""
    steps = [step for step in loc if step != "[key]"]
    while len(steps) > 1 and steps[-1] in {"str", "int", "bool", "list[str]"} and steps[-2] != "states":
        steps.pop()
    return tuple("schema" if step == "schema_" else step for step in steps)


def _near_word(rule: str, value: object) -> str:
    """Return the word that was probably meant, when the rule names words."""
    if not rule.startswith("one of ") or not isinstance(value, str):
        return ""
    words = {word.casefold(): word for word in rule.removeprefix("one of ").split(", ")}
    near = nearest(value.casefold(), words)
    return f"did you mean {words[near[0]]}?" if near else ""


def _near_zone(value: object) -> str:
    text = value if isinstance(value, str) else ""
    near = nearest(text, time_zones())
    return f"did you mean {near[0]}?" if near else "write it as Europe/Paris"


def _rule(model: type[BaseModel], path: Path, details: ErrorDetails) -> str:
    kind = details["type"]
    if kind == "refused":
        return str(details["ctx"]["rule"])
    if kind == "literal_error":
        return "one of " + str(details["ctx"]["expected"]).replace("'", "").replace(" or ", ", ")
    field = _key_at(model, path) if "[key]" in details["loc"] else field_at(model, path)
    if kind in {"int_type", "int_parsing", "greater_than_equal", "less_than_equal", "int_from_float"}:
        low, high = _bounds(field)
        return f"a whole number from {low} to {high}" if low is not None else "a whole number"
    return _RULES.get(kind, details["msg"][:1].lower() + details["msg"][1:])


def _bounds(field: object) -> tuple[int | None, int | None]:
    low = high = None
    for one in _metadata(field):
        low = getattr(one, "ge", low)
        high = getattr(one, "le", high)
    return low, high


def _metadata(field: Annotation) -> Iterator[Any]:
    """Yield the annotations of a field or type, those of the members of a union too."""
    if isinstance(field, FieldInfo):
        yield from field.metadata
        field = field.annotation
    if hasattr(field, "__metadata__"):
        for one in field.__metadata__:
            yield from one.metadata if isinstance(one, FieldInfo) else (one,)
    elif typing.get_origin(field) in {typing.Union, types.UnionType}:
        for member in typing.get_args(field):
            yield from _metadata(member)


def _description(model: type[BaseModel], path: Path) -> str:
    """Return the description of the nearest field on the way."""
    for length in range(len(path), 0, -1):
        found = field_at(model, path[:length])
        if isinstance(found, FieldInfo) and found.description:
            return found.description
    return "what the documentation says"


def _known(model: type[BaseModel], path: Path) -> list[str]:
    found = field_at(model, path)
    inner = _model(found.annotation if isinstance(found, FieldInfo) else found)
    return [field.alias or name for name, field in inner.model_fields.items()] if inner else []


def field_at(model: type[BaseModel], path: Path) -> Annotation:
    """Return the field at the way, or the type of an element of a mapping or list."""
    found: Any = model
    for step in path:
        annotation = found.annotation if isinstance(found, FieldInfo) else found
        inner = _model(annotation)
        if inner is not None:
            found = next((field for name, field in inner.model_fields.items() if (field.alias or name) == step), None)
        else:
            found = _element(annotation)
    return found


def _key_at(model: type[BaseModel], path: Path) -> Annotation:
    """Return the type of the keys of the mapping that the way ends in."""
    found = field_at(model, path[:-1])
    for one in members(found.annotation if isinstance(found, FieldInfo) else found):
        if typing.get_origin(one) is dict:
            return typing.get_args(one)[0]
    return None


def members(annotation: Annotation) -> Iterator[Any]:
    """Yield the types that an annotation allows, those of a union one by one."""
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        for member in typing.get_args(annotation):
            yield from members(member)
    elif hasattr(annotation, "__metadata__"):
        yield from members(typing.get_args(annotation)[0])
    else:
        yield annotation


def _model(annotation: object) -> type[BaseModel] | None:
    return next((one for one in members(annotation) if isinstance(one, type) and issubclass(one, BaseModel)), None)


def _element(annotation: Annotation) -> Annotation:
    for one in members(annotation):
        if typing.get_origin(one) in {dict, list}:
            return typing.get_args(one)[-1]
    return None
