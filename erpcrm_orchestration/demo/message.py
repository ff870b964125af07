"""What a simulated system is asked and what it answers, apart from how it travels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One request; header names are in lower case, of repeated query parameters the last one counts."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    def json(self) -> Json:
        """Return the body as a JSON object; raise Refused (400) for anything else."""
        try:
            value = json.loads(self.body or b"{}")
        except ValueError as error:
            raise Refused(400, "invalid_json", f"the body is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise Refused(400, "invalid_json", "the body is not a JSON object")
        return value

    def number(self, name: str, default: int, *, least: int = 0, most: int = 1_000_000_000) -> int:
        """Return a whole number of the query; raise Refused (400) when it is none or out of range."""
        text = self.query.get(name, str(default))
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise Refused(400, "invalid_param", f"Invalid parameter(s): {name}")
        return int(text)


@dataclass(frozen=True)
class Answer:
    """Status, whole body, and headers besides Content-Length and Date."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(status: int, value: object, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer whose body is the value as JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    return Answer(status, body, {"Content-Type": "application/json; charset=UTF-8", **(headers or {})})


class Refused(Exception):
    """A system refuses a request; `more` is added to the answer's body."""

    def __init__(self, status: int, code: str, message: str, more: Mapping[str, object] | None = None) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.more = more or {}
        super().__init__(message)
