"""Which records of a stream are integrated: the conditions of its mapping that count where the connection has its switches."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from erpcrm_orchestration.domain.casts import Json, words
from erpcrm_orchestration.domain.connection import Condition
from erpcrm_orchestration.domain.json_path import here
from erpcrm_orchestration.domain.values import shown

LEFT_OUT = "left out"
"""Begins the reason of a record that a condition leaves out."""


class RecordFilter:
    """The conditions that count for one connection; a record passes when all of them hold."""

    def __init__(self, where: Mapping[str, Condition], switches: Collection[str]) -> None:
        self._conditions = [(path, one) for path, one in where.items() if one.counts(switches)]

    def reason(self, record: Mapping[str, Json]) -> str | None:
        """Return why a record is left out, None when it passes; raise Refused for a list or an object among words."""
        for path, condition in self._conditions:
            found = here(record, path)
            if not _holds(condition, found, f"$.{path}"):
                return f"{LEFT_OUT}: $.{path} {_told(condition, found)}"
        return None


def _holds(condition: Condition, found: Json, path: str) -> bool:
    if condition.present is not None:
        return (found not in (None, "")) is condition.present
    if found is None:
        return not condition.one_of
    word = words(found, path)
    return word in condition.one_of if condition.one_of else word not in condition.none_of


def _told(condition: Condition, found: Json) -> str:
    """Return what stands there and what should."""
    stands = "is empty" if found in (None, "") else f"is {shown(str(found))}"
    if condition.present is not None:
        return stands if condition.present else f"{stands}, it has to be empty"
    if condition.one_of:
        return f"{stands}, not {' or '.join(condition.one_of)}"
    return stands
