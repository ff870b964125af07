"""`field=value` words of the command line as the same data that the YAML holds, so that one validation serves both."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

from erpcrm_orchestration.config.faults import field_at, members
from erpcrm_orchestration.config.folder import Reading, read_documents
from erpcrm_orchestration.config.models import DossierPart
from erpcrm_orchestration.config.places import Document, Path, Place
from erpcrm_orchestration.config.plain import plain
from erpcrm_orchestration.config.presets import laid_over
from erpcrm_orchestration.config.scalars import BOOLEANS, NOTHING, WHOLE
from erpcrm_orchestration.domain.configuration import Dossier
from erpcrm_orchestration.domain.errors import InputError

COMMAND_LINE = Place("command line", 0, 0)


def read_dossier(code: str, words: Sequence[str], *, current: Dossier | None = None) -> Reading:
    """Return what `field=value` words say of a dossier, laid over what it is now.

    Raises InputError E-CLI-050 for a word without `=` and for a field that stands twice.
    """
    given: dict[str, Any] = {}
    values: dict[Path, Place] = {}
    for word in words:
        name, equals, text = word.partition("=")
        path: Path = tuple(name.split("."))
        if not equals or not all(path):
            raise InputError(
                "E-CLI-050", "erpcrm dossier", f"{word!r} is no assignment", "write field=value, as alert_delay_min=30"
            )
        if ("dossiers", code, *path) in values:
            raise InputError("E-CLI-050", "erpcrm dossier", f"{name} stands twice", "write every field once")
        values["dossiers", code, *path] = COMMAND_LINE
        given = laid_over(given, _nested(path, _read(path, text)))
    now = plain(current, defaults=False, without="dossier_code") if current else {}
    data: dict[str | int, Any] = {"dossiers": {code: laid_over(now, given)}}
    keys: dict[Path, Place] = {("dossiers",): COMMAND_LINE, ("dossiers", code): COMMAND_LINE}
    return read_documents([Document(data=data, values=values, keys=keys)])


def _nested(path: Path, content: object) -> dict[str, Any]:
    for name in reversed(path):
        content = {str(name): content}
    return content if isinstance(content, dict) else {}


def _read(path: Path, text: str) -> object:
    """Return the text as the kind of value that the field takes; what does not fit stays text and is refused later."""
    field = field_at(DossierPart, path)
    kinds = set(members(getattr(field, "annotation", None)))
    if types.NoneType in kinds and text in NOTHING:
        return None
    if int in kinds and WHOLE.fullmatch(text):
        return int(text[:18])
    if bool in kinds and text in BOOLEANS:
        return BOOLEANS[text]
    return text.split(",") if path[-1] == "days" else text
