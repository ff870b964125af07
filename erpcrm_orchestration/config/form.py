"""Entries of the configuration as fields of a form, made from the models that check the YAML: one validation serves both."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from erpcrm_orchestration.config.export import block_yaml
from erpcrm_orchestration.config.faults import members
from erpcrm_orchestration.config.folder import Reading, read_documents
from erpcrm_orchestration.config.models import SECTIONS
from erpcrm_orchestration.config.places import Document, Path, Place
from erpcrm_orchestration.config.scalars import WHOLE
from erpcrm_orchestration.config.strict_yaml import parse
from erpcrm_orchestration.domain.errors import Findings

Kind = Literal["text", "long", "number", "flag", "choice", "yaml"]
FORM = Place("form", 0, 0)
_LONG = frozenset({"text", "html"})


@dataclass(frozen=True)
class FormField:
    """A field of an entry: `path` with dots, `text` as a person types it; `yaml` is for lists and mappings."""

    path: str
    description: str
    kind: Kind
    text: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False


def form_fields(section: str, content: Mapping[str, Any]) -> list[FormField]:
    """Return the fields of an entry of a section, filled with `content` as `config.plain` gives it with defaults."""
    return list(_fields(SECTIONS[section][0], content, ()))


def read_form(section: str, code: str, typed: Mapping[str, str]) -> Reading:
    """Return what a form says of one entry; raise Findings for lists and mappings that are no YAML."""
    model, code_name = SECTIONS[section]
    faults: list[Exception] = []
    data = _read(model, typed, (), faults)
    if faults:
        raise Findings([one for fault in faults if isinstance(fault, Findings) for one in fault.errors])
    path: Path = (section, code) if code_name else (section,)
    document = Document(data={section: {code: data} if code_name else data})
    document.values = dict.fromkeys(_paths(data, path), FORM)
    document.keys = {(section,): FORM, **document.values}
    return read_documents([document])


def _fields(model: type[BaseModel], content: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[FormField]:
    for name, field in _named(model):
        path, value = (*above, name), content.get(name)
        kind, inner, choices = _kind(name, field)
        if inner is not None:
            if value is not None or not _may_be_none(field):
                yield from _fields(inner, value or {}, path)
                continue
            kind = "yaml"
        yield FormField(
            ".".join(path), field.description or "", kind, _text(value, kind), choices, field.is_required() and kind != "flag"
        )


def _read(model: type[BaseModel], typed: Mapping[str, str], above: tuple[str, ...], faults: list[Exception]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in _named(model):
        path = ".".join((*above, name))
        kind, inner, _ = _kind(name, field)
        if inner is not None and path not in typed:
            below = _read(inner, typed, (*above, name), faults)
            if below:
                found[name] = below
            continue
        if kind == "flag":
            if f"{path}?" in typed:
                found[name] = path in typed
            continue
        text = typed.get(path, "").replace("\r\n", "\n")
        if text.strip():
            found[name] = _typed(text, "yaml" if inner is not None else kind, path, faults)
        elif field.is_required() and path in typed and kind != "yaml":
            found[name] = text
    return found


def _typed(text: str, kind: Kind, path: str, faults: list[Exception]) -> object:
    if kind == "number":
        return int(text.strip()[:18]) if WHOLE.fullmatch(text.strip()) else text
    if kind == "long":
        return text if text.endswith("\n") else text + "\n"
    if kind != "yaml":
        return text.strip()
    document = parse("value:\n" + "".join(f"  {line}\n" for line in text.split("\n")), name=path)
    if document.faults:
        faults.append(Findings([one.error for one in document.faults]))
        return None
    return document.data.get("value")


def _named(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def _kind(name: str, field: FieldInfo) -> tuple[Kind, type[BaseModel] | None, tuple[str, ...]]:
    """Return how a field is typed, the model of its own fields, and the words that it may be."""
    kinds = [one for one in members(field.annotation) if one is not types.NoneType]
    model = next((one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)), None)
    words = tuple(word for one in kinds for word in _words(one))
    if words:
        return "choice", None, words
    if model is not None or any(typing.get_origin(one) in {dict, list, tuple} for one in kinds):
        return "yaml", model, ()
    if bool in kinds or int in kinds:
        return "flag" if bool in kinds else "number", None, ()
    return "long" if name in _LONG else "text", None, ()


def _words(kind: Any) -> tuple[str, ...]:  # noqa: ANN401  a type
    """Return the words of an enumeration, none of another type."""
    if typing.get_origin(kind) is Literal:
        return tuple(str(word) for word in typing.get_args(kind))
    return tuple(str(word.value) for word in kind) if isinstance(kind, type) and issubclass(kind, Enum) else ()


def _may_be_none(field: FieldInfo) -> bool:
    return types.NoneType in set(members(field.annotation))


def _text(value: object, kind: Kind) -> str:
    if value is None or value in ([], {}):
        return ""
    if kind == "flag":
        return "true" if value else ""
    return block_yaml(value).rstrip("\n") if kind == "yaml" else str(value)


def _paths(value: object, path: Path) -> Iterator[Path]:
    yield path
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _paths(one, (*path, key))
    elif isinstance(value, list):
        for position, one in enumerate(value):
            yield from _paths(one, (*path, position))
