"""From a row of a source to a row of ours: strict, each refusal with its reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from erpcrm_orchestration.domain.automaton import ENTRY_STATE
from erpcrm_orchestration.domain.configuration import DatasetMapping, LogbookMapping, Source, StateGroup
from erpcrm_orchestration.domain.errors import InputError, did_you_mean
from erpcrm_orchestration.domain.intake import RawRow, Stream
from erpcrm_orchestration.domain.values import (
    count,
    instant,
    optional_text,
    readings,
    required_text,
    shown,
    text,
    word,
)

OUTCOMES = ("OK", "REJECT", "ERROR")
ORIGINS = ("CRM", "EDI", "MAIL", "OTHER")


@dataclass(frozen=True)
class RowReader:
    """Reads the rows of one stream. `categories`: type code to category of every known dataset type."""

    source: Source
    stream: Stream
    categories: Mapping[str, str]

    def key(self, raw: RawRow) -> str:
        """Return the key of the row; for a row without a usable one, a name made from its content."""
        try:
            return required_text(raw.values["key"], where="key")
        except InputError:
            return "row:" + _digest(evidence(raw))

    def read(self, raw: RawRow, bound: datetime) -> tuple[Any, ...]:
        """Return the values in the order of the staging table, key first; raise InputError for a row to be refused."""
        key = required_text(raw.values["key"], where=self._where("?", "key"))
        match self.stream.kind:
            case "logbook":
                return self._line(raw, key, bound)
            case "datasets":
                return self._dataset(raw, key)
            case "tasks":
                return self._task(raw, key, bound)

    def _line(self, raw: RawRow, key: str, bound: datetime) -> tuple[Any, ...]:
        mapping = self.source.logbook or LogbookMapping("", {})
        at, other = self._at(raw, key, bound)
        outcome = self._mapped(raw, key, "outcome", mapping.outcomes, OUTCOMES, "OK")
        return (
            key,
            at,
            other,
            self._text(raw, key, "sync_id"),
            self._text(raw, key, "program"),
            required_text(raw.values["action"], where=self._where(key, "action")),
            outcome,
            self._count(raw, key, "reject_count"),
            self._text(raw, key, "message"),
        )

    def _dataset(self, raw: RawRow, key: str) -> tuple[Any, ...]:
        mapping = self.stream.mapping or DatasetMapping("", "", {})
        type_code = mapping.type_code or required_text(raw.values.get("type"), where=self._where(key, "type"))
        if type_code not in self.categories:
            raise InputError(
                "E-VAL-005",
                self._where(key, "type"),
                f"{shown(type_code)} is unknown",
                did_you_mean(type_code, self.categories),
            )
        state = required_text(raw.values["state"], where=self._where(key, "state")).strip()
        if state not in mapping.states:
            raise InputError(
                "E-VAL-005", self._where(key, "state"), f"{shown(state)} is unknown", did_you_mean(state, mapping.states)
            )
        group = mapping.states[state]
        error = self._text(raw, key, "error")
        values = (
            key,
            type_code,
            self.categories[type_code],
            self._mapped(raw, key, "origin", {}, ORIGINS, "CRM"),
            int(state) if state.isascii() and state.isdigit() and 1 <= int(state[:6]) <= 9999 else ENTRY_STATE,
            group.value,
            self._instant(raw, key, "created_at"),
            self._instant(raw, key, "updated_at"),
            error or (f"state {state} of the source" if group is StateGroup.ERROR else None),
        )
        return (*values, _digest(values))

    def _task(self, raw: RawRow, key: str, bound: datetime) -> tuple[Any, ...]:
        at, _ = self._at(raw, key, bound)
        kind = required_text(raw.values["kind"], where=self._where(key, "kind"))
        payload = {name: _carried(value, self._where(key, name)) for name, value in raw.payload.items()}
        return (key, at, kind, json.dumps(payload))

    def _at(self, raw: RawRow, key: str, bound: datetime) -> tuple[datetime, datetime | None]:
        """Return the instant of the row and its other reading in an hour that comes twice: the latest that has passed."""
        found = readings(raw.values["at"], zone=self.source.time_zone, where=self._where(key, "at"))
        if len(found) == 1:
            return found[0], None
        return (found[1], found[0]) if found[1] <= bound else (found[0], found[1])

    def _instant(self, raw: RawRow, key: str, name: str) -> datetime:
        return instant(raw.values[name], zone=self.source.time_zone, where=self._where(key, name))

    def _text(self, raw: RawRow, key: str, name: str) -> str | None:
        return optional_text(raw.values.get(name), where=self._where(key, name))

    def _count(self, raw: RawRow, key: str, name: str) -> int:
        value = raw.values.get(name)
        return 0 if value is None else count(value, where=self._where(key, name))

    def _mapped(self, raw: RawRow, key: str, name: str, words: Mapping[str, str], known: tuple[str, ...], default: str) -> str:
        if name not in raw.values or (raw.values[name] is None and "" not in words):
            return default
        value = raw.values[name]
        return words[""] if value in (None, "") and "" in words else word(value, words, known, where=self._where(key, name))

    def _where(self, key: str, name: str) -> str:
        column = self.stream.columns.get(name, name)
        return f"source {self.source.source_code} {self.stream.name} row {key} column {column}"


def evidence(raw: RawRow) -> dict[str, str | None]:
    """Return the raw values as text that can be stored; what cannot is escaped."""
    found: dict[str, str | None] = {}
    for name, value in {**raw.values, **raw.payload}.items():
        found[name] = None if value is None else str(value).encode("utf-8", "backslashreplace").decode().replace("\x00", "\\0")
    return found


def _carried(value: object, where: str) -> str | int | float | bool | None:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (float, Decimal)):
        return str(value)
    return text(value, where=where)


def _digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()[:32]
