"""Writes a change to Tryton by methods of its models: looks before a second create, and locks what it has read.

A call's path is `model.method`. A body that is an object holds the values of a record: `create` gets it in a list, any
other method the id before it; without a body a method gets the id alone, as buttons do. A body that is a list holds the
method's arguments as they are. A dotted key finds the record that a field refers to: `unit.symbol: u` is the unit
whose symbol is u; when there are several, it is the oldest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from erpcrm_orchestration.clients.frame import WriterFrame, several
from erpcrm_orchestration.clients.http import AnswerLost, AnswerTooLarge
from erpcrm_orchestration.clients.rest_request import filled
from erpcrm_orchestration.clients.tryton_json import as_field, plain, typed
from erpcrm_orchestration.clients.tryton_rpc import TrytonSession, Unreadable
from erpcrm_orchestration.domain.connection import Call, Writing
from erpcrm_orchestration.domain.errors import PermanentFailure, SourceError
from erpcrm_orchestration.domain.json_path import ABSENT, at
from erpcrm_orchestration.domain.received import Change, UnknownOutcome, Written
from erpcrm_orchestration.domain.values import shown

LISTS = frozenset({"one2many", "many2many"})


class TrytonWriter(WriterFrame):
    """Writes to one model."""

    def __init__(self, session: TrytonSession, writing: Writing, where: str) -> None:
        super().__init__(writing, where)
        self._session = session

    def _create(self, call: Call, change: Change, values: Mapping[str, object]) -> Written:
        if change.doubtful:
            found = self._sought(values)
            if found is not None:
                return Written(found, found=True)
        result = self._sent(call, values, {})
        numbers = result if isinstance(result, list) else [result]
        if len(numbers) != 1 or not isinstance(numbers[0], int):
            told = "created, but no id in the answer"
            raise UnknownOutcome(PermanentFailure("E-SRC-056", self._where, told, "correct write.create of the connector"))
        return Written(str(numbers[0]))

    def _update(self, call: Call, change: Change, values: Mapping[str, object]) -> Written:
        if call.body is not None and filled(call.body, values) is ABSENT:
            return Written(change.external_id)
        held = self._held(values)
        refusal = self._refusal(held)
        if refusal is not None:
            return Written(change.external_id, conflict=refusal)
        self._sent(call, values, self._lock(call, held, values))
        return Written(change.external_id)

    def _sent(self, call: Call, values: Mapping[str, object], context: Mapping[str, object]) -> object:
        model, method = _split(call.path, self._where)
        arguments = self._arguments(call, model, method, values)
        # The login comes before, so that a lost answer is always that of the change itself.
        self._session.begin()
        try:
            return self._session.model(model, method, arguments, context).value
        except (AnswerLost, AnswerTooLarge, Unreadable) as lost:
            raise UnknownOutcome(lost) from None
        except SourceError as failure:
            raise failure.as_refusal() from None

    def _arguments(self, call: Call, model: str, method: str, values: Mapping[str, object]) -> list[object]:
        content = ABSENT if call.body is None else filled(call.body, values)
        if isinstance(content, list):
            return [typed(one) for one in content]
        record = self._record(model, content) if isinstance(content, Mapping) else None
        if method == "create":
            return [[record or {}]]
        return [[values["id"]]] if record is None else [[values["id"]], record]

    def _record(self, model: str, values: Mapping[str, object]) -> dict[str, object]:
        """Return the values of a record with the types of the model's fields, those of its lines included."""
        types = self._session.types(model, [name.partition(".")[0] for name in values])
        record: dict[str, object] = {}
        for name, value in values.items():
            field, _, by = name.partition(".")
            described = types.get(field, {})
            if not by and value and _has_no_rows(value):
                continue
            record[field] = self._found(described, by, name, value) if by else self._field(described, name, value)
        return record

    def _found(self, described: Mapping[str, object], by: str, name: str, value: object) -> int:
        """Return the id of the record, of those that the field may refer to, whose field `by` has the value."""
        relation = str(described.get("relation"))
        wanted = self._field(self._session.types(relation, [by]).get(by, {}), name, value)
        numbers = self._session.model(relation, "search", [[[by, "=", wanted]], 0, 1, [["id", "ASC"]]]).value
        if not isinstance(numbers, list) or not numbers or not isinstance(numbers[0], int):
            found = f"no {relation} whose {by} is {shown(str(value))}"
            raise PermanentFailure(
                "E-SRC-059", f"{self._where} {name}", found, "add it in the system, or correct the connector"
            )
        return numbers[0]

    def _field(self, described: Mapping[str, object], name: str, value: object) -> object:
        kind, relation = str(described.get("type")), described.get("relation")
        if kind in LISTS and isinstance(value, list) and relation:
            return [self._command(str(relation), command) for command in value]
        return as_field(value, kind, f"{self._where} {name}")

    def _command(self, relation: str, command: object) -> object:
        """Return a command for a list, such as ["create", [{...}]], with the types of the lines' fields."""
        if not isinstance(command, Sequence) or isinstance(command, str):
            return int(str(command))
        word, *parts = command
        return [word, *(self._part(relation, part) for part in parts)]

    def _part(self, relation: str, part: object) -> object:
        if isinstance(part, list):
            return [self._part(relation, one) for one in part]
        return self._record(relation, part) if isinstance(part, Mapping) else int(str(part))

    def _sought(self, values: Mapping[str, object]) -> str | None:
        """Return the id of the record that an earlier attempt made, None when there is none."""
        call = self._writing.find
        if call is None:
            raise self._blind()
        domain = filled(json.loads(call.query.get("domain", "[]")), values)
        if domain is ABSENT or not domain:
            raise PermanentFailure("E-SRC-057", self._where, "`find` has no value to look for", "correct the connector")
        found = self._session.model(call.path, "search", [typed(domain), 0, 2, [["id", "ASC"]]], {"active_test": False})
        numbers = found.value if isinstance(found.value, list) else []
        if len(numbers) > 1:
            raise several(self._where, f"{len(numbers)} records or more")
        return str(numbers[0]) if numbers else None

    def _held(self, values: Mapping[str, object]) -> object | None:
        call = self._writing.check
        if call is None:
            return None
        wanted = [name.strip() for name in call.query.get("fields", "").split(",") if name.strip()]
        names = [*dict.fromkeys([*wanted, *self._writing.refuse_when, "_timestamp"])]
        rows = self._session.model(call.path, "read", [[values["id"]], names]).value
        return plain(rows[0]) if isinstance(rows, list) and rows else None

    def _lock(self, call: Call, held: object | None, values: Mapping[str, object]) -> dict[str, object]:
        """Return the context by which Tryton refuses the write when somebody was faster."""
        stamp = at(held, "_timestamp") if held is not None else ABSENT
        if not isinstance(stamp, str):
            return {}
        return {"_timestamp": {f"{_split(call.path, self._where)[0]},{values['id']}": stamp}}

    def _id(self, change: Change) -> int | None:
        number = change.external_id
        if number is None:
            return None
        if not (number.isascii() and number.isdigit()):
            raise PermanentFailure(
                "E-SRC-016", self._where, f"{shown(number)} is no id of Tryton", "correct the link or drop the change"
            )
        return int(number)


def _has_no_rows(value: object) -> bool:
    """True for commands none of whose rows had a value: Tryton refuses a command without rows."""
    return isinstance(value, list) and all(isinstance(one, list) and len(one) == 1 for one in value)


def _split(path: str, where: str) -> tuple[str, str]:
    model, _, method = path.rpartition(".")
    if "." not in model:
        raise PermanentFailure("E-SRC-051", where, f"{shown(path)} is not model.method", "correct the connector")
    return model, method
