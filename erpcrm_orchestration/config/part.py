"""The mapping of the YAML that every model is: strict, without unknown keys, made into a value of the domain."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Value = Any
"""A value of the domain, of the class that belongs to the model."""


def given(kind: type[DataclassInstance], name: str) -> Value:
    """Return the default that the domain gives a field."""
    field = next(one for one in fields(kind) if one.name == name)
    if field.default is not MISSING:
        return field.default
    if field.default_factory is not MISSING:
        return field.default_factory()
    raise TypeError(f"{kind.__name__}.{name} has no default")


class Part(BaseModel):
    """A mapping of the YAML that becomes a value of the domain. `value_type` is that value's class."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    value_type: ClassVar[type[Any]]

    def to_value(self, **codes: Value) -> Value:
        """Return the value of the domain; what the YAML does not say keeps the domain's default."""
        arguments = {name: as_value(getattr(self, name)) for name in self.model_fields_set}
        return self.value_type(**codes, **arguments)


class Columns(Part):
    """A mapping of our names to the columns of a table; it becomes a mapping of those that are given."""

    def to_value(self, **codes: Value) -> dict[str, str]:
        return {name: getattr(self, name) for name in type(self).model_fields if getattr(self, name) is not None}


def as_value(found: object) -> Value:
    """Return what the domain holds for a part, a list or a mapping; what a mapping has as nothing is left out."""
    if isinstance(found, Part):
        return found.to_value()
    if isinstance(found, list):
        return tuple(as_value(one) for one in found)
    if isinstance(found, dict):
        return {key: as_value(one) for key, one in found.items() if one is not None}
    return found
