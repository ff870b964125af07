"""Everything that leans on Dagster beyond its public interface, in one place, so that one canary test guards it.

Written against dagster 1.13.27: tests/dagster/test_dagster_internals.py fails when a newer one behaves differently.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import uuid
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.definitions.metadata import normalize_metadata
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._serdes import serialize_value

__all__ = [
    "CheckRunHealthResult",
    "WatchedRunLauncher",
    "WorkerStatus",
    "check_output",
    "is_alive",
    "latest_materializations",
    "log_evaluations",
    "log_materializations",
    "partition_evaluation",
    "purge_check_executions",
]

PID = "pid"
ROWS_AT_ONCE = 1000
START_FIELD = 19
"""Place of the start, in clock ticks since boot, among the fields of /proc/PID/stat that follow the name: proc(5)."""
CLOCK_SLACK_S = 60
"""The boot time is a whole second and moves when the clock is set."""

# Partitioned checks are a preview and backfill policies a beta of Dagster; both are used on purpose (docs/decisions.md).
for _lifecycle in (dg.PreviewWarning, dg.BetaWarning):
    warnings.filterwarnings("ignore", category=_lifecycle, module=r"erpcrm_orchestration|dagster\._core\.decorator_utils")


def latest_materializations(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, partitions: Iterable[str]
) -> Mapping[str, int]:
    """Return partition -> storage id of its latest materialisation, in one query."""
    return instance.get_latest_storage_id_by_partition(asset_key, dg.DagsterEventType.ASSET_MATERIALIZATION, set(partitions))


def partition_evaluation(  # noqa: PLR0913 - what Dagster's event consists of
    *,
    asset_key: dg.AssetKey,
    check_name: str,
    partition: str,
    passed: bool,
    severity: dg.AssetCheckSeverity,
    metadata: Mapping[str, Any],
    description: str | None,
    run_id: str,
    storage_id: int | None,
) -> dg.AssetCheckEvaluation:
    """Return the evaluation of a check for one partition; without the materialisation it targets, the UI would show nothing."""
    target = None
    if storage_id is not None:
        target = AssetCheckEvaluationTargetMaterializationData(run_id=run_id, storage_id=storage_id, timestamp=time.time())
    return dg.AssetCheckEvaluation(
        asset_key=asset_key,
        check_name=check_name,
        partition=partition,
        passed=passed,
        severity=severity,
        metadata=normalize_metadata(metadata),
        description=description,
        target_materialization_data=target,
    )


StepContext = dg.OpExecutionContext | dg.AssetExecutionContext


def log_materializations(context: StepContext, items: Sequence[dg.AssetMaterialization]) -> None:
    """Record materialisations from within a step: in batches, when DAGSTER_EVENT_BATCH_SIZE allows them."""
    step = context.get_step_execution_context()
    batch = str(uuid.uuid4())
    for position, item in enumerate(items, 1):
        DagsterEvent.asset_materialization(step, item, DagsterEventBatchMetadata(batch, is_end=position == len(items)))


def log_evaluations(context: StepContext, items: Sequence[dg.AssetCheckEvaluation]) -> None:
    """Record evaluations from within a step.

    Dagster stores each with a handful of statements. A run of an op has planned none of them, so that here they are new rows
    and go in by the thousand; a run of the asset has planned a row for each partition, which each evaluation has to find.
    """
    storage = context.instance.event_log_storage
    if isinstance(context, dg.OpExecutionContext) and isinstance(storage, SqlEventLogStorage) and _is_postgres(storage):
        for begin in range(0, len(items), ROWS_AT_ONCE):
            _store_evaluations(context, storage, items[begin : begin + ROWS_AT_ONCE])
        return
    for item in items:
        context.log_event(item)  # type: ignore[arg-type] # its annotation leaves out what its body takes


def _is_postgres(storage: SqlEventLogStorage) -> bool:
    """By name: its package costs every process that loads the definitions an import of psycopg2."""
    return type(storage).__name__ == "PostgresEventLogStorage"


def _store_evaluations(
    context: dg.OpExecutionContext, storage: SqlEventLogStorage, items: Sequence[dg.AssetCheckEvaluation]
) -> None:
    """Write the rows that SqlEventLogStorage.store_event writes for new evaluations, in two statements."""
    entries = [_entry(context, item) for item in items]
    insert = storage.prepare_insert_event_batch(entries).returning(SqlEventLogStorageTable.c.id)
    with storage.index_connection() as connection:
        ids = [row[0] for row in connection.execute(insert)]
        rows = [
            {
                "asset_key": item.asset_key.to_string(),
                "check_name": item.check_name,
                "partition": item.partition,
                "run_id": entry.run_id,
                "execution_status": "SUCCEEDED" if item.passed else "FAILED",
                "evaluation_event": serialize_value(entry),
                "evaluation_event_timestamp": datetime.fromtimestamp(entry.timestamp, UTC).replace(tzinfo=None),
                "evaluation_event_storage_id": storage_id,
                "materialization_event_storage_id": (
                    item.target_materialization_data.storage_id if item.target_materialization_data else None
                ),
            }
            for item, entry, storage_id in zip(items, entries, ids, strict=True)
        ]
        connection.execute(AssetCheckExecutionsTable.insert(), rows)


def _entry(context: dg.OpExecutionContext, item: dg.AssetCheckEvaluation) -> dg.EventLogEntry:
    step = context.get_step_execution_context()
    event = DagsterEvent(
        event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
        job_name=step.job_name,
        step_handle=step.step.handle,
        node_handle=step.step.node_handle,
        step_kind_value=step.step.kind.value,
        logging_tags=step.event_tags,
        event_specific_data=item,
        message=None,
        pid=os.getpid(),
    )
    return dg.EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        level=logging.DEBUG,
        user_message="",
        run_id=context.run.run_id,
        timestamp=time.time(),
        step_key=step.step.key,
        job_name=step.job_name,
        dagster_event=event,
    )


def check_output(asset_key: dg.AssetKey, check_name: str) -> dg.Output[None]:
    """Return what a step yields for a check whose evaluations it has logged itself, one for each partition."""
    return dg.Output(None, output_name="__".join(asset_key.path) + f"_{check_name}")


def purge_check_executions(instance: dg.DagsterInstance, before: datetime) -> int:
    """Delete check results older than `before` but the latest of each check and partition; return how many.

    Dagster has no retention for them, and deleting a run leaves them behind.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    table = AssetCheckExecutionsTable.c
    latest = sa.select(sa.func.max(table.id)).group_by(table.asset_key, table.check_name, table.partition)
    expired = sa.delete(AssetCheckExecutionsTable).where(
        table.create_timestamp < before.astimezone(UTC).replace(tzinfo=None), table.id.not_in(latest)
    )
    with storage.index_connection() as connection:
        return connection.execute(expired).rowcount


