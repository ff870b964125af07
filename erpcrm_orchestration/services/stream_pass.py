"""One pass over one stream for a group of dossiers: read, stage, merge and move the cursors, in one transaction of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.clients.sql_source import SourceSession
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.configuration import Source
from erpcrm_orchestration.domain.errors import InputError, PermanentFailure
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.intake import Cursor, RawRow, Stream, Window, deep_look_s, joint_window
from erpcrm_orchestration.domain.source_row import RowReader, evidence
from erpcrm_orchestration.store.cursor import Progress, advance_cursors
from erpcrm_orchestration.store.dataset import merge_datasets, open_keys, stage_datasets
from erpcrm_orchestration.store.logbook import merge_lines, stage_lines
from erpcrm_orchestration.store.reject import Reject, keep_rejects, rejected_keys, remove_rejects
from erpcrm_orchestration.store.task import merge_tasks, stage_tasks

STAGE: Mapping[str, Callable[[sa.Connection, Iterable[Sequence[Any]]], None]] = {
    "logbook": stage_lines,
    "datasets": stage_datasets,
    "tasks": stage_tasks,
}
MERGE: Mapping[str, Callable[[sa.Connection, dict[str, Any]], list[sa.Row[Any]]]] = {
    "logbook": merge_lines,
    "datasets": merge_datasets,
    "tasks": merge_tasks,
}

Key = tuple[str, str]
OPEN_AT_ONCE = 5000


@dataclass(frozen=True)
class Pass:
    """What a pass needs besides its stream."""

    engine: sa.Engine
    clock: Clock
    run_id: str | None
    categories: Mapping[str, str]


class EpochMoved(Exception):
    """Another pass moved a cursor while this one read; nothing of this one is kept."""


class StreamPass:
    """A pass for the dossiers of the given cursors."""

    def __init__(
        self,
        work: Pass,
        source: Source,
        stream: Stream,
        cursors: Sequence[Cursor],
        session: SourceSession,
        connection: sa.Connection,
    ) -> None:
        self.work, self.source, self.stream, self.cursors = work, source, stream, cursors
        self.session, self.connection = session, connection
        self.codes = [cursor.dossier_code for cursor in cursors]
        self.intake = f"source:{source.source_code}/{stream.name}"
        self.reader = RowReader(source, stream, work.categories)
        self.attribution = Attribution(stream, self.codes)
        self.rejects: dict[Key, Reject] = {}
        self.taken: set[Key] = set()
        self.position = 0

    def run(self) -> dict[str, Progress]:
        """Return what was found for each dossier; raise EpochMoved when another pass moved a cursor meanwhile."""
        now = self.work.clock.now()
        span = joint_window(self.cursors, self.session.now(), now)
        known = rejected_keys(self.connection, self.codes, self.intake)
        self._read(span, known, now)
        progress = self._merge(span, known)
        failpoint("intake.before_cursor")
        if not advance_cursors(self.connection, self.cursors, span, progress, self.source.overlap_floor_s, now):
            raise EpochMoved
        return progress

    def _read(self, span: Window, known: Sequence[Key], now: datetime) -> None:
        for page in self.session.pages(self.stream, self.codes, span):
            self._stage(page, span)
            failpoint("intake.between_pages")
        self._stage(self.session.unplaced(self.stream, self.codes), span)
        wanted = {key for key in (*known, *self._open(now)) if not key[1].startswith("row:") and key not in self.taken}
        for page in self.session.keyed(self.stream, self.codes, sorted({key for _, key in wanted})):
            self._stage([raw for raw in page if (self.attribution.code(raw), self.reader.key(raw)) in wanted], span)

    def _open(self, now: datetime) -> list[Key]:
        """Return the open datasets now and then: an ERP may close one without touching its instant."""
        if self.stream.kind != "datasets" or not any(deep_look_s(cursor, now) for cursor in self.cursors):
            return []
        return open_keys(self.connection, self.codes, self.intake, OPEN_AT_ONCE)

    def _stage(self, page: Sequence[RawRow], span: Window) -> None:
        rows = []
        for raw in page:
            code = self.attribution.code(raw)
            key = (code, self.reader.key(raw))
            self.position += 1
            try:
                rows.append((self.position, code, *self.reader.read(raw, span.bound)))
            except InputError as reason:
                self.rejects[key] = Reject(*key, str(reason), evidence(raw))
                self.taken.discard(key)
                continue
            self.taken.add(key)
            self.rejects.pop(key, None)
        if rows:
            STAGE[self.stream.kind](self.connection, rows)

    def _merge(self, span: Window, known: Sequence[Key]) -> dict[str, Progress]:
        now = self.work.clock.now()
        rejected = keep_rejects(self.connection, self.intake, list(self.rejects.values()), self.work.run_id, now)
        remove_rejects(self.connection, self.intake, sorted(self.taken.intersection(known)))
        progress = {code: Progress(rejected=count) for code, count in rejected.items()}
        if not self.taken:
            return progress
        parameters = {
            "origin": f"source:{self.source.source_code}",
            "intake": self.intake,
            "source_code": self.source.source_code,
            "stream": self.stream.name,
            "target_code": self.source.tasks.target if self.source.tasks else None,
            "run_id": self.work.run_id,
            "now": now,
            "after": span.after,
        }
        for row in MERGE[self.stream.kind](self.connection, parameters):
            found = progress.get(row.dossier_code, Progress())
            progress[row.dossier_code] = replace(found, merged=row.merged, late=row.late, max_lateness_s=row.max_lateness_s)
        return progress


class Attribution:
    """Tells from what a row says of its dossier which one it belongs to; databases compare texts less strictly than we do."""

    def __init__(self, stream: Stream, dossier_codes: Sequence[str]) -> None:
        self._only = dossier_codes[0] if len(dossier_codes) == 1 else None
        self._where = f"stream {stream.name}"
        written = stream.where.get(stream.dossier_column or "", "{dossier}")
        self._codes: dict[str, str] = {}
        for code in dossier_codes:
            self._codes.setdefault(_folded(written.replace("{dossier}", code)), code)
        self._certain = len(self._codes) == len(dossier_codes)

    def code(self, raw: RawRow) -> str:
        """Return the dossier of a row; raise PermanentFailure E-SRC-030 when it is not one of those asked for."""
        if self._only is not None:
            return self._only
        found = self._codes.get(_folded(str(raw.dossier)))
        if found is None or not self._certain:
            raise PermanentFailure("E-SRC-030", self._where, "a row does not tell its dossier", "read it dossier by dossier")
        return found


def _folded(text: str) -> str:
    folded = text.strip().casefold()
    return folded.lstrip("0") if folded.isascii() and folded.isdigit() else folded
