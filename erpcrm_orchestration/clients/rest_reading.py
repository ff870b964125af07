"""Reads what changed of an entity, page by page, and sees to it that a list that shifts while it is read hides nothing.

Rows of a list that is counted by pages or offsets move up when a row before them leaves, and the row at the border of
two pages is then never seen. A list by offset is asked for the last row of a page again at the head of the next one: the
row that stands there tells whether anything moved. A list by page numbers, over more than one page, is believed when the
system tells the same total on every page, exactly so many different records came, and none came twice. Neither costs a
request while nothing moves. Otherwise the list is read again from its start until a pass brings nothing new, at most four
times; then the reading fails and is done later. What changed after the pass began is not waited for: the next reading
asks for it. Lists by key, token or cursor, and lists that are only added to, hold their place by themselves.

What stays open: a list by page numbers without a window, from which one row goes while another comes between the same
two requests. The totals then agree; the next reading has the row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from erpcrm_orchestration.clients.json_page import NotThere
from erpcrm_orchestration.clients.rest_follow import followed
from erpcrm_orchestration.clients.rest_paging import KeysetStep, Turn, Walk
from erpcrm_orchestration.clients.rest_record import faulty, received
from erpcrm_orchestration.clients.rest_request import span_values
from erpcrm_orchestration.clients.rest_session import RestSession
from erpcrm_orchestration.domain.connection import ChangeMode, PagingKind, Reading
from erpcrm_orchestration.domain.errors import CredentialsRefused, PermanentFailure, TransientFailure
from erpcrm_orchestration.domain.key_order import key_order
from erpcrm_orchestration.domain.received import Page, Received, Span
from erpcrm_orchestration.domain.strict_json import loads

PASSES = 4


@dataclass
class Pass:
    """What one pass over the list saw: is it proven that nothing hid from it?"""

    pages: int = 0
    news: int = 0
    repeated: bool = False
    ids: set[str] = field(default_factory=set)
    totals: set[int | None] = field(default_factory=set)

    def is_proven(self, is_first: bool) -> bool:
        whole = self.totals == {len(self.ids)} and not self.repeated
        return self.pages <= 1 or whole or (not is_first and self.news == 0)


class Reader:
    """One reading of an entity over a span."""

    def __init__(self, session: RestSession, reading: Reading, span: Span, largest: int) -> None:
        self._session, self._reading, self._span, self._largest = session, reading, span, largest
        self._values = span_values(span, reading.modified_format, reading.modified_zone)
        self._seen: set[tuple[str, int]] = set()
        self._ids: set[str] = set()
        self._horizon: datetime | None = span.until

    def pages(self) -> Iterator[Page]:
        """Yield every record once; raise TransientFailure E-SRC-052 for a list that changes faster than it is read."""
        for number in range(PASSES):
            is_first, told, walk = number == 0, Pass(), self._walk()
            for turn in self._counted(walk, told, is_first):
                before = self._session.requests
                records = self._records(turn, told)
                requests = self._session.requests - before + turn.requests
                if is_first or records:
                    yield Page(records, turn.turn.answer.clock, requests)
            if not walk.doubtful or self._reading.mode is ChangeMode.APPEND or told.is_proven(is_first):
                return
        found = f"the list changed while it was read {PASSES} times"
        raise TransientFailure("E-SRC-052", self._session.where, found, "it is read again later")

    def _counted(self, walk: Walk, told: Pass, is_first: bool) -> Iterator[_Counted]:
        before = self._session.requests
        for turn in walk:
            if is_first and told.pages == 0 and self._horizon is None:
                self._horizon = turn.answer.clock
            told.pages += 1
            told.totals.add(turn.total)
            yield _Counted(turn, self._session.requests - before)
            before = self._session.requests
            if self._is_known_from_here(turn):
                return

    def _walk(self) -> Walk:
        reading = self._reading
        return Walk(
            self._session,
            reading.pages,
            reading.paging,
            reading.records,
            self._values,
            self._largest,
            keyset=self._keyset if reading.paging.kind is PagingKind.KEYSET else None,
            same=lambda one, other: self._id(one) == self._id(other),
        )

    def _id(self, raw: bytes) -> str:
        return received(raw, self._reading).source_id

    def _records(self, counted: _Counted, told: Pass) -> list[Received]:
        """Return the page's records that did not come before; of two with one id in one page the later is refused."""
        kept: list[Received] = []
        in_page: dict[str, bytes] = {}
        for raw in counted.turn.records:
            record = received(raw, self._reading)
            if in_page.get(record.source_id) == raw:
                continue
            told.repeated = told.repeated or record.source_id in told.ids
            told.ids.add(record.source_id)
            if record.fault is None and record.source_id in in_page:
                place = f"$.{self._reading.record_id}"
                found = f"the id {record.source_id} stands twice in one page with different content"
                record = faulty(record, "E-SRC-017", place, found)
            in_page.setdefault(record.source_id, raw)
            if self._is_new(record, raw, told):
                kept.append(with_parts(self._session, record, raw, self._reading, self._largest))
        return kept

    def _is_new(self, record: Received, raw: bytes, told: Pass) -> bool:
        mark = (record.source_id, hash(raw))
        if mark in self._seen:
            return False
        self._seen.add(mark)
        changed_later = self._horizon is not None and record.version_at is not None and record.version_at > self._horizon
        is_known = record.source_id in self._ids and (self._reading.mode is ChangeMode.SNAPSHOT or changed_later)
        told.news += not (is_known or changed_later)
        self._ids.add(record.source_id)
        return True

    def _is_known_from_here(self, turn: Turn) -> bool:
        """True when an APPEND list comes newest first and has reached the last key: the rest was read before."""
        last = self._span.last_key
        if self._reading.mode is not ChangeMode.APPEND or last is None:
            return False
        ranks = [key_order(key) for key in self._keys(turn)]
        return len(ranks) > 1 and ranks == sorted(ranks, reverse=True) and ranks[-1] <= key_order(last)

    def _keys(self, turn: Turn) -> list[str]:
        found = (received(raw, self._reading) for raw in turn.records)
        return [one.source_id for one in found if one.fault is None]

    def _keyset(self, turn: Turn, size: int) -> KeysetStep:
        """Return where the next page begins: after the greatest key, or a second before the greatest instant.

        Whether a filter by instant includes its bound differs between systems, and rows of one second may stand on
        both sides of the border; a page without progress is asked for again with twice the rows.
        """
        if self._reading.mode is ChangeMode.APPEND:
            keys = self._keys(turn)
            return (
                KeysetStep({"after": max(keys, key=key_order)}, max(keys, key=key_order), size) if keys else self._stuck(turn)
            )
        found = [one.version_at for one in (received(raw, self._reading) for raw in turn.records) if one.version_at]
        if not found or size >= self._largest:
            return self._stuck(turn)
        after = max(found).replace(microsecond=0) - timedelta(seconds=1)
        values = span_values(Span(after, self._span.until), self._reading.modified_format, self._reading.modified_zone)
        return KeysetStep(values, values["after"], min(size * 2, self._largest) if min(found) >= after else size)

    def _stuck(self, turn: Turn) -> KeysetStep:
        found = "a full page brings the reading no further"
        raise PermanentFailure("E-SRC-043", turn.answer.where, found, "take another paging than keyset")


@dataclass(frozen=True)
class _Counted:
    """A page and the requests that were made for it."""

    turn: Turn
    requests: int


def with_parts(session: RestSession, record: Received, raw: bytes, reading: Reading, largest: int) -> Received:
    """Return the record with what it refers to fetched and put in; a part that is not to be had refuses this record alone."""
    if record.fault is not None or not reading.follow:
        return record
    values = {"parent": loads(raw), "id": record.source_id}
    try:
        return received(followed(session, raw, values, reading.follow, largest), reading)
    except CredentialsRefused:
        raise
    except (PermanentFailure, NotThere) as error:
        return Received(record.source_id, record.payload, record.version_at, record.deleted, str(error))
