"""Texts of mails with fields in them, replaced in one pass and never twice.

`FORM.<field>` takes a field of the interaction state, `%name%` a value by its name, `%%` is a per cent sign.
FORM and the per cent signs are exact: `form.html` is plain text. The name after them is read without regard to case, so
that FORM.TOUT, FORM.tout and %TOUT% are one field. A value is text and nothing else: what looks like a field in it stays.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from html import escape
from typing import Literal

from erpcrm_orchestration.domain.errors import InputError, did_you_mean

Part = Literal["subject", "text", "html"]
Missing = Literal["empty", "refuse"]

STATE_FIELDS = (
    "dossier_code",
    "crm_project_code",
    "last_sync_at",
    "sync_state",
    "sync_state_label",
    "alert_delay_min",
    "elapsed_min",
    "never_synced",
    "last_refreshed_at",
    "syncs_today",
    "interventions_today_not_ok",
    "interventions_not_ok",
    "times_not_ok",
    "documents_not_ok",
    "syncs_with_rejects",
    "anomaly_started_at",
)
"""The columns of supervision.interaction_state that a person may see, in the order in which TOUT prints them."""

ALL_FIELDS = "TOUT"
SYNONYMS = {"etatsynchro": "sync_state_label"}
FIELDS = frozenset({*STATE_FIELDS, *SYNONYMS, ALL_FIELDS})
"""Every name that may follow `FORM.`"""

_BY_CASE = {name.casefold(): name for name in FIELDS}
_FIELD = re.compile(
    r"(?<![A-Za-z0-9_])FORM\.(?P<form>[A-Za-z_][A-Za-z0-9_]*)|%(?:(?P<percent>%)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)%)?"
)


def fields_of(text: str) -> tuple[str, ...]:
    """Return every field of the text as it is written, `FORM.x` or `%x%`, each once, in order."""
    return tuple(dict.fromkeys(found[0] for found in _FIELD.finditer(text) if found["form"] or found["name"]))


def unknown_fields(text: str) -> tuple[str, ...]:
    """Return the names after `FORM.` or within `%` that are no field, each once, in order, without FORM or per cent signs."""
    names = (found["form"] or found["name"] for found in _FIELD.finditer(text))
    return tuple(dict.fromkeys(name for name in names if name and name.casefold() not in _BY_CASE))


def problems(text: str, *, where: str, known: Iterable[str] = FIELDS) -> tuple[InputError, ...]:
    """Return everything that would make the text fail later: unknown fields (83), unclosed per cent signs (84), NUL (79)."""
    names = {name.casefold(): name for name in known}
    errors = list(_bad_characters(text, where))
    for found in _FIELD.finditer(text):
        name = found["form"] or found["name"]
        if name and name.casefold() not in names:
            errors.append(_unknown(found[0], name, names.values(), where))
        elif found[0] == "%":
            errors.append(_unclosed(text, found.start(), where))
    return tuple({str(error): error for error in errors}.values())


def render(
    text: str, values: Mapping[str, str | None], *, part: Part, missing: Missing = "empty", where: str | None = None
) -> str:
    """Return the text with its fields replaced by the values, escaped for the part that it becomes.

    A value that is None or absent becomes nothing, or is refused with `missing="refuse"` (87). Names are compared without
    regard to case. Raises InputError: E-MAIL-078 a control character in a subject, 079 NUL or half a surrogate, 083 an
    unknown field, 084 a per cent sign that closes nothing.
    """
    place = where or part
    given = {name.casefold(): value for name, value in values.items()}

    def replaced(found: re.Match[str]) -> str:
        if found["percent"]:
            return "%"
        name = found["form"] or found["name"]
        if not name:
            raise _unclosed(text, found.start(), place)
        value = _value(name, found[0], given, missing=missing, where=place)
        _refuse_characters(value, found[0], part=part, where=place)
        return escape(value).replace("\n", "<br>\n") if part == "html" else value

    _refuse_characters(text, "the template", part=part, where=place)
    return _FIELD.sub(replaced, text)


def _value(name: str, written: str, given: Mapping[str, str | None], *, missing: Missing, where: str) -> str:
    key = name.casefold()
    if key == ALL_FIELDS.casefold() and key not in given:
        return "\n".join(f"{field}: {given.get(field) or ''}" for field in STATE_FIELDS)
    if key not in given and key not in _BY_CASE:
        raise _unknown(written, name, {*FIELDS, *given}, where)
    value = given.get(key)
    if value is None:
        value = given.get(SYNONYMS.get(key, key))
    if value is None and missing == "refuse":
        raise InputError("E-MAIL-087", where, f"{written} has no value", "give it one, or let the template leave it empty")
    return value or ""


def _unknown(written: str, name: str, known: Iterable[str], where: str) -> InputError:
    return InputError("E-MAIL-083", where, f"unknown field {written}", did_you_mean(name, known))


def _unclosed(text: str, position: int, where: str) -> InputError:
    return InputError(
        "E-MAIL-084", where, f"per cent sign at character {position + 1} closes no name", "write %% for a per cent sign"
    )


def _refuse_characters(value: str, name: str, *, part: Part, where: str) -> None:
    for error in _bad_characters(value, where, name=name):
        raise error
    if part != "subject":
        return
    for char in value:
        if unicodedata.category(char) in {"Cc", "Zl", "Zp"}:
            raise InputError(
                "E-MAIL-078",
                where,
                f"{name} contains control character U+{ord(char):04X}",
                "a subject is one line of plain text",
            )


def _bad_characters(value: str, where: str, *, name: str = "the template") -> Iterable[InputError]:
    if "\0" in value:
        yield InputError("E-MAIL-079", where, f"{name} contains NUL (U+0000)", "remove it: no mail can carry it")
    for char in value:
        if unicodedata.category(char) == "Cs":
            yield InputError(
                "E-MAIL-079", where, f"{name} contains half a surrogate (U+{ord(char):04X})", "send whole characters"
            )
            return
