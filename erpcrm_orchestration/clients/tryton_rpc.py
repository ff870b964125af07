"""A session with one database of a Tryton server by JSON-RPC: login, calls, and what its errors mean."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import quote

from erpcrm_orchestration.clients.http import Answer, AnswerLost, Request
from erpcrm_orchestration.clients.rest_request import encoded
from erpcrm_orchestration.clients.rest_session import RestSession, Surroundings, parsed
from erpcrm_orchestration.domain.connection import Auth, Connection, Connector
from erpcrm_orchestration.domain.errors import PermanentFailure, SourceError, TransientFailure
from erpcrm_orchestration.domain.values import shown

PASSING = frozenset(
    {"ConcurrencyException", "DatabaseOperationalError", "DatabaseTimeoutError", "OperationalError", "TransactionError",
     "TimeoutException", "RateLimitException", "BackendError"}
)  # fmt: skip
"""The errors that another attempt may not meet."""
LOGINS = 3
"""A server that has just started may answer the first login with 404."""

T = TypeVar("T")


class Unreadable(PermanentFailure):
    """The answer is not the server's own, no JSON or another one: it does not tell whether the call was carried out."""


@dataclass(frozen=True)
class Result:
    """What a method returned, with the answer that held it."""

    value: object
    answer: Answer


class TrytonSession:
    """Calls methods of models as one user. Nothing is sent before the first call; `requests` counts what was sent."""

    def __init__(
        self, connector: Connector, connection: Connection, environment: Mapping[str, str], around: Surroundings | None = None
    ) -> None:
        """Raise PermanentFailure E-SRC-051 without a database, user or password."""
        self._rest = RestSession(replace(connector, auth=Auth()), connection, environment, around)
        self.where = self._rest.where
        self._user = self._needed(self._rest.credentials, "user", "credentials")
        self._password = self._needed(self._rest.credentials, "password", "credentials")
        self._database = self._needed(connection.options, "database", "options")
        self._proof: str | None = None
        self._context: dict[str, object] = {}
        self._types: dict[str, dict[str, Mapping[str, object]]] = {}

    @property
    def requests(self) -> int:
        return self._rest.requests

    def close(self) -> None:
        """Close the connection."""
        self._rest.close()

    def begin(self) -> None:
        """Log in, unless that was done; raise CredentialsRefused E-SRC-049 for a wrong user or password."""
        if self._proof is None:
            self._proof = self._login()
            self._context = _mapping(self._call("model.res.user.get_preferences", [True, {}]).value)

    def model(
        self, model: str, method: str, arguments: Sequence[object], context: Mapping[str, object] | None = None
    ) -> Result:
        """Return what a method of a model gives; raise the failure that its error stands for.

        A session that has ended meanwhile is renewed once.
        """
        self.begin()
        return self._call(f"model.{model}.{method}", [*arguments, {**self._context, **(context or {})}])

    def types(self, model: str, names: Sequence[str]) -> Mapping[str, Mapping[str, object]]:
        """Return `type` and `relation` of the fields of a model, asked for once; a name that it does not have is left out."""
        known = self._types.setdefault(model, {})
        missing = sorted({name for name in names if name not in known})
        if missing:
            found = _mapping(self.model(model, "fields_get", [missing]).value)
            known |= {name: _mapping(found.get(name)) for name in missing}
        return {name: known[name] for name in names if known[name]}

    def patiently(self, once: Callable[[], T]) -> T:
        """Return what `once` returns, tried up to three times when its failure may pass."""
        return self._rest.patiently(once)

    def _needed(self, values: Mapping[str, str], name: str, place: str) -> str:
        if not values.get(name):
            raise PermanentFailure("E-SRC-051", self._rest.where, f"no {name}", f"give it in the {place} of the connection")
        return values[name]

    def _login(self) -> str:
        for attempt in range(1, LOGINS + 1):
            answer = self._post("common.db.login", [self._user, {"password": self._password}])
            if answer.status != 404 or attempt == LOGINS:
                break
        found = self._result(answer)
        if not isinstance(found, list) or len(found) < 2:
            raise PermanentFailure("E-SRC-055", answer.where, "no session in the answer", "check the version of the server")
        return "Session " + b64encode(f"{self._user}:{found[0]}:{found[1]}".encode()).decode()

    def _call(self, method: str, params: Sequence[object]) -> Result:
        answer = self._post(method, params)
        if answer.status == 401:
            self._proof = self._login()
            answer = self._post(method, params)
        return Result(self._result(answer), answer)

    def _post(self, method: str, params: Sequence[object]) -> Answer:
        proof = {"Authorization": self._proof} if self._proof and method != "common.db.login" else {}
        body = encoded({"id": self._rest.requests + 1, "method": method, "params": list(params)})
        headers = {"Content-Type": "application/json", **proof}
        path = f"{quote(self._database, safe='')}/rpc/"
        return self._rest.exchange(Request("POST", path, {}, headers, body, method))

    def _result(self, answer: Answer) -> object:
        failure = self._rest.failure(answer)
        if failure is not None:
            raise _lost(failure) if answer.status >= 500 and answer.status != 503 else failure
        try:
            content = _mapping(parsed(answer))
        except PermanentFailure as unread:
            raise Unreadable(unread.code, unread.where, unread.found, unread.remedy) from None
        if content.get("error"):
            raise told(content["error"], answer.where)
        if "result" not in content:
            raise Unreadable("E-SRC-055", answer.where, "neither a result nor an error", "check the url of the connection")
        return content["result"]


def told(error: object, where: str) -> SourceError:
    """Return the failure that an error of the server stands for: a refusal, or one that may pass."""
    name, *rest = error if isinstance(error, list) else [error]
    words = rest[0] if rest else ""
    text = next((str(one) for one in (words if isinstance(words, list) else [words]) if one), "")
    if str(name) == "UserWarning" and isinstance(words, list) and len(words) > 1:
        text = str(words[1])
    found = f"the server says {name}: {shown(text, 160)}" if text else f"the server says {shown(str(name), 160)}"
    if str(name) in PASSING:
        return TransientFailure("E-SRC-050", where, found, "it is tried again")
    return PermanentFailure("E-SRC-050", where, found, "correct the connector or what is sent")


def _lost(failure: SourceError) -> AnswerLost:
    """Return the failure of an answer that does not tell whether the call was carried out, such as a gateway's."""
    return AnswerLost(failure.code, failure.where, failure.found, "it is tried again")


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
