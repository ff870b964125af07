"""A session with a REST or GraphQL system: who we are, what an answer means, and the patience for a page."""

from __future__ import annotations

import random
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from erpcrm_orchestration.clients.http import Answer, AnswerLost, HttpSession, Limits, Request, failure_of, require_json
from erpcrm_orchestration.clients.json_page import CutShort, NotThere, Slices, is_cut, records_of
from erpcrm_orchestration.clients.rest_request import build, filled, text, texts
from erpcrm_orchestration.domain.clock import Clock, SystemClock
from erpcrm_orchestration.domain.connection import Auth, Call, Connection, Connector
from erpcrm_orchestration.domain.errors import CredentialsRefused, InputError, PermanentFailure, SourceError, TransientFailure
from erpcrm_orchestration.domain.json_path import here
from erpcrm_orchestration.domain.secret import resolve
from erpcrm_orchestration.domain.strict_json import loads
from erpcrm_orchestration.domain.values import shown

ATTEMPTS = 3
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 10
"""A system that wishes for a longer pause is left to the queue, which holds no connection meanwhile."""
REFUSED_CODES = frozenset({"UNAUTHENTICATED", "FORBIDDEN", "UNAUTHORIZED", "ACCESS_DENIED"})
PASSING_CODES = frozenset({"THROTTLED", "RATE_LIMITED", "SERVICE_UNAVAILABLE"})
UNDECIDED_CODES = frozenset({"TIMEOUT", "INTERNAL_SERVER_ERROR"})
"""What was asked for may have been done nevertheless."""

T = TypeVar("T")


@dataclass(frozen=True)
class Surroundings:
    """What a session takes from outside, so that a test can hold it still. `jitter` returns 0 to 1."""

    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    clock: Clock = field(default_factory=SystemClock)


