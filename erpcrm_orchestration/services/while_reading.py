"""Integrates what was read of a system while the rest of it is read: a long first load fills the tables page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from erpcrm_orchestration.domain.connection import ConnectorEntity
from erpcrm_orchestration.domain.integration import Tally
from erpcrm_orchestration.services.connectors import Connected
from erpcrm_orchestration.services.integration import StreamIntegration
from erpcrm_orchestration.services.work import Work
from erpcrm_orchestration.store.engine import in_each_others_way

Tallies = dict[tuple[str, str], Tally]


class WhileReading:
    """One thread that integrates the streams of a dossier in the order in which they are read: parents before children.

    What lacks something stays as it came, and so does what a lock was in the way of: it is integrated after the reading.
    What became of the others is added to `tallies`, by (connection code, stream).
    """

    def __init__(self, work: Work, connections: Sequence[Connected], tallies: Tallies, thread: ThreadPoolExecutor) -> None:
        self._work, self._connections, self._tallies, self._thread = work, connections, tallies, thread
        self._streams: dict[tuple[str, str], StreamIntegration] = {}
        self._has_news = False
        self._running: Future[None] | None = None

    def page_stored(self, one: Connected, stream: ConnectorEntity, *, is_last: bool) -> None:
        """Take note of a page in the inbox. Unless it is the last of its stream, begin to integrate what is there."""
        if stream.map is None:
            return
        key = (one.connection.connection_code, stream.name)
        if key not in self._streams:
            self._streams[key] = StreamIntegration(self._work, one, stream, self._connections, is_read=False)
        self._has_news = True
        if not is_last and (self._running is None or self._running.done()):
            self.end()
            self._running = self._thread.submit(self._integrate)

    def end(self) -> None:
        """Wait for what is being integrated; raise what it met."""
        if self._running is not None:
            self._running.result()

    def _integrate(self) -> None:
        try:
            while self._has_news:
                self._has_news = False
                for key, stream in list(self._streams.items()):
                    self._tallies[key] = self._tallies.get(key, Tally()) + stream.run()
        except DBAPIError as error:
            if not in_each_others_way(error):
                raise


@contextmanager
def while_reading(work: Work, connections: Sequence[Connected], tallies: Tallies) -> Iterator[WhileReading]:
    """Yield what integrates beside the reading; it has come to its end when the block ends."""
    with ThreadPoolExecutor(1, "integrating") as thread:
        beside = WhileReading(work, connections, tallies, thread)
        yield beside
        beside.end()
