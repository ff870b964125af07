"""A received record as a form: each value with its path, those that the error names marked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from erpcrm_orchestration.domain.correction import Assignment, written
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.strict_json import loads

MOST_FIELDS = 400
"""A record with more values is corrected as a whole, as text."""
_PATH = re.compile(r"\$\.([^\s:;,]+)")


@dataclass(frozen=True)
class FormField:
    """A value at a path; `text` as a person types it. `is_text`: a JSON text, everything else is typed as JSON."""

    path: str
    text: str
    is_text: bool
    is_wrong: bool = False
    is_missing: bool = False


def form_fields(payload: str, *texts: str | None) -> list[FormField] | None:
    """Return the values of a payload, those whose path stands in one of the texts marked, missing ones added.

    None when the payload is no JSON object or has too many values: it is corrected as a whole then.
    """
    try:
        record = loads(payload)
    except InputError:
        return None
    if not isinstance(record, dict):
        return None
    wrong = {path for text in texts if text for path in _PATH.findall(text)}
    found: list[FormField] = []
    for path, value in leaves(record):
        if len(found) == MOST_FIELDS:
            return None
        is_text = isinstance(value, str)
        found.append(FormField(path, str(value) if is_text else written(value), is_text, path in wrong))
    present = {one.path for one in found}
    missing = [path for path in sorted(wrong) if path not in present and not any(one.startswith(path + ".") for one in present)]
    return found + [FormField(path, "", True, is_wrong=True, is_missing=True) for path in missing]


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield every value that is no object and no list, and the empty ones of those, with its dotted path."""
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from leaves(one, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for position, one in enumerate(value):
            yield from leaves(one, f"{path}.{position}" if path else str(position))
    else:
        yield path, value


def assignments(payload: str, typed: Mapping[str, str]) -> list[Assignment]:
    """Return what a form changes: only values that differ from what stands there; an empty missing field is left out."""
    present = {one.path: one for one in form_fields(payload) or ()}
    made = []
    for path, text in typed.items():
        clean = text.replace("\r\n", "\n")
        field = present.get(path)
        if field is None and clean == "":
            continue
        if field is None or clean != field.text:
            made.append(Assignment(path, clean, is_json=field is not None and not field.is_text))
    return made
