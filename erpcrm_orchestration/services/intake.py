"""Takes in what the sources of the dossiers hold: logbook lines, datasets and inter-company tasks, incrementally.

Sources are read side by side, the dossiers of one source one after the other. Everything that one pass over one stream
finds is one transaction: staging, merge, rejects and cursor. A source that is down fails for its own dossiers only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from erpcrm_orchestration.clients.sql_source import SourceSession, SourceUnreachable, SqlSource
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.configuration import Source
from erpcrm_orchestration.domain.errors import InputError, PermanentFailure, SourceError, TransientFailure
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.intake import Cursor, IntakeResult, RawRow, Stream, Window, streams_of, window
from erpcrm_orchestration.domain.source_row import RowReader, evidence
from erpcrm_orchestration.store.configuration import load_sources
from erpcrm_orchestration.store.cursor import (
    Progress,
    advance_cursor,
    dossiers_with_source,
    open_cursor,
    record_failures,
)
from erpcrm_orchestration.store.dataset import dataset_categories, merge_datasets, stage_datasets
from erpcrm_orchestration.store.engine import reported
from erpcrm_orchestration.store.logbook import merge_lines, stage_lines
from erpcrm_orchestration.store.reject import Reject, keep_rejects, rejected_keys, remove_rejects
from erpcrm_orchestration.store.task import merge_tasks, stage_tasks

SOURCES_AT_ONCE = 8
ATTEMPTS = 5
"""How often a pass is repeated when another one moved the cursor meanwhile."""
FAILURES_IN_ROW = 3
"""After so many dossiers in a row whose reading failed, the rest of the source waits for the next pass."""


@dataclass(frozen=True)
class Pass:
    """What a pass needs besides its stream."""

    engine: sa.Engine
    clock: Clock
    run_id: str | None
    categories: Mapping[str, str]


class EpochMoved(Exception):
    """Another pass moved the cursor while this one read; nothing of this one is kept."""


def take_in(
    engine: sa.Engine, dossier_codes: Sequence[str], *, clock: Clock, environment: Mapping[str, str], run_id: str | None
) -> dict[str, IntakeResult]:
    """Read the sources of the dossiers and return what was stored for each; a dossier without source has an empty result.

    A source that cannot be read is the `failure` of its dossiers. Raises StoreError when our own database is away.
    """
    with reported(engine):
        with engine.connect() as connection:
            sources = load_sources(connection)
            categories = dataset_categories(connection)
            assigned = dossiers_with_source(connection, dossier_codes)
        by_url: dict[str, list[tuple[Source, list[str]]]] = {}
        for code in sorted({code for _, code in assigned}):
            members = [dossier for dossier, source_code in assigned if source_code == code]
            by_url.setdefault(sources[code].url, []).append((sources[code], members))
        work = Pass(engine, clock, run_id, categories)
        results = {code: IntakeResult(code) for code in dossier_codes}
        with ThreadPoolExecutor(max(1, min(SOURCES_AT_ONCE, len(by_url))), "intake") as threads:
            for part in threads.map(lambda group: _take_sources(work, group, environment), by_url.values()):
                results |= part
    return results


def _take_sources(
    work: Pass, group: Iterable[tuple[Source, list[str]]], environment: Mapping[str, str]
) -> dict[str, IntakeResult]:
    results: dict[str, IntakeResult] = {}
    for source, dossier_codes in group:
        try:
            with closing(SqlSource(source, environment)) as opened:
                results |= _take_dossiers(work, opened, dossier_codes)
        except SourceError as failure:
            results |= _fail(work, source, dossier_codes, failure)
    return results


def _take_dossiers(work: Pass, opened: SqlSource, dossier_codes: list[str]) -> dict[str, IntakeResult]:
    results: dict[str, IntakeResult] = {}
    in_row = 0
    for position, code in enumerate(dossier_codes):
        try:
            results[code] = _take_dossier(work, opened, code)
        except SourceUnreachable as failure:
            return results | _fail(work, opened.source, dossier_codes[position:], failure)
        failed = results[code].failure
        in_row = in_row + 1 if isinstance(failed, TransientFailure) else 0
        if isinstance(failed, TransientFailure) and in_row == FAILURES_IN_ROW:
            return results | _fail(work, opened.source, dossier_codes[position + 1 :], failed)
    return results


def _take_dossier(work: Pass, opened: SqlSource, dossier_code: str) -> IntakeResult:
    result = IntakeResult(dossier_code)
    for stream in streams_of(opened.source):
        try:
            progress = _take_stream(work, opened, stream, dossier_code)
        except SourceUnreachable:
            raise
        except SourceError as failure:
            result = replace(result, failure=result.failure or failure)
            _record(work, opened.source, [(dossier_code, opened.source.source_code, stream.name)], failure)
            continue
        result = _added(result, stream, progress)
    return result


def _added(result: IntakeResult, stream: Stream, progress: Progress) -> IntakeResult:
    return replace(
        result,
        logbook_rows=result.logbook_rows + (progress.merged if stream.kind == "logbook" else 0),
        dataset_rows=result.dataset_rows + (progress.merged if stream.kind == "datasets" else 0),
        task_rows=result.task_rows + (progress.merged if stream.kind == "tasks" else 0),
        rejected=result.rejected + progress.rejected,
    )


def _take_stream(work: Pass, opened: SqlSource, stream: Stream, dossier_code: str) -> Progress:
    where = f"source {opened.source.source_code} stream {stream.name}"
    for _ in range(ATTEMPTS):
        try:
            with opened.session() as session, work.engine.begin() as connection:
                progress = StreamPass(work, opened.source, stream, dossier_code, session, connection).run()
                failpoint("intake.before_commit")
        except EpochMoved:
            continue
        except DBAPIError as error:
            if error.connection_invalidated or isinstance(error, OperationalError):
                raise
            # A constraint of ours that the reading did not foresee: this stream waits, the others go on.
            raise PermanentFailure("E-SRC-029", where, f"our tables refuse its rows: {_first(error)}", "report it") from error
        failpoint("intake.after_commit")
        return progress
    raise TransientFailure("E-SRC-028", where, "other passes move its cursor", "it is read again at the next pass")


class StreamPass:
    """One pass over one stream of one dossier, within one transaction of ours."""

    def __init__(
        self, work: Pass, source: Source, stream: Stream, dossier_code: str, session: SourceSession, connection: sa.Connection
    ) -> None:
        self.work, self.source, self.stream, self.dossier_code = work, source, stream, dossier_code
        self.session, self.connection = session, connection
        self.intake = f"source:{source.source_code}/{stream.name}"
        self.reader = RowReader(source, stream, work.categories)
        self.rejects: dict[str, Reject] = {}
        self.taken: set[str] = set()
        self.position = 0

    def run(self) -> Progress:
        """Read, stage, merge, and move the cursor; raise EpochMoved when another pass did so meanwhile."""
        key = (self.dossier_code, self.source.source_code, self.stream.name)
        cursor = open_cursor(self.connection, key, self.source.overlap_floor_s)
        now = self.work.clock.now()
        span = window(cursor, self.session.now(), now)
        known = rejected_keys(self.connection, self.dossier_code, self.intake)
        self._read(span, known)
        progress = self._merge(cursor, span, known)
        failpoint("intake.before_cursor")
        if not advance_cursor(self.connection, cursor, span, progress, self.source.overlap_floor_s, now):
            raise EpochMoved
        return progress

    def _read(self, span: Window, known: list[str]) -> None:
        for page in self.session.pages(self.stream, self.dossier_code, span):
            self._stage(page, span)
            failpoint("intake.between_pages")
        self._stage(self.session.unplaced(self.stream, self.dossier_code), span)
        keys = [key for key in known if not key.startswith("row:") and key not in self.taken]
        for page in self.session.keyed(self.stream, self.dossier_code, keys):
            self._stage(page, span)

    def _stage(self, page: list[RawRow], span: Window) -> None:
        rows = []
        for raw in page:
            key = self.reader.key(raw)
            self.position += 1
            try:
                rows.append((self.position, *self.reader.read(raw, span.bound)))
            except InputError as reason:
                self.rejects[key] = Reject(key, str(reason), evidence(raw))
                self.taken.discard(key)
                continue
            self.taken.add(key)
            self.rejects.pop(key, None)
        if rows:
            STAGE[self.stream.kind](self.connection, rows)

    def _merge(self, cursor: Cursor, span: Window, known: list[str]) -> Progress:
        now = self.work.clock.now()
        rejected = keep_rejects(
            self.connection, (self.dossier_code, self.intake), list(self.rejects.values()), self.work.run_id, now
        )
        remove_rejects(self.connection, self.dossier_code, self.intake, sorted(self.taken.intersection(known)))
        if not self.taken:
            return Progress(rejected=rejected)
        merged = MERGE[self.stream.kind](
            self.connection,
            {
                "dossier_code": self.dossier_code,
                "origin": f"source:{self.source.source_code}",
                "intake": self.intake,
                "target_code": self.source.tasks.target if self.source.tasks else None,
                "run_id": self.work.run_id,
                "now": now,
                "watermark_at": cursor.watermark_at,
                "after": span.after,
            },
        )
        return Progress(merged.merged, rejected, merged.late, merged.max_lateness_s)


STAGE: Mapping[str, Callable[[sa.Connection, Iterable[Sequence[Any]]], None]] = {
    "logbook": stage_lines,
    "datasets": stage_datasets,
    "tasks": stage_tasks,
}
MERGE: Mapping[str, Callable[[sa.Connection, dict[str, Any]], sa.Row[Any]]] = {
    "logbook": merge_lines,
    "datasets": merge_datasets,
    "tasks": merge_tasks,
}


def _fail(work: Pass, source: Source, dossier_codes: Sequence[str], failure: SourceError) -> dict[str, IntakeResult]:
    names = [stream.name for stream in streams_of(source)]
    _record(work, source, [(code, source.source_code, name) for code in dossier_codes for name in names], failure)
    return {code: IntakeResult(code, failure=failure) for code in dossier_codes}


def _record(work: Pass, source: Source, keys: Sequence[tuple[str, str, str]], failure: SourceError) -> None:
    with work.engine.begin() as connection:
        record_failures(connection, keys, source.overlap_floor_s, str(failure), work.clock.now())


def _first(error: DBAPIError) -> str:
    """Return the first line of a database error, which names the constraint; the detail with the values is left out."""
    return str(error.orig).strip().partition("\n")[0]