class RestSession:
    """Sends calls of one connection. `requests` counts what was sent, logins included."""

    def __init__(
        self, connector: Connector, connection: Connection, environment: Mapping[str, str], around: Surroundings | None = None
    ) -> None:
        self.where = f"connection {connection.connection_code}"
        self.around = around or Surroundings()
        self.requests = 0
        self._auth = connector.auth
        url, self.credentials = _resolved(connection, environment, self.where)
        self._token: object = None
        self._http = HttpSession(
            url,
            self.where,
            limits=Limits(connector.timeout_s, connector.max_answer_mb * 1_000_000, connector.requests_per_s),
            ca_file=connection.ca_file,
            secrets=self.credentials.values(),
            monotonic=self.around.monotonic,
            sleep=self.around.sleep,
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def request(self, call: Call, values: Mapping[str, object], parameters: Mapping[str, object] | None = None) -> Request:
        """Return the request of a call, its {places} filled from the values and the credentials."""
        return build(call, {**self.credentials, **values}, parameters or {}, self.where)

    def link(self, target: str, seen_at: str | None = None) -> Request:
        """Return the request for an address that the system gave; raise PermanentFailure E-SRC-042 when it is not its own."""
        return Request("GET", self._http.address(target, seen_at=seen_at))

    def exchange(self, request: Request) -> Answer:
        """Return the answer whatever its status, after one new login when a token is no longer accepted."""
        renewable = self._auth.kind == "login" and self._token is not None
        answer = self._send(request, self._proof())
        if answer.status == 401 and renewable:
            self._token = None
            answer = self._send(request, self._proof())
        return answer

    def ask(self, request: Request) -> Answer:
        """Return an answer of success; raise the failure that any other status stands for."""
        answer = self.exchange(request)
        failure = self.failure(answer)
        if failure is not None:
            raise failure
        return answer

    def failure(self, answer: Answer) -> SourceError | None:
        """Return what the status stands for, with what the system says about it, None for a success."""
        if 200 <= answer.status < 300:
            return None
        return failure_of(answer, now=self.around.clock.now(), hint=self._http.masked(_hint(answer.body)))

    def patiently(self, once: Callable[[], T]) -> T:
        """Return what `once` returns, tried up to three times when its failure may pass, with growing pauses."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return once()
            except TransientFailure as failure:
                pause = FIRST_PAUSE_S * 2 ** (attempt - 1) * (0.8 + 0.4 * self.around.jitter())
                wished = failure.retry_after_s or 0
                if attempt == ATTEMPTS or wished > LONGEST_PAUSE_S:
                    raise
                self.around.sleep(max(pause, wished))
        raise AssertionError("unreachable")

    def slices(self, answer: Answer, path: str) -> Slices:
        """Return the records at the path of an answer; raise for an answer that is cut, no JSON, an error, or has no list."""
        require_json(answer)
        try:
            found = records_of(answer.body, path)
        except CutShort:
            raise cut(answer) from None
        except InputError as error:
            raise unreadable(answer, error) from None
        except NotThere as error:
            said = self.error_in(answer)
            if said is not None:
                raise said from None
            wanted = f"{error} at ${'.' if path else ''}{path} where a list is expected"
            raise PermanentFailure("E-SRC-015", answer.where, wanted, "correct `records` of the connector") from None
        self._refuse_errors(answer, found.envelope)
        return found

    def error_in(self, answer: Answer) -> SourceError | None:
        """Return the failure that the body of an answer of success tells of, None when it tells of none."""
        return self._told(answer, parsed(answer))

    def _refuse_errors(self, answer: Answer, envelope: object) -> None:
        if isinstance(envelope, dict) and envelope.get("errors"):
            failure = self._told(answer, envelope)
            if failure is not None:
                raise failure

    def _told(self, answer: Answer, body: object) -> SourceError | None:
        found = error_of(body)
        if found is None:
            return None
        code = str(here(body, "errors.0.extensions.code") or "").upper()
        told = self._http.masked(f"the answer tells of an error: {shown(found, 120)}")
        if code in REFUSED_CODES:
            return CredentialsRefused("E-SRC-049", answer.where, told, "correct the credentials of the connection")
        if code in UNDECIDED_CODES:
            return AnswerLost("E-SRC-050", answer.where, told, "it is tried again")
        if code in PASSING_CODES:
            return TransientFailure("E-SRC-050", answer.where, told, "it is tried again")
        return PermanentFailure("E-SRC-050", answer.where, told, "correct the connector or what is sent")

    def _send(self, request: Request, proof: Mapping[str, str]) -> Answer:
        self.requests += 1
        headers = {**proof, **request.headers}
        whole = Request(request.method, request.address, request.query, headers, request.body, request.label)
        return self._http.send(whole)

    def _proof(self) -> dict[str, str]:
        auth = self._auth
        if auth.kind == "login" and self._token is None:
            self._token = self._login(auth)
        known = {**self.credentials, "token": self._token} if auth.kind == "login" else self.credentials
        proof = texts(auth.headers, known)
        if auth.kind == "basic":
            user, password = (self._credential(one, name) for one, name in ((auth.user, "user"), (auth.password, "password")))
            proof["Authorization"] = "Basic " + b64encode(f"{user}:{password}".encode()).decode()
        return proof

    def _credential(self, template: str | None, name: str) -> str:
        value = filled(template or f"{{{name}}}", self.credentials)
        if not isinstance(value, str):
            raise PermanentFailure("E-SRC-051", self.where, f"no credential {name}", "give it in the credentials")
        return value

    def _login(self, auth: Auth) -> str:
        if auth.login is None:
            raise PermanentFailure("E-SRC-051", self.where, "the connector has no login call", "give auth.login")
        answer = self._send(self.request(auth.login, {}), {})
        failure = self.failure(answer)
        if failure is not None:
            raise failure
        token = here(parsed(answer), auth.token_path)
        if token is None or isinstance(token, dict | list) or text(token) == "":
            raise PermanentFailure("E-SRC-055", answer.where, f"no token at {auth.token_path}", "correct auth.token_path")
        return text(token)


def parsed(answer: Answer) -> object:
    """Return the body of an answer of success; raise SourceError when it is no JSON. An empty one is AnswerLost."""
    require_json(answer)
    try:
        return loads(answer.body)
    except InputError as error:
        raise unreadable(answer, error) from None


def error_of(body: object) -> str | None:
    """Return what the body of an answer of success says went wrong: errors, error, userErrors, or success false."""
    if not isinstance(body, dict):
        return None
    for key in ("errors", "error"):
        if body.get(key):
            return _said(body[key])
    if body.get("success") is False:
        return _said(body)
    data = body.get("data")
    payloads = data.values() if isinstance(data, dict) else ()
    return next((_said(one["userErrors"]) for one in payloads if isinstance(one, dict) and one.get("userErrors")), None)


def cut(answer: Answer) -> AnswerLost:
    """Return the failure of an answer whose JSON ends before its last bracket."""
    return AnswerLost("E-SRC-046", answer.where, "the answer ends in the middle", "it is tried again")


def unreadable(answer: Answer, error: InputError) -> SourceError:
    """Return the refusal of an answer's JSON with the request that it answers; a cut answer is worth another attempt."""
    if error.code == "E-SRC-054" and is_cut(answer.body):
        return cut(answer)
    return PermanentFailure(error.code, f"{answer.where} {error.where}", error.found, error.remedy)


def _said(found: object) -> str:
    if isinstance(found, list):
        return _said(found[0]) if found else "no reason given"
    if isinstance(found, dict):
        told = (found.get(key) for key in ("message", "detail", "error_description", "error", "code", "title"))
        said = next((str(one) for one in told if isinstance(one, str | int) and one), None)
        return said or _said_of_a_field(found)
    return str(found)


def _said_of_a_field(found: Mapping[str, object]) -> str:
    """Return what is said of the first field: many systems answer {"phone": ["Enter a number."]}."""
    lists = ((name, words[0]) for name, words in found.items() if isinstance(words, list) and words)
    return next((f"{name}: {word}" for name, word in lists if isinstance(word, str) and word), "no reason given")


def _hint(body: bytes) -> str:
    """Return what the body of a refusal says, in brackets; nothing when it is no short JSON."""
    if len(body) > 100_000:
        return ""
    try:
        content = loads(body)
    except InputError:
        return ""
    told = error_of(content) or (_said(content) if isinstance(content, dict) else "no reason given")
    return "" if told == "no reason given" else f" ({shown(told, 120)})"


def _resolved(connection: Connection, environment: Mapping[str, str], where: str) -> tuple[str, dict[str, str]]:
    try:
        url = resolve(connection.url, environment, where=f"{where} url")
        found = {
            name: resolve(value, environment, where=f"{where} credential {name}")
            for name, value in connection.credentials.items()
        }
    except InputError as error:
        raise PermanentFailure(error.code, error.where, error.found, error.remedy) from None
    return url, found
