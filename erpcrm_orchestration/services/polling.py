"""From the systems into the inbox: every stream that is due, page by page.

Each page is one transaction; the cursor moves with the last one. A pass that ends early is done again from where it began,
and what is in the inbox already is only counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from erpcrm_orchestration.domain.connection import ChangeMode, ConnectorEntity
from erpcrm_orchestration.domain.errors import CredentialsRefused, SourceError, TransientFailure
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.intake import Cursor, Window, window
from erpcrm_orchestration.domain.integration import WORK
from erpcrm_orchestration.domain.key_order import key_order
from erpcrm_orchestration.domain.received import ConnectorClient, Page, Received, Span, Via
from erpcrm_orchestration.services.ahead import one_ahead
from erpcrm_orchestration.services.connectors import Connected
from erpcrm_orchestration.services.fetching import CONTRADICTED, request_missing
from erpcrm_orchestration.services.work import Work
from erpcrm_orchestration.store import connection_state, inbox, lease
from erpcrm_orchestration.store.connection_state import cursor_source
from erpcrm_orchestration.store.cursor import Progress, advance_cursors, keep_last_key, open_cursors, record_failures
from erpcrm_orchestration.store.cursor import last_key as stored_last_key
from erpcrm_orchestration.store.inbox import Arrival, Receipt

DELETE_SHARE_PERCENT = 20
DELETE_ALLOWANCE = 5
"""A complete pass that misses more than this, and more than the share, stops the stream instead of deleting."""


@dataclass
class StreamPoll:
    """What a pass over one stream found. `failure` is why it ended early; what was received before it stays."""

    receipt: Receipt = field(default_factory=Receipt)
    requests: int = 0
    deleted: int = 0
    failure: SourceError | None = None


def poll(work: Work, one: Connected, *, everything: bool = False) -> dict[str, StreamPoll]:
    """Read the streams of a connection that are due, or all; return stream -> what was found."""
    polls: dict[str, StreamPoll] = {}
    with work.engine.connect() as connection:
        stopped = connection_state.stopped_streams(connection)
        now = work.clock.now()
        if one.connection.connection_code in connection_state.stopped_connections(connection):
            return {}
        if one.connection.connection_code in connection_state.resting_connections(connection, now):
            return {}
        due = [
            stream
            for stream in one.streams
            if (one.connection.connection_code, stream.name) not in stopped
            and (everything or _is_due(connection, one, stream, now))
        ]
    if not due:
        return {}
    with closing(one.open(work.environment)) as client:
        for stream in due:
            polls[stream.name] = _poll_stream(work, one, stream, client)
            if isinstance(polls[stream.name].failure, CredentialsRefused | TransientFailure):
                break
    return polls


def _is_due(connection: sa.Connection, one: Connected, stream: ConnectorEntity, now: datetime) -> bool:
    cursor = _cursor(connection, one, stream)
    every_s = (stream.read.every_s if stream.read else None) or one.connection.poll_interval_s
    last = cursor.last_success_at
    # Later than now: our clock went back, and would have to come round again.
    return last is None or last + timedelta(seconds=every_s) <= now or last > now


def _cursor(connection: sa.Connection, one: Connected, stream: ConnectorEntity) -> Cursor:
    code = cursor_source(one.connection.connection_code)
    (cursor,) = open_cursors(connection, code, stream.name, [one.connection.dossier], one.connection.overlap_floor_s)
    return cursor


def poll_agreed(work: Work, one: Connected, stream: ConnectorEntity, agreed: int) -> StreamPoll:
    """Read one stream although it is not due; up to `agreed` records that a complete pass misses are deleted."""
    with closing(one.open(work.environment)) as client:
        return _poll_stream(work, one, stream, client, agreed=agreed)


def _poll_stream(
    work: Work, one: Connected, stream: ConnectorEntity, client: ConnectorClient, *, agreed: int = 0
) -> StreamPoll:
    result = StreamPoll()
    reader = StreamReader(work, one, stream, client, result)
    reader.allowance = max(reader.allowance, agreed)
    try:
        reader.run()
    except SourceError as failure:
        result.failure = failure
        _note_failure(work, one, stream, failure)
    return result


def _note_failure(work: Work, one: Connected, stream: ConnectorEntity, failure: SourceError) -> None:
    now, of = work.clock.now(), one.connection
    with work.engine.begin() as connection:
        keys = [(of.dossier, cursor_source(of.connection_code), stream.name)]
        record_failures(connection, keys, of.overlap_floor_s, str(failure), now)
        if isinstance(failure, CredentialsRefused):
            connection_state.stop_connection(connection, of, str(failure), now)
        connection_state.rest(connection, of, failure, now)


class StreamReader:
    """One pass over one stream."""

    def __init__(
        self, work: Work, one: Connected, stream: ConnectorEntity, client: ConnectorClient, result: StreamPoll
    ) -> None:
        if stream.read is None:
            raise ValueError(f"{stream.name} is not read")
        self.work, self.one, self.stream, self.client, self.result = work, one, stream, client, result
        self.read, self.key = stream.read, one.key(stream)
        self.seen: set[str] = set()
        self.newest: datetime | None = None
        self.greatest: str | None = None
        self.allowance = DELETE_ALLOWANCE

    def run(self) -> None:
        """Read all pages; the last one's transaction moves the cursor."""
        now = self.work.clock.now()
        with self.work.engine.begin() as connection:
            cursor = _cursor(connection, self.one, self.stream)
            if self.read.mode is ChangeMode.APPEND:
                self.greatest = stored_last_key(connection, cursor)
        span = window(cursor, now, now)
        asked = self._asked(cursor, span)
        clock: datetime | None = None
        for page, is_last in _with_last(one_ahead(self.client.pages(self.stream, asked))):
            clock = clock or page.clock
            self._take(page, cursor, span, bound=self._bound(clock, now) if is_last else None)
            failpoint("poll.between_pages")

    def _asked(self, cursor: Cursor, span: Window) -> Span:
        match self.read.mode:
            case ChangeMode.CURSOR:
                return Span(after=None if cursor.watermark_at is None else span.after)
            case ChangeMode.APPEND:
                return Span(last_key=_before(self.greatest, self.read.reread))
            case ChangeMode.SNAPSHOT:
                return Span()

    def _bound(self, clock: datetime | None, now: datetime) -> datetime:
        """Return the next watermark: the system's clock at the start of the pass, never beyond ours."""
        return min(clock or self.newest or now, now)

    def _take(self, page: Page, cursor: Cursor, span: Window, bound: datetime | None) -> None:
        self._look(page.records)
        self.result.requests += page.requests
        now = self.work.clock.now()
        with self.work.engine.begin() as connection:
            self.work.fence(connection, self.key.dossier_code)
            late_from = None if cursor.watermark_at is None else span.after
            arrival = Arrival(
                Via.POLL, now, self.work.run_id, cursor.watermark_at, late_from,
                complete=self.read.mode is ChangeMode.SNAPSHOT, take_rivals=self.read.one is None,
            )  # fmt: skip
            receipt = inbox.receive(connection, self.key, page.records, arrival)
            failpoint("poll.after_insert")
            if receipt.rivals and self.stream.map:
                missing = [(self.stream.map.entity, source_id) for source_id in receipt.rivals]
                request_missing(connection, self.one, missing, CONTRADICTED, now)
            self.result.receipt += receipt
            if bound is not None:
                self._finish(connection, cursor, span, bound, now)
            failpoint("poll.before_commit")
        self.work.received(receipt.new, self.key.entity)

    def _look(self, records: Sequence[Received]) -> None:
        for one in records:
            if self.read.mode is ChangeMode.SNAPSHOT:
                self.seen.add(one.source_id)
            if one.version_at is not None and (self.newest is None or one.version_at > self.newest):
                self.newest = one.version_at
            if self.read.mode is ChangeMode.APPEND and one.fault is None:
                self.greatest = _greater(self.greatest, one.source_id)

    def _finish(self, connection: sa.Connection, cursor: Cursor, span: Window, bound: datetime, now: datetime) -> None:
        found = self.result.receipt
        # A page alone does not say it: another one may show the refused text.
        withdrawn = set(found.confirmed - found.disputed)
        if self.read.mode is ChangeMode.SNAPSHOT and self._delete_gone(connection, now):
            withdrawn |= inbox.refused_ids(connection, self.key) - self.seen
        inbox.withdraw_refused(connection, self.key, withdrawn, now=now, run_id=self.work.run_id)
        progress = Progress(found.new, found.refused, found.late, found.max_lateness_s)
        moved = Window(span.after, span.until, bound)
        floor_s = self.one.connection.overlap_floor_s
        if not advance_cursors(connection, [cursor], moved, {cursor.dossier_code: progress}, floor_s, now):
            raise lease.fenced(cursor.dossier_code, WORK)
        if self.read.mode is ChangeMode.APPEND:
            keep_last_key(connection, cursor, self.greatest)

    def _delete_gone(self, connection: sa.Connection, now: datetime) -> bool:
        """Mark as deleted what a complete pass did not show; too much at once stops the stream instead, and is False."""
        known = inbox.known_ids(connection, self.key)
        gone = sorted(set(known) - self.seen)
        if not gone:
            return True
        if len(gone) > self.allowance and len(gone) * 100 > len(known) * DELETE_SHARE_PERCENT:
            reason = f"a complete pass misses {len(gone)} of {len(known)} records: nothing is deleted before a person agrees"
            connection_state.stop_stream(connection, self.one.connection, self.stream.name, reason, now)
            return False
        tombstones = [Received(source_id, "", version_at=now, deleted=True) for source_id in gone]
        inbox.receive(connection, self.key, tombstones, Arrival(Via.POLL, now, self.work.run_id))
        self.result.deleted = len(gone)
        return True


def _with_last(pages: Iterator[Page]) -> Iterator[tuple[Page, bool]]:
    """Yield every page with whether it is the last; without any page, an empty last one."""
    previous: Page | None = None
    for page in pages:
        if previous is not None:
            yield previous, False
        previous = page
    yield previous or Page(()), True


def _greater(left: str | None, right: str) -> str:
    return right if left is None or key_order(right) > key_order(left) else left


def _before(key: str | None, reread: int) -> str | None:
    """Return the key after which a pass over an append-only stream begins."""
    if key is None or not (key.isascii() and key.isdigit()):
        return key
    return str(max(int(key) - reread, 0))