class WatchedRunLauncher(DefaultRunLauncher):
    """The default launcher, able to tell run monitoring that a worker died together with the code server that watched it."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """FAILED when the worker's process is gone; RUNNING also while it is not known yet."""
        workers = self._workers(run.run_id)
        if not workers or is_alive(*workers[-1]):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"process {workers[-1][0]} of the run worker is gone")

    def _workers(self, run_id: str) -> Sequence[tuple[int, float]]:
        """Return the pids that the run's events name, each with the instant of its event."""
        events = self._instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        found = [(e.dagster_event.engine_event_data.metadata.get(PID), e.timestamp) for e in events if e.dagster_event]
        return [(int(pid.text), at) for pid, at in found if isinstance(pid, dg.TextMetadataValue) and pid.text]


def is_alive(pid: int, seen_at: float | None = None) -> bool:
    """True for a process that runs; a zombie has a pid and is dead, and so is one whose pid another has taken since.

    `seen_at` is an instant at which the process lived, in seconds of Unix time. After a restart of a machine or a container
    the same low pids are given out again.
    """
    if sys.platform != "linux":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return False
    if len(fields) <= START_FIELD or fields[0] in {"Z", "X"}:
        return False
    started = _boot_time() + int(fields[START_FIELD]) / os.sysconf("SC_CLK_TCK")
    return seen_at is None or started <= seen_at + CLOCK_SLACK_S


def _boot_time() -> int:
    lines = Path("/proc/stat").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("btime "))
