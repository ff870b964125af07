"""Bugs that the tests must bring to light: each is a way in which the real thing could have been written wrongly.

A harness that does not catch them proves nothing about what it passes. `bug_trials` says what brings each to light.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.intake import Cursor, Window
from erpcrm_orchestration.domain.received import Change
from erpcrm_orchestration.domain.values import FIRST_INSTANT
from erpcrm_orchestration.domain.work import Outcome, WorkState
from erpcrm_orchestration.services import delivery, integration, polling
from erpcrm_orchestration.services.delivery import DeliveryAttempt
from erpcrm_orchestration.services.polling import StreamReader
from erpcrm_orchestration.services.work import Work
from erpcrm_orchestration.store import cross_reference, inbox, lease
from erpcrm_orchestration.store import work as work_items
from erpcrm_orchestration.store.cursor import open_cursors
from erpcrm_orchestration.store.record_merge import RecordMerge

Patch = pytest.MonkeyPatch


def _in_sql(patch: Patch, module: ModuleType, name: str, right: str, wrong: str) -> None:
    """Let a module load `store/sql/<name>.sql` with one part written wrongly."""
    load = module.load_sql

    def seeded(asked: str) -> sa.TextClause:
        statement: sa.TextClause = load(asked)
        if asked != name:
            return statement
        assert right in statement.text, f"{name}.sql was changed: seed the bug anew"
        return sa.text(statement.text.replace(right, wrong))

    patch.setattr(module, "load_sql", seeded)


def _does_nothing(*_: Any, **__: Any) -> int:
    return 0


# --- where a process dies ---------------------------------------------------------------------------------------------


def _marked_before_it_is_delivered(patch: Patch) -> None:
    """The item is closed before the system is asked, and nobody looks whether it is still leased."""
    patch.setattr(delivery, "note_sending", lambda *_: True)
    write = DeliveryAttempt.run

    def run(self: DeliveryAttempt) -> bool:
        with self.work.engine.begin() as connection:
            self._close(connection, Outcome(WorkState.DONE, self.work.clock.now()))
        delivery.failpoint("delivery.marked")
        return write(self)

    patch.setattr(DeliveryAttempt, "run", run)


def _never_looks_before_it_creates(patch: Patch) -> None:
    """A doubtful attempt creates again."""
    patch.setattr(delivery, "Change", lambda *args, **kwargs: replace(Change(*args, **kwargs), doubtful=False))


def _cursor_moves_before_the_inbox(patch: Patch) -> None:
    """The watermark is committed by itself before the page is stored, and nothing is read again."""
    take = StreamReader._take

    def early(self: StreamReader, page: Any, cursor: Any, span: Any, bound: datetime | None) -> None:
        if bound is not None:
            with self.work.engine.begin() as connection:
                self._finish(connection, cursor, span, bound, self.work.clock.now())
            with self.work.engine.begin() as connection:
                (cursor,) = open_cursors(connection, cursor.source_code, cursor.stream, [cursor.dossier_code], 0)
        polling.failpoint(f"poll.cursor_moved.{self.stream.name}")
        take(self, page, cursor, span, bound)

    patch.setattr(StreamReader, "_take", early)
    _cursor_without_overlap(patch)


def _closed_before_it_is_merged(patch: Patch) -> None:
    """Messages are marked as transformed in a transaction of their own before their rows are written."""
    claim = inbox.claim

    def early(connection: sa.Connection, dossier_code: str, *args: Any) -> list[inbox.Message]:
        with connection.engine.begin() as other:
            messages = claim(other, dossier_code, *args)
            ids = [message.message_id for message in messages]
            inbox.close(other, dossier_code, ids, "TRANSFORMED", now=datetime.now(UTC), run_id=None)
        return messages

    patch.setattr(inbox, "claim", early)


def _told_after_the_commit(patch: Patch) -> None:
    """What other systems have to be told is planned in a transaction of its own, after the rows are there."""
    plan, grew = integration.plan, Work.grew
    owed: list[tuple[Any, ...]] = []

    def later(connection: sa.Connection, *args: Any, **kwargs: Any) -> int:
        owed.append((connection.engine, args, kwargs))
        return 0

    def after_commit(self: Any, *rows: Any) -> None:
        while owed:
            engine, args, kwargs = owed.pop()
            with engine.begin() as connection:
                plan(connection, *args, **kwargs)
        grew(self, *rows)

    patch.setattr(integration, "plan", later)
    patch.setattr(Work, "grew", after_commit)


# --- where a process stands still and comes back ----------------------------------------------------------------------


def _no_fence(patch: Patch) -> None:
    """A writer does not ask whether it still has its lease."""
    patch.setattr(Work, "fence", _does_nothing)


def _lease_of_the_living_is_taken(patch: Patch) -> None:
    """A lease is taken whoever has it."""
    _in_sql(patch, lease, "acquire_leases", "l.holder IS NULL OR", "true OR")


def _work_of_the_living_is_taken(patch: Patch) -> None:
    """A leased item is claimed before its lease has ended."""
    _in_sql(patch, work_items, "claim_work", "OR w.leased_until < :now", "OR true")


# --- what is read -----------------------------------------------------------------------------------------------------


def _cursor_without_overlap(patch: Patch) -> None:
    """Only what is newer than the last watermark is asked for."""

    def strict(cursor: Cursor, bound: datetime, now: datetime) -> Window:
        return Window(cursor.watermark_at or FIRST_INSTANT, now, now)

    patch.setattr(polling, "window", strict)


def _waits_for_the_clock(patch: Patch) -> None:
    """A stream that was read later than now, because our clock went back, waits until then."""
    is_due = polling._is_due

    def waits(connection: sa.Connection, one: Any, stream: Any, now: datetime) -> bool:
        last = polling._cursor(connection, one, stream).last_success_at
        return (last is None or last <= now) and is_due(connection, one, stream, now)

    patch.setattr(polling, "_is_due", waits)


def _no_version_guard(patch: Patch) -> None:
    """An older version that arrives later is taken for the newest."""
    _in_sql(patch, inbox, "receive", "ELSE 'OLD'", "ELSE 'NEW'")


def _late_update_brings_back_the_dead(patch: Patch) -> None:
    """What arrives after a deletion is taken, however old."""
    _in_sql(patch, inbox, "receive", "head.content_hash = 'deleted' AND :complete THEN", "head.content_hash = 'deleted' THEN")


def _rival_is_dropped(patch: Patch) -> None:
    """Other content with the version that we have is not asked for anew."""
    patch.setattr(polling, "request_missing", _does_nothing)


# --- what becomes rows ------------------------------------------------------------------------------------------------


def _coalescing_drops_the_newest(patch: Patch) -> None:
    """The newest message gives way too."""
    _in_sql(patch, inbox, "coalesce_inbox", "older.message_id < head.message_id", "older.message_id <= head.message_id")


def _children_are_merged(patch: Patch) -> None:
    """Rows that are gone from a record stay."""
    patch.setattr(RecordMerge, "_delete_gone", lambda *_: set())


def _nobody_is_woken(patch: Patch) -> None:
    """A record that waits for its parent is not told of its arrival."""
    patch.setattr(inbox, "wake", _does_nothing)
    patch.setattr(inbox, "wake_after", _does_nothing)


def _waits_for_ever(patch: Patch) -> None:
    """A record whose parent never comes is not given up."""
    patch.setattr(inbox, "expire", lambda *_, **__: [])


def _same_article_twice(patch: Patch) -> None:
    """A record that another system has too becomes a row of its own."""
    patch.setattr(cross_reference, "matching", lambda *_: {})


# --- what is told -----------------------------------------------------------------------------------------------------


def _key_of_every_attempt(patch: Patch) -> None:
    """Every attempt carries an idempotency key of its own."""

    def fresh(stream: Any, external_id: Any, values: Any, _: str, **kwargs: Any) -> Change:
        return Change(stream, external_id, values, str(uuid.uuid4()), **kwargs)

    patch.setattr(delivery, "Change", fresh)


def _doubt_is_forgotten(patch: Patch) -> None:
    """An attempt whose answer was lost, or whose process died, counts as one that failed."""
    close_work = delivery.close_work
    patch.setattr(delivery, "note_sending", lambda *_: True)
    patch.setattr(delivery, "close_work", lambda *args, **kwargs: close_work(*args, **{**kwargs, "in_doubt": False}))


def _their_id_is_forgotten(patch: Patch) -> None:
    """The id under which a system created our record is not kept."""
    patch.setattr(DeliveryAttempt, "_remember", lambda *_, **__: True)


def _no_echo_ledger(patch: Patch) -> None:
    """What a system was told last is not kept, so that nothing it would be told is compared with it."""
    record_sent = delivery.record_sent

    def forgetful(connection: Any, key: Any, record_id: int, external_id: str, _: str | None, now: datetime) -> bool:
        return record_sent(connection, key, record_id, external_id, None, now)

    patch.setattr(delivery, "record_sent", forgetful)


def _attempts_begin_anew(patch: Patch) -> None:
    """The count of the attempts is lost with each of them."""
    right = delivery.outcome_of_failure
    patch.setattr(delivery, "outcome_of_failure", lambda work_id, _, failure, now: right(work_id, 1, failure, now))


BUGS: Mapping[str, Callable[[Patch], None]] = {
    bug.__name__.removeprefix("_"): bug
    for bug in (
        _marked_before_it_is_delivered,
        _never_looks_before_it_creates,
        _cursor_moves_before_the_inbox,
        _closed_before_it_is_merged,
        _told_after_the_commit,
        _no_fence,
        _lease_of_the_living_is_taken,
        _work_of_the_living_is_taken,
        _cursor_without_overlap,
        _waits_for_the_clock,
        _no_version_guard,
        _late_update_brings_back_the_dead,
        _rival_is_dropped,
        _coalescing_drops_the_newest,
        _children_are_merged,
        _nobody_is_woken,
        _waits_for_ever,
        _same_article_twice,
        _key_of_every_attempt,
        _doubt_is_forgotten,
        _their_id_is_forgotten,
        _no_echo_ledger,
        _attempts_begin_anew,
    )
}


def plant(bug: str, patch: Patch) -> None:
    """Build a bug into this process."""
    BUGS[bug](patch)
