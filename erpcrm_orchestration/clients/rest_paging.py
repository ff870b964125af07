"""Walks the pages of a list, of whatever kind its paging is, and never in a circle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, urlsplit

from erpcrm_orchestration.clients.http import Answer, Request
from erpcrm_orchestration.clients.rest_request import text
from erpcrm_orchestration.clients.rest_session import RestSession
from erpcrm_orchestration.domain.connection import Call, Paging, PagingKind
from erpcrm_orchestration.domain.errors import PermanentFailure
from erpcrm_orchestration.domain.json_path import here

TOTAL_HEADERS = ("X-WP-Total", "X-Total-Count", "X-Total")
TOTAL_KEYS = ("total", "count", "total_count", "totalCount")
COUNTED = frozenset({"page", "_page", "paged", "page_number", "pageNumber", "offset", "_offset", "skip", "$skip", "start"})
"""Parameters of a next link that count rows or pages; any other link is taken for a cursor that stays with its row."""


@dataclass(frozen=True)
class Turn:
    """One page of a list. `total` is how many the system says the whole list has, None when it does not say."""

    answer: Answer
    records: list[bytes]
    envelope: object
    total: int | None = None


@dataclass(frozen=True)
class KeysetStep:
    """Where the next page of a KEYSET list begins: values for its {places}, and how many rows to ask for."""

    values: Mapping[str, object]
    parameter: object
    size: int


@dataclass
class Walk:
    """One way through a list, from its first page. `doubtful` tells whether rows that shift may have hidden from it.

    `keyset` gives the next step after a full page of a KEYSET list, and raises when there is none. An OFFSET list is asked
    for its last row again at the head of the next page: when `same` says that it is still there, nothing has shifted.
    """

    session: RestSession
    call: Call
    paging: Paging
    path: str
    values: Mapping[str, object]
    largest: int
    keyset: Callable[[Turn, int], KeysetStep] | None = None
    first: Request | None = None
    """The first request when it is no call, but a link that the system gave."""
    same: Callable[[bytes, bytes], bool] = bytes.__eq__
    doubtful: bool = False
    _last: bytes | None = field(default=None, repr=False)
    _hashes: set[bytes] = field(default_factory=set, repr=False)
    _addresses: set[str] = field(default_factory=set, repr=False)
    _size: int = 0
    _rows: int = 0
    _pages: int = 0

    def __iter__(self) -> Iterator[Turn]:
        self._hashes, self._addresses, self._rows, self._pages = set(), set(), 0, 0
        self.doubtful, self._last = self.paging.kind is PagingKind.PAGE, None
        self._size = self.paging.size
        request: Request | None = self._request(self.values, self._first_parameter())
        while request is not None:
            turn = self._turn(request)
            if turn is None:
                return
            self._check(turn)
            yield self._aligned(turn)
            request = self._next(turn)

    def _turn(self, request: Request) -> Turn | None:
        return self.session.patiently(lambda: self._read(request))

    def _read(self, request: Request) -> Turn | None:
        answer = self.session.exchange(request)
        if answer.status == 404 and self._pages and self.paging.kind is PagingKind.PAGE:
            return None
        failure = self.session.failure(answer)
        if failure is not None:
            raise failure
        found = self.session.slices(answer, self.path)
        return Turn(answer, found.records, found.envelope, _total(answer, found.envelope, self.path))

    def _check(self, turn: Turn) -> None:
        if len(turn.records) > self.largest:
            found = f"{len(turn.records)} records in one page, more than {self.largest}"
            raise PermanentFailure(
                "E-SRC-013", turn.answer.where, found, "ask for smaller pages, or raise max_records_per_page"
            )
        digest = hashlib.blake2b(b"\n".join(turn.records), digest_size=16).digest()
        is_last = self.paging.kind is PagingKind.KEYSET and turn.total == len(turn.records)
        if turn.records and digest in self._hashes and not is_last:
            self._loop(turn, "the same page came twice")
        self._hashes.add(digest)
        self._pages += 1

    def _aligned(self, turn: Turn) -> Turn:
        """Return an OFFSET page without the row that it shares with the page before; other pages as they are."""
        records, last, is_offset = turn.records, self._last, self.paging.kind is PagingKind.OFFSET
        if is_offset and self._pages > 1:
            self.doubtful = self.doubtful or last is None or not records or not self.same(records[0], last)
        if last is not None and records:
            self._rows -= 1
            records = records[1:] if records[0] == last else records
        self._last = turn.records[-1] if is_offset and len(turn.records) > 1 else None
        self._rows += len(turn.records)
        return replace(turn, records=records)

    def _next(self, turn: Turn) -> Request | None:
        match self.paging.kind:
            case PagingKind.LINK:
                return self._linked(turn, turn.answer.next_link)
            case PagingKind.NEXT:
                return self._linked(turn, here(turn.envelope, self.paging.next_path or "next"))
            case PagingKind.TOKEN:
                return self._by_token(turn)
            case PagingKind.PAGE | PagingKind.OFFSET:
                place = self._pages + 1 if self.paging.kind is PagingKind.PAGE else self._rows - (self._last is not None)
                return self._request(self.values, place) if self._is_more(turn, self._rows) else None
            case _:
                return self._by_key(turn)

    def _by_key(self, turn: Turn) -> Request | None:
        if self.keyset is None or not self._is_more(turn, len(turn.records)):
            return None
        step = self.keyset(turn, self._size)
        self._size = step.size
        return self._request({**self.values, **step.values}, step.parameter)

    def _linked(self, turn: Turn, link: object) -> Request | None:
        if not isinstance(link, str) or not link or self._says_no_more(turn):
            return None
        request = self.session.link(link, turn.answer.url)
        if request.address in self._addresses or request.address == turn.answer.url:
            self._loop(turn, "the next link leads to a page that was read")
        self._addresses |= {request.address, turn.answer.url}
        names = {name for name, _ in parse_qsl(urlsplit(request.address).query)}
        self.doubtful = self.doubtful or bool(names & COUNTED)
        return request

    def _by_token(self, turn: Turn) -> Request | None:
        token = here(turn.envelope, self.paging.next_path or "")
        if token in (None, "", False) or isinstance(token, dict | list) or self._says_no_more(turn):
            return None
        if str(token) in self._addresses:
            self._loop(turn, "the same token came twice")
        self._addresses.add(str(token))
        return self._request(self.values, token)

    def _is_more(self, turn: Turn, rows: int) -> bool:
        """True when another page is to be asked for after so many `rows`; a total is believed more than a page's length.

        A system that gives fewer rows than were asked for is read to its end when it tells the total or a next link.
        """
        if not turn.records or self._says_no_more(turn):
            return False
        if self.paging.more_path is not None:
            return True
        if turn.total is not None and turn.total > len(turn.records):
            return rows < turn.total
        return len(turn.records) >= self._size or turn.answer.next_link is not None

    def _says_no_more(self, turn: Turn) -> bool:
        return self.paging.more_path is not None and here(turn.envelope, self.paging.more_path) in (None, False)

    def _first_parameter(self) -> object:
        return {PagingKind.PAGE: 1, PagingKind.OFFSET: 0}.get(self.paging.kind)

    def _request(self, values: Mapping[str, object], parameter: object) -> Request:
        paging, parameters = self.paging, dict[str, object]()
        if paging.size_parameter:
            parameters[paging.size_parameter] = self._size
        if paging.parameter and parameter is not None:
            parameters[paging.parameter] = parameter
        if self.first is not None:
            return replace(self.first, query={name: text(value) for name, value in parameters.items()})
        return self.session.request(self.call, {**values, "size": self._size}, parameters)

    def _loop(self, turn: Turn, found: str) -> None:
        raise PermanentFailure("E-SRC-043", turn.answer.where, found, "correct the paging of the connector")


def _total(answer: Answer, envelope: object, path: str) -> int | None:
    """Return how many records the system says there are: a header, or a number beside the list or at the top."""
    for name in TOTAL_HEADERS:
        said = answer.headers.get(name, "").strip()
        if said.isascii() and said.isdigit() and len(said) < 12:
            return int(said)
    beside = here(envelope, path.rpartition(".")[0])
    for place in (beside, envelope):
        for key in TOTAL_KEYS:
            value = place.get(key) if isinstance(place, dict) else None
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                return value
    return None
