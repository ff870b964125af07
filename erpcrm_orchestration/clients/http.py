"""One session with one HTTP system: only its own address, with every deadline and limit, and failures as our errors.

No redirect is followed, no proxy or netrc of the environment is used, certificates are always verified. An error text
names the method and the path without its query, and no credential.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, Self
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from erpcrm_orchestration.clients.http_watch import Watch, WatchedAdapter, is_link_local
from erpcrm_orchestration.domain.call import LONGEST_RETRY_AFTER_S
from erpcrm_orchestration.domain.errors import CredentialsRefused, PermanentFailure, SourceError, TransientFailure

CONNECT_TIMEOUT_S = 5
PIECE_BYTES = 65_536
PORTS = {"http": 80, "https": 443}
PASSING = frozenset({408, 425, 429})
LATER = "it is tried again"


class AnswerTooLarge(PermanentFailure):
    """The request has left and its answer is larger than is read: what was asked for may have been carried out."""


class AnswerLost(TransientFailure):
    """The request has left and no whole answer came back: it may have been carried out."""


@dataclass(frozen=True)
class Request:
    """`address` is a path below the connection's url, or a whole address of the same system. `label` names it in errors."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    address: str
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    label: str | None = None


@dataclass(frozen=True)
class Answer:
    """A whole answer with any status. `url` is the address that gave it, `clock` its Date."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    where: str
    clock: datetime | None = None

    @property
    def next_link(self) -> str | None:
        """The address of `Link: <...>; rel=next`."""
        for link in requests.utils.parse_header_links(self.headers.get("Link", "")):
            if "next" in link.get("rel", "").split():
                return str(link["url"])
        return None


@dataclass(frozen=True)
class Limits:
    """`timeout_s` is the longest silence and, tripled, the longest exchange; `largest_bytes` counts after unpacking."""

    timeout_s: float = 30
    largest_bytes: int = 50_000_000
    requests_per_s: float = 10.0

    @property
    def total_s(self) -> float:
        return 3 * self.timeout_s


class HttpSession:
    """Sends requests to one system, one after the other. Use it as a context manager."""

    def __init__(
        self,
        url: str,
        where: str,
        *,
        limits: Limits | None = None,
        ca_file: str | None = None,
        secrets: Collection[str] = (),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.where = where
        self.limits = limits or Limits()
        self._base = _checked_base(url, where)
        self._secrets = sorted((one for one in secrets if len(one) > 3), key=len, reverse=True)
        self._monotonic, self._sleep = monotonic, sleep
        self._free_at = 0.0
        self._watch = Watch()
        self._session = _session(self._watch, ca_file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def address(self, target: str, *, seen_at: str | None = None) -> str:
        """Return the whole address of a path, or of a link that was `seen_at` another one.

        Raises PermanentFailure E-SRC-042 when it leads to any other scheme, host or port than the connection's.
        """
        whole = _joined(seen_at, target) if seen_at else target
        if "://" not in whole and not whole.startswith("//"):
            whole = f"{self._base.geturl().rstrip('/')}/{whole.lstrip('/')}" if whole else self._base.geturl()
        parts = _split(whole)
        if parts is None or _origin(parts) != _origin(self._base):
            raise PermanentFailure(
                "E-SRC-042", self.where, "an address leads to another host", "only the connection's own url is read"
            )
        return whole

    def send(self, request: Request) -> Answer:
        """Return the answer whatever its status; raise when there is no whole answer.

        TransientFailure E-SRC-044 (not connected), AnswerLost E-SRC-045 or 046 (sent, and no whole answer in time),
        PermanentFailure E-SRC-012 (larger than allowed), 042 (elsewhere) or 058 (certificate).
        """
        address = self.address(request.address)
        where = self.masked(f"{self.where}: {request.method} {request.label or urlsplit(address).path or '/'}")
        self._pace()
        with self._watch.deadline(self.limits.total_s):
            try:
                answer = self._exchange(request, address, where)
            except (requests.RequestException, OSError, ValueError) as error:
                raise self._failure(error, where) from None
            if self._watch.expired:
                raise self._failure(TimeoutError(), where)
        return answer

    def masked(self, text: str) -> str:
        """Return the text without the credentials of this connection."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _exchange(self, request: Request, address: str, where: str) -> Answer:
        timeouts = (min(CONNECT_TIMEOUT_S, self.limits.timeout_s), self.limits.timeout_s)
        headers = {"Accept": "application/json", **request.headers}
        with self._session.request(
            request.method,
            address,
            params=dict(request.query) or None,
            headers=headers,
            data=request.body,
            timeout=timeouts,
            allow_redirects=False,
            stream=True,
        ) as response:
            body = self._body(response, where)
            return Answer(
                response.status_code,
                response.headers,
                body,
                response.url or address,
                where,
                _date(response.headers.get("Date")),
            )

    def _body(self, response: requests.Response, where: str) -> bytes:
        held = bytearray()
        for piece in response.iter_content(PIECE_BYTES):
            held += piece
            if len(held) > self.limits.largest_bytes:
                found = f"an answer of more than {self.limits.largest_bytes / 1_000_000:g} MB"
                raise AnswerTooLarge("E-SRC-012", where, found, "ask for smaller pages, or raise max_answer_mb")
        return bytes(held)

    def _pace(self) -> None:
        now = self._monotonic()
        if now < self._free_at:
            self._sleep(self._free_at - now)
        self._free_at = max(now, self._free_at) + 1 / self.limits.requests_per_s

    def _failure(self, error: Exception, where: str) -> SourceError:
        # The texts of the exceptions repeat the address with its query, so none of them is shown.
        if self._watch.link_local:
            return PermanentFailure("E-SRC-042", where, "the host is a link-local address", "correct the url of the connection")
        if isinstance(error, requests.exceptions.SSLError) and not self._watch.sent:
            return PermanentFailure("E-SRC-058", where, "its certificate is not accepted", "correct it, or give its ca_file")
        timely = not (self._watch.expired or isinstance(error, requests.Timeout | TimeoutError) or _is_timeout(error))
        if isinstance(error, ValueError) and not self._watch.sent:
            return PermanentFailure("E-SRC-051", where, "url or headers that cannot be sent", "correct the connection")
        if not self._watch.sent:
            found = "no connection" if timely else f"no connection in {CONNECT_TIMEOUT_S} s"
            return TransientFailure("E-SRC-044", where, found, LATER)
        if not timely:
            return AnswerLost("E-SRC-045", where, f"no whole answer in time ({self.limits.timeout_s:g} s)", LATER)
        return AnswerLost("E-SRC-046", where, "the connection was lost before the answer was whole", LATER)


