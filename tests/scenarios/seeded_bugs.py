"""Bugs that a crash must bring to light: each is a way in which the real thing could have been written wrongly.

A harness that does not catch them proves nothing about what it passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.intake import Cursor, Window
from erpcrm_orchestration.domain.received import Change
from erpcrm_orchestration.domain.values import FIRST_INSTANT
from erpcrm_orchestration.domain.work import Outcome, WorkState
from erpcrm_orchestration.services import delivery, integration, polling
from erpcrm_orchestration.services.delivery import DeliveryAttempt
from erpcrm_orchestration.services.polling import StreamReader
from erpcrm_orchestration.store import inbox
from erpcrm_orchestration.store.cursor import open_cursors


def _marked_before_it_is_delivered() -> None:
    """The item is closed before the system is asked."""
    write = DeliveryAttempt.run

    def run(self: DeliveryAttempt) -> bool:
        with self.work.engine.begin() as connection:
            done = Outcome(WorkState.DONE, self.work.clock.now())
            self._close(connection, done)
        return write(self)

    DeliveryAttempt.run = run  # type: ignore[method-assign]


def _never_looks_before_it_creates() -> None:
    """A doubtful attempt creates again."""
    original = delivery.Change

    def certain(*args: Any, **kwargs: Any) -> Change:
        return replace(original(*args, **kwargs), doubtful=False)

    delivery.Change = certain  # type: ignore[misc,assignment]


def _cursor_moves_before_the_inbox() -> None:
    """The watermark is committed by itself before the page is stored, and nothing is read again."""
    take = StreamReader._take

    def early(self: StreamReader, page: Any, cursor: Any, span: Any, bound: datetime | None) -> None:
        if bound is not None:
            with self.work.engine.begin() as connection:
                self._finish(connection, cursor, span, bound, self.work.clock.now())
            with self.work.engine.begin() as connection:
                (cursor,) = open_cursors(connection, cursor.source_code, cursor.stream, [cursor.dossier_code], 0)
        polling.failpoint("poll.after_insert")
        take(self, page, cursor, span, bound)

    def strict(cursor: Cursor, bound: datetime, now: datetime) -> Window:
        return Window(cursor.watermark_at or FIRST_INSTANT, now, now)

    StreamReader._take = early  # type: ignore[method-assign]
    polling.window = strict


def _closed_before_it_is_merged() -> None:
    """Messages are marked as transformed in a transaction of their own before their rows are written."""
    claim = inbox.claim

    def early(connection: sa.Connection, dossier_code: str, *args: Any) -> list[inbox.Message]:
        with connection.engine.begin() as other:
            messages = claim(other, dossier_code, *args)
            ids = [message.message_id for message in messages]
            inbox.close(other, dossier_code, ids, "TRANSFORMED", now=datetime.now(UTC), run_id=None)
        return messages

    inbox.claim = early


def _told_after_the_commit() -> None:
    """What other systems have to be told is planned in a transaction of its own, after the rows are there."""
    plan = integration.plan
    owed: list[tuple[Any, ...]] = []

    def later(connection: sa.Connection, *args: Any, **kwargs: Any) -> int:
        owed.append((connection.engine, args, kwargs))
        return 0

    grew = integration.Work.grew

    def after_commit(self: Any, rows: int) -> None:
        while owed:
            engine, args, kwargs = owed.pop()
            with engine.begin() as connection:
                plan(connection, *args, **kwargs)
        grew(self, rows)

    integration.plan = later
    integration.Work.grew = after_commit  # type: ignore[method-assign]


def _no_version_guard() -> None:
    """An older version that arrives later is taken for the newest."""
    load_sql = inbox.load_sql

    def unguarded(name: str) -> sa.TextClause:
        statement = load_sql(name)
        return sa.text(statement.text.replace("ELSE 'OLD'", "ELSE 'NEW'")) if name == "receive" else statement

    inbox.load_sql = unguarded  # type: ignore[assignment]


BUGS: Mapping[str, Callable[[], None]] = {
    "marked_before_it_is_delivered": _marked_before_it_is_delivered,
    "never_looks_before_it_creates": _never_looks_before_it_creates,
    "cursor_moves_before_the_inbox": _cursor_moves_before_the_inbox,
    "closed_before_it_is_merged": _closed_before_it_is_merged,
    "told_after_the_commit": _told_after_the_commit,
    "no_version_guard": _no_version_guard,
}
WHERE_IT_SHOWS: Mapping[str, tuple[str, ...]] = {
    "marked_before_it_is_delivered": ("delivery.claimed", "delivery.written"),
    "never_looks_before_it_creates": ("delivery.written", "delivery.before_commit"),
    "cursor_moves_before_the_inbox": (),
    "closed_before_it_is_merged": ("integration.claimed", "integration.before_commit"),
    "told_after_the_commit": ("integration.after_commit",),
    "no_version_guard": (),
}
"""Between which side effects a death brings a bug to light; none for one that needs no death."""
