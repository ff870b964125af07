"""The data hub: pivot files become datasets, the automaton moves them, people correct and relaunch them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from erpcrm_orchestration.clients.hub_folder import IN_ERROR, TAKEN, HubFolder
from erpcrm_orchestration.domain.automaton import DatasetView, Transition, run_states
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.configuration import DatasetCategory, DatasetType, StateGroup
from erpcrm_orchestration.domain.errors import ErpcrmError, SourceError, did_you_mean, one_line
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.pivot import HubResult, PivotFile, is_pivot, stem, storable
from erpcrm_orchestration.domain.secret import resolve
from erpcrm_orchestration.services.dataset_correction import fix, relaunch
from erpcrm_orchestration.store.configuration import load_dataset_types
from erpcrm_orchestration.store.dataset import (
    INTAKE,
    DatasetMove,
    WaitingDataset,
    dossiers_with_waiting,
    hub_folders,
    insert_pivots,
    lock_waiting,
    move_datasets,
    pivot_hashes,
)
from erpcrm_orchestration.store.engine import reported
from erpcrm_orchestration.store.logbook import LogbookLine, write_lines
from erpcrm_orchestration.store.reject import Reject, keep_rejects

__all__ = ["advance", "fix", "has_new_files", "relaunch", "take_pivot_files"]

FILES_AT_ONCE = 100
DATASETS_AT_ONCE = 500
UNFINISHED_S = 1.0
"""A file that cannot be read and is younger than this may still be written: it waits."""
PROGRAM = "data hub"


@dataclass(frozen=True)
class Folder:
    """A folder of a dossier and what is needed to take its files."""

    engine: sa.Engine
    files: HubFolder
    types: Mapping[str, DatasetType]
    now: datetime
    run_id: str | None


def take_pivot_files(
    engine: sa.Engine, dossier_codes: Sequence[str], *, clock: Clock, environment: Mapping[str, str], run_id: str | None
) -> dict[str, HubResult]:
    """Make a dataset of every complete pivot file of these dossiers, and put the files away after the commit.

    A folder that cannot be read is the `failure` of its dossier. Raises StoreError when our own database is away.
    """
    results = {code: HubResult(code) for code in dossier_codes}
    with reported(engine):
        with engine.connect() as connection:
            types = load_dataset_types(connection)
            folders = hub_folders(connection, dossier_codes)
        for code, written in folders.items():
            try:
                path = resolve(written, environment, where=f"dossier {code} hub_folder")
                results[code] = _take_folder(Folder(engine, HubFolder(Path(path), code), types, clock.now(), run_id))
            except ErpcrmError as failure:
                results[code] = replace(results[code], failure=failure)
    return results


def has_new_files(engine: sa.Engine, environment: Mapping[str, str]) -> list[str]:
    """Return the active dossiers with a pivot file to take or a dataset to move."""
    with reported(engine), engine.connect() as connection:
        folders = hub_folders(connection)
        found = set(dossiers_with_waiting(connection))
    for code, written in folders.items():
        try:
            path = Path(resolve(written, environment, where=f"dossier {code} hub_folder"))
        except ErpcrmError:
            found.add(code)  # the pass says what is wrong
            continue
        if HubFolder(path, code).has_pivots():
            found.add(code)
    return sorted(found)


def advance(engine: sa.Engine, dossier_codes: Sequence[str], *, clock: Clock, run_id: str | None) -> dict[str, int]:
    """Run the automatic states until every dataset stops; return the number of transitions by dossier."""
    moved: Counter[str] = Counter(dict.fromkeys(dossier_codes, 0))
    with reported(engine):
        while True:
            with engine.begin() as connection:
                batch = lock_waiting(connection, dossier_codes, DATASETS_AT_ONCE)
                types = load_dataset_types(connection) if batch else {}
                moved.update(_move(connection, batch, types, clock.now(), run_id))
                failpoint("hub.before_move_commit")
            if len(batch) < DATASETS_AT_ONCE:
                return dict(moved)


def _take_folder(folder: Folder) -> HubResult:
    result = HubResult(folder.files.dossier_code)
    by_stem: dict[str, list[str]] = {}
    for name in folder.files.names():
        by_stem.setdefault(stem(name), []).append(name)
    pivots = [name for group in by_stem.values() for name in group if is_pivot(name)]
    for start in range(0, len(pivots), FILES_AT_ONCE):
        result = _take_batch(folder, pivots[start : start + FILES_AT_ONCE], by_stem, result)
    return result


def _take_batch(folder: Folder, pivots: Sequence[str], by_stem: Mapping[str, Sequence[str]], result: HubResult) -> HubResult:
    found, result = _read_batch(folder, pivots, by_stem, result)
    faults = {pivot.name: fault for pivot in found if (fault := _fault(pivot, folder.types))}
    with folder.engine.begin() as connection:
        numbers, conflicts = _store(connection, folder, found, faults)
        failpoint("hub.before_commit")
    failpoint("hub.after_commit")
    for pivot in found:
        kind = IN_ERROR if pivot.name in faults or pivot.name in conflicts else TAKEN
        try:
            folder.files.put_away(pivot.name, pivot.companions, kind, pivot.content_hash)
        except SourceError as failure:
            result = replace(result, failure=result.failure or failure)
        failpoint("hub.file_moved")
    return replace(
        result,
        datasets=result.datasets + len(numbers),
        faulty=result.faulty + sum(storable(name) in numbers for name in faults),
        conflicts=result.conflicts + len(conflicts),
    )


def _read_batch(
    folder: Folder, pivots: Sequence[str], by_stem: Mapping[str, Sequence[str]], result: HubResult
) -> tuple[list[PivotFile], HubResult]:
    """Return the complete files; one that cannot be opened or is still being written stays and keeps no other out."""
    found = []
    for name in pivots:
        try:
            pivot = folder.files.read(name, by_stem[stem(name)])
        except FileNotFoundError:
            continue  # another pass put it away
        except SourceError as failure:
            result = replace(result, failure=result.failure or failure)
            continue
        if pivot.content.fault and folder.files.is_young(name, folder.now, UNFINISHED_S):
            result = replace(result, waiting=result.waiting + 1)
            continue
        found.append(pivot)
    return found, result


def _fault(pivot: PivotFile, types: Mapping[str, DatasetType]) -> str | None:
    reason = pivot.content.fault
    if not reason and pivot.content.type_code not in types:
        reason = f"DataSetType {pivot.content.type_code!r} is unknown; {did_you_mean(pivot.content.type_code, types)}"
    return one_line(f"E-HUB-010 pivot file {storable(pivot.name)}: {reason}") if reason else None


def _store(
    connection: sa.Connection, folder: Folder, pivots: Sequence[PivotFile], faults: Mapping[str, str]
) -> tuple[dict[str, int], set[str]]:
    """Return the numbers of the new datasets and the names of files whose name was used before for another content."""
    code, now = folder.files.dossier_code, folder.now
    categories = {name: found.category.value for name, found in folder.types.items()}
    numbers = insert_pivots(connection, code, pivots, faults, categories, now)
    known = pivot_hashes(connection, code, [storable(pivot.name) for pivot in pivots if storable(pivot.name) not in numbers])
    lines = []
    for pivot in pivots:
        number = numbers.get(storable(pivot.name))
        if number is not None:
            fault = faults.get(pivot.name)
            message = fault or f"dataset {number} of type {pivot.content.type_code} received"
            lines.append(_line(folder, f"{storable(pivot.name)}", "ERROR" if fault else "OK", message))
    write_lines(connection, lines)
    conflicts = [pivot for pivot in pivots if known.get(storable(pivot.name), (0, pivot.content_hash))[1] != pivot.content_hash]
    _report_conflicts(connection, folder, conflicts, known)
    return numbers, {pivot.name for pivot in conflicts}


def _report_conflicts(
    connection: sa.Connection, folder: Folder, conflicts: Sequence[PivotFile], known: Mapping[str, tuple[int, str]]
) -> None:
    """Keep each second content of a name once, with a line in the logbook; the first dataset stays as it is."""
    rejects = []
    for pivot in conflicts:
        name = storable(pivot.name)
        reason = f"E-HUB-011 pivot file {name}: other content than dataset {known[name][0]}; names are used once"
        rejects.append(
            Reject(folder.files.dossier_code, f"{name}#{pivot.content_hash}", reason, {"payload": pivot.content.payload})
        )
    keep_rejects(connection, INTAKE, rejects, folder.run_id, folder.now, "ERROR")


def _line(folder: Folder, key: str, outcome: str, message: str) -> LogbookLine:
    return LogbookLine(
        folder.files.dossier_code, folder.now, "data_hub", key, "PIVOT_FILE", outcome, message, folder.run_id, PROGRAM
    )


def _move(
    connection: sa.Connection,
    batch: Sequence[WaitingDataset],
    types: Mapping[str, DatasetType],
    now: datetime,
    run_id: str | None,
) -> Counter[str]:
    moves, lines, moved = [], [], Counter[str]()
    for dataset in batch:
        kind = types.get(dataset.type_code, DatasetType(dataset.type_code, DatasetCategory.OTHER, "", ()))
        steps = run_states(kind, dataset.state_number, DatasetView(kind.fields, dataset.fields, dataset.companions))
        moves.append(_destination(dataset, steps))
        moved[dataset.dossier_code] += len(steps)
        for position, step in enumerate(steps):
            key = f"{dataset.dataset_number}/{dataset.attempts}/{position}/{step.from_state}"
            text = f"dataset {dataset.dataset_number}: state {step.from_state} -> {step.to_state}, {step.message}"
            outcome = "ERROR" if step.state_group is StateGroup.ERROR else "OK"
            lines.append(
                LogbookLine(dataset.dossier_code, now, "system", key, "AUTOMATON", outcome, text, run_id, dataset.type_code)
            )
    move_datasets(connection, moves, now)
    write_lines(connection, lines)
    return moved


def _destination(dataset: WaitingDataset, steps: Sequence[Transition]) -> DatasetMove:
    last = steps[-1]
    error = f"state {last.from_state}: {last.message}" if last.state_group is StateGroup.ERROR else None
    return DatasetMove(dataset.dossier_code, dataset.dataset_number, last.to_state, last.state_group.value, error)