def failure_of(answer: Answer, *, now: datetime, hint: str = "") -> SourceError | None:
    """Return None for a status of success, else the failure it stands for. `hint` is what the system says about it.

    401 and 403 refuse the credentials; 408, 425, 429 and 5xx may pass; 3xx and other 4xx do not.
    """
    status, found = answer.status, f"status {answer.status}{hint}"
    if 200 <= status < 300:
        return None
    if status in {401, 403}:
        return CredentialsRefused("E-SRC-049", answer.where, found, "correct the credentials of the connection")
    if status in PASSING or status >= 500:
        wish = retry_after(answer.headers.get("Retry-After"), answer.clock or now)
        return TransientFailure("E-SRC-047", answer.where, found, LATER, retry_after_s=wish)
    if 300 <= status < 400:
        return PermanentFailure("E-SRC-041", answer.where, f"{found} leads elsewhere", "give the final url of the system")
    return PermanentFailure("E-SRC-048", answer.where, found, "correct the connector or what is sent")


def require_json(answer: Answer) -> None:
    """Raise PermanentFailure E-SRC-040 for an answer that says it is no JSON, AnswerLost E-SRC-046 for an empty one."""
    said = answer.headers.get("Content-Type", "").partition(";")[0].strip().casefold()
    if said and said not in {"application/json", "text/json", "application/javascript"} and not said.endswith("+json"):
        remedy = "it may be a login or maintenance page: open the url of the connection"
        raise PermanentFailure("E-SRC-040", answer.where, f"{said[:60]} instead of JSON", remedy)
    if not answer.body.strip():
        raise AnswerLost("E-SRC-046", answer.where, "an empty answer", LATER)


def retry_after(text: str | None, now: datetime) -> int | None:
    """Return the seconds that a Retry-After header asks for, at most 15 minutes; None without one that is understood."""
    if not text:
        return None
    shown = text.strip()
    if shown.isascii() and shown.isdigit():
        return LONGEST_RETRY_AFTER_S if len(shown) > 9 else min(int(shown), LONGEST_RETRY_AFTER_S)
    until = _date(shown)
    return None if until is None else max(0, min(int((until - now).total_seconds()), LONGEST_RETRY_AFTER_S))


def _session(watch: Watch, ca_file: str | None) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.verify = ca_file or True
    session.headers = CaseInsensitiveDict({"User-Agent": "erpcrm-orchestration", "Accept-Encoding": "gzip, deflate"})
    for scheme in PORTS:
        session.mount(f"{scheme}://", WatchedAdapter(watch))
    return session


def _checked_base(url: str, where: str) -> SplitResult:
    parts = _split(url)
    if parts is None or parts.query or parts.fragment:
        raise PermanentFailure("E-SRC-051", where, "url is not an address of HTTP", "write https://host/path without ? and @")
    if is_link_local(parts.hostname or ""):
        raise PermanentFailure("E-SRC-042", where, "the host is a link-local address", "correct the url of the connection")
    return parts


def _split(url: str) -> SplitResult | None:
    """Return the parts of a plain HTTP address, None for anything doubtful: other schemes, user@host, odd characters."""
    if any(char in url for char in "\\\t\r\n ") or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc or port == 0:
        return None
    return parts


def _joined(seen_at: str, target: str) -> str:
    try:
        return urljoin(seen_at, target)
    except ValueError:
        return "//"


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or PORTS[parts.scheme]


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _is_timeout(error: Exception) -> bool:
    """True when requests shows a read that took too long as a lost connection, which it does inside of a body."""
    return any("timed out" in str(cause).casefold() for cause in (error, *error.args))
