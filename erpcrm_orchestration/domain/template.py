"""Texts of mails with fields in them, replaced in one pass and never twice.

`FORM.<field>` takes a field of the interaction state, `%name%` and `{{name}}` a value by its name, `%%` is a per cent sign.
FORM, the per cent signs and the braces are exact: `form.html` is plain text. The name in them is read without regard to case,
so that FORM.TOUT, FORM.tout and %TOUT% are one field. A value is text, or a list of texts, and nothing else: what looks like a
field in it stays.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Literal

from erpcrm_orchestration.domain.errors import InputError, did_you_mean

Part = Literal["subject", "text", "html"]
Missing = Literal["empty", "refuse"]
Value = str | Sequence[str] | None
"""A list becomes lines of a text, a list of HTML, and one line of a subject."""

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

ACCOUNT_PLACEHOLDERS = frozenset({"account.name", "account.first_name", "today", "responsible.name"})
"""What a mail to an account may say of it, as `{{account.name}}`."""

MONITOR_PLACEHOLDERS = frozenset({"accounts", "period_days", "today", "responsible.name"})
"""What the mail on accounts without movement may say; `accounts` is a list."""

PLACEHOLDERS = ACCOUNT_PLACEHOLDERS | MONITOR_PLACEHOLDERS

_BY_CASE = {name.casefold(): name for name in FIELDS}
_FIELD = re.compile(
    r"(?<![A-Za-z0-9_])FORM\.(?P<form>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\{\{\s*(?P<placeholder>[^{}\r\n]*?)\s*\}\}"
    r"|%(?:(?P<percent>%)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)%)?"
)


def _name_of(found: re.Match[str]) -> str | None:
    """Return the name of a field that was found, None for a per cent sign."""
    name: str | None = found["form"] or found["name"] or found["placeholder"]
    return name


def fields_of(text: str) -> tuple[str, ...]:
    """Return every field of the text as it is written, `FORM.x`, `%x%` or `{{x}}`, each once, in order."""
    return tuple(dict.fromkeys(found[0] for found in _FIELD.finditer(text) if not found[0].startswith("%") or found["name"]))


def unknown_fields(text: str) -> tuple[str, ...]:
    """Return the names after `FORM.`, within `%` or `{{}}` that are no field of the state, each once, in order."""
    names = (_name_of(found) for found in _FIELD.finditer(text))
    return tuple(dict.fromkeys(name for name in names if name and name.casefold() not in _BY_CASE))


def problems(text: str, *, where: str, known: Iterable[str] = FIELDS) -> tuple[InputError, ...]:
    """Return everything that would make the text fail later: unknown fields (83), unclosed per cent signs (84), NUL (79)."""
    names = {name.casefold(): name for name in known}
    errors = list(_bad_characters(text, where))
    for found in _FIELD.finditer(text):
        name = _name_of(found)
        if name is not None and name.casefold() not in names:
            errors.append(_unknown(found[0], name, names.values(), where))
        elif found[0] == "%":
            errors.append(_unclosed(text, found.start(), where))
    return tuple({str(error): error for error in errors}.values())


def render(text: str, values: Mapping[str, Value], *, part: Part, missing: Missing = "empty", where: str | None = None) -> str:
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
        name = _name_of(found)
        if name is None:
            raise _unclosed(text, found.start(), place)
        value = _value(name, found[0], given, missing=missing, where=place)
        for one in [value] if isinstance(value, str) else value:
            _refuse_characters(one, found[0], part=part, where=place)
        return _shown(value, part)

    _refuse_characters(text, "the template", part=part, where=place)
    return _FIELD.sub(replaced, text)


def _shown(value: str | Sequence[str], part: Part) -> str:
    if isinstance(value, str):
        return escape(value).replace("\n", "<br>\n") if part == "html" else value
    match part:
        case "html":
            return "<ul>\n" + "".join(f"<li>{escape(one)}</li>\n" for one in value) + "</ul>"
        case "text":
            return "\n".join(f"- {one}" for one in value)
        case _:
            return ", ".join(value)


def _value(name: str, written: str, given: Mapping[str, Value], *, missing: Missing, where: str) -> str | Sequence[str]:
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
