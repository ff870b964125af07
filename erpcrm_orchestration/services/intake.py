"""Takes in what the sources of the dossiers hold: logbook lines, datasets and inter-company tasks, incrementally.

Sources are read side by side, the dossiers of one source one after the other. Everything that one pass over one stream
finds is one transaction: staging, merge, rejects and cursor. A source that is down fails for its own dossiers only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from erpcrm_orchestration.clients.sql_source import SourceUnreachable, SqlSource
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.configuration import Source
from erpcrm_orchestration.domain.errors import PermanentFailure, SourceError, TransientFailure
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.intake import Cursor, IntakeResult, Stream, look_alike, streams_of
from erpcrm_orchestration.services.stream_pass import EpochMoved, Pass, StreamPass
from erpcrm_orchestration.store.configuration import load_sources
from erpcrm_orchestration.store.cursor import Progress, dossiers_with_source, open_cursors, record_failures
from erpcrm_orchestration.store.dataset import dataset_categories
from erpcrm_orchestration.store.engine import in_each_others_way, reported

SOURCES_AT_ONCE = 8
DOSSIERS_AT_ONCE = 500
ATTEMPTS = 8
"""How often a pass is repeated when another one moved a cursor meanwhile."""
FAILURES_IN_ROW = 3
"""After so many dossiers in a row whose reading failed, the rest of the stream waits for the next pass."""
WRONG_MAPPING = {"E-SRC-021", "E-SRC-022", "E-SRC-023"}
"""No such table, no such column, no column of time: the same for every dossier."""


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
        intake = SourceIntake(work, source, dossier_codes)
        try:
            with closing(SqlSource(source, environment)) as opened:
                intake.take(opened)
        except SourceError as failure:
            intake.fail_rest(failure)
        results |= intake.results
    return results


class SourceIntake:
    """Reads one source for its dossiers: many at once, and one by one where a group cannot be read together."""

    def __init__(self, work: Pass, source: Source, dossier_codes: Sequence[str]) -> None:
        self.work, self.source = work, source
        self.results = {code: IntakeResult(code) for code in dossier_codes}
        self._pending = {stream.name: set(dossier_codes) for stream in streams_of(source)}
        self._in_row = 0

    def take(self, opened: SqlSource) -> None:
        """Read every stream for every dossier; raise SourceUnreachable as soon as there is no connection."""
        for stream in streams_of(self.source):
            self._in_row = 0
            at_once = DOSSIERS_AT_ONCE if stream.dossier_column else 1
            for group in look_alike(self._cursors(stream, sorted(self.results)), self.work.clock.now(), at_once):
                self._take_group(opened, stream, [cursor.dossier_code for cursor in group])

    def fail_rest(self, failure: SourceError) -> None:
        """Note the failure for everything that was not read yet."""
        for stream, codes in self._pending.items():
            self._note(stream, sorted(codes), failure)

    def _take_group(self, opened: SqlSource, stream: Stream, dossier_codes: Sequence[str]) -> None:
        try:
            progress = self._pass(opened, stream, dossier_codes)
        except SourceUnreachable:
            raise
        except SourceError as failure:
            if len(dossier_codes) > 1 and failure.code not in WRONG_MAPPING:
                self._take_singly(opened, stream, dossier_codes)
                return
            self._in_row = self._in_row + 1 if isinstance(failure, TransientFailure) else 0
            self._note(stream.name, dossier_codes, failure)
            return
        self._in_row = 0
        self._pending[stream.name].difference_update(dossier_codes)
        for code, found in progress.items():
            self.results[code] = _added(self.results[code], stream, found)

    def _take_singly(self, opened: SqlSource, stream: Stream, dossier_codes: Sequence[str]) -> None:
        for position, code in enumerate(dossier_codes):
            if self._in_row >= FAILURES_IN_ROW:
                failure = self.results[dossier_codes[position - 1]].failure
                if isinstance(failure, SourceError):
                    self._note(stream.name, dossier_codes[position:], failure)
                return
            self._take_group(opened, stream, [code])

    def _pass(self, opened: SqlSource, stream: Stream, dossier_codes: Sequence[str]) -> dict[str, Progress]:
        where = f"source {self.source.source_code} stream {stream.name}"
        for _ in range(ATTEMPTS):
            try:
                cursors = self._cursors(stream, dossier_codes)
                with opened.session() as session, self.work.engine.begin() as connection:
                    progress = StreamPass(self.work, self.source, stream, cursors, session, connection).run()
                    failpoint("intake.before_commit")
            except EpochMoved:
                continue
            except DBAPIError as error:
                if in_each_others_way(error):
                    continue
                if error.connection_invalidated or isinstance(error, OperationalError):
                    raise
                # A constraint of ours that the reading did not foresee: this stream waits, the others go on.
                raise PermanentFailure(
                    "E-SRC-029", where, f"our tables refuse its rows: {_first(error)}", "report it"
                ) from error
            failpoint("intake.after_commit")
            return progress
        raise TransientFailure("E-SRC-028", where, "other passes move its cursor", "it is read again at the next pass")

    def _cursors(self, stream: Stream, dossier_codes: Sequence[str]) -> list[Cursor]:
        with self.work.engine.begin() as connection:
            source = self.source
            return open_cursors(connection, source.source_code, stream.name, dossier_codes, source.overlap_floor_s)

    def _note(self, stream: str, dossier_codes: Sequence[str], failure: SourceError) -> None:
        for code in dossier_codes:
            self.results[code] = replace(self.results[code], failure=self.results[code].failure or failure)
        keys = [(code, self.source.source_code, stream) for code in dossier_codes]
        with self.work.engine.begin() as connection:
            record_failures(connection, keys, self.source.overlap_floor_s, str(failure), self.work.clock.now())
        self._pending[stream].difference_update(dossier_codes)


def _added(result: IntakeResult, stream: Stream, progress: Progress) -> IntakeResult:
    return replace(
        result,
        logbook_rows=result.logbook_rows + (progress.merged if stream.kind == "logbook" else 0),
        dataset_rows=result.dataset_rows + (progress.merged if stream.kind == "datasets" else 0),
        task_rows=result.task_rows + (progress.merged if stream.kind == "tasks" else 0),
        rejected=result.rejected + progress.rejected,
    )


def _first(error: DBAPIError) -> str:
    """Return the first line of a database error, which names the constraint; the detail with the values is left out."""
    return str(error.orig).strip().partition("\n")[0]
