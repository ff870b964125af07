"""The canary: every private thing of Dagster that we lean on still behaves as relied on."""

import ast
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.metadata import MetadataValue
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from erpcrm_orchestration import dagster_internals
from erpcrm_orchestration.dagster_internals import (
    WatchedRunLauncher,
    check_output,
    is_alive,
    latest_materializations,
    log_evaluations,
    log_materializations,
    partition_evaluation,
)
from erpcrm_orchestration.dagster_storage import KEPT, PooledPostgresStorage
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.jobs import BATCH_TAG
from erpcrm_orchestration.sensors.runs import batch_state, ended_runs, has_open_run
from erpcrm_orchestration.store.engine import create_engine

PACKAGE = Path(dagster_internals.__file__).parent
OURS = ("dagster_internals.py", "dagster_storage.py")
KEY = dg.AssetKey(["canary", "state"])
CHECK = "is_well"
THINGS = dg.DynamicPartitionsDefinition(name="thing")


def tell(context: dg.AssetExecutionContext | dg.OpExecutionContext, keys: list[str]) -> None:
    log_materializations(context, [dg.AssetMaterialization(KEY, partition=key) for key in keys])
    ids = latest_materializations(context.instance, KEY, keys)
    evaluations = [
        partition_evaluation(
            asset_key=KEY,
            check_name=CHECK,
            partition=key,
            passed=key != "b",
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"count": 3},
            description="told",
            run_id=context.run.run_id,
            storage_id=None if key == "c" else ids[key],
        )
        for key in keys
    ]
    log_evaluations(context, evaluations)


@dg.op
def tell_of_all(context: dg.OpExecutionContext) -> None:
    """Tell of three partitions as a sweep does."""
    tell(context, ["a", "b", "c"])


@dg.job
def sweep() -> None:
    """A run of an op, with nothing planned."""
    tell_of_all()


@dg.asset(
    key=KEY,
    partitions_def=THINGS,
    check_specs=[dg.AssetCheckSpec(CHECK, asset=KEY, partitions_def=THINGS)],
    output_required=False,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def state(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
    """Log a materialisation and an evaluation for each partition; "b" is not well, and the evaluation of "c" has no target."""
    tell(context, list(context.partition_keys))
    yield check_output(KEY, CHECK)


def add_run(instance: dg.DagsterInstance, *pids: int, **fields: object) -> DagsterRun:
    """Add a run whose worker said its pid, as Dagster's workers do."""
    run = instance.add_run(DagsterRun(job_name="canary", **fields))  # type: ignore[arg-type]
    for pid in pids:
        instance.report_engine_event("working", run, EngineEventData({"pid": MetadataValue.text(str(pid))}))
    return run


def test_an_evaluation_for_one_partition_is_current_when_it_names_the_materialisation_it_is_about(
    instance: dg.DagsterInstance,
) -> None:
    instance.add_dynamic_partitions("thing", ["a", "b", "c"])
    tags = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}
    result = dg.materialize([state], instance=instance, tags=tags)
    assert result.success
    infos = instance.event_log_storage.get_asset_check_partition_info([dg.AssetCheckKey(KEY, CHECK)])
    found = {one.partition_key: (one.latest_execution_status.value, one.is_current) for one in infos if one.partition_key}
    assert found == {"a": ("SUCCEEDED", True), "b": ("FAILED", True), "c": ("SUCCEEDED", False)}


def test_the_evaluation_is_stored_with_severity_metadata_and_description(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("thing", ["b"])
    result = dg.materialize([state], instance=instance, partition_key="b")
    (entry,) = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    assert entry.dagster_event is not None
    found = entry.dagster_event.asset_check_evaluation_data
    assert (found.partition, found.passed, found.severity, found.description) == (
        "b",
        False,
        dg.AssetCheckSeverity.WARN,
        "told",
    )
    assert found.metadata["count"] == dg.MetadataValue.int(3)


@pytest.mark.parametrize("batch_size", ["0", "1000"])
def test_what_a_sweep_writes_in_bulk_are_the_rows_that_dagster_writes_one_by_one(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, batch_size: str
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", batch_size)
    instance.add_dynamic_partitions("thing", ["a", "b", "c"])
    tags = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}
    single = dg.materialize([state], instance=instance, tags=tags)
    bulk = sweep.execute_in_process(instance=instance)
    infos = instance.event_log_storage.get_asset_check_partition_info([dg.AssetCheckKey(KEY, CHECK)])
    found = {one.partition_key: (one.latest_execution_status.value, one.is_current) for one in infos if one.partition_key}
    assert found == {"a": ("SUCCEEDED", True), "b": ("FAILED", True), "c": ("SUCCEEDED", False)}
    assert {one.latest_planned_run_id for one in infos if one.partition_key} == {bulk.run_id}
    assert written(instance, bulk.run_id) == written(instance, single.run_id)
    assert told(instance, bulk.run_id) == told(instance, single.run_id)


def written(instance: dg.DagsterInstance, run_id: str) -> list[tuple[object, ...]]:
    """Return the rows of the check executions, without what differs from run to run."""
    table = AssetCheckExecutionsTable.c
    columns = (table.asset_key, table.check_name, table.partition, table.execution_status)
    given = (table.evaluation_event_storage_id.is_not(None), table.materialization_event_storage_id.is_not(None))
    chosen = sa.select(*columns, *given).where(table.run_id == run_id, table.partition.is_not(None)).order_by(table.partition)
    assert isinstance(instance.event_log_storage, SqlEventLogStorage)
    with instance.event_log_storage.index_connection() as connection:
        return [tuple(row) for row in connection.execute(chosen)]


def told(instance: dg.DagsterInstance, run_id: str) -> list[tuple[object, ...]]:
    """Return what the event log says of the evaluations of a run."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    events = [(entry.level, entry.dagster_event.asset_check_evaluation_data) for entry in entries if entry.dagster_event]
    return [(level, one.partition, one.passed, one.severity, one.metadata, one.description) for level, one in events]


def test_the_output_of_a_check_has_the_name_that_the_step_declares() -> None:
    assert check_output(KEY, CHECK).output_name == "canary__state_is_well"
    assert "canary__state_is_well" in [output.name for output in state.op.output_defs]


def test_the_latest_materialisation_of_each_partition_is_found_in_one_query(instance: dg.DagsterInstance) -> None:
    for key in ("a", "b", "a"):
        instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=key))
    ids = latest_materializations(instance, KEY, ["a", "b", "c"])
    assert set(ids) == {"a", "b"}
    assert ids["a"] > ids["b"]


def sessions(instance: dg.DagsterInstance) -> set[int]:
    """Return the server's processes that serve sessions in the database of the storage."""
    with instance.event_log_storage._connect() as connection:  # type: ignore[attr-defined]
        return set(connection.execute(sa.text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")).scalars())


def use(instance: dg.DagsterInstance) -> None:
    """Ask each of the three storages something."""
    instance.add_dynamic_partitions("thing", ["a"])
    assert instance.get_runs() == []
    assert instance.all_instigator_state() == []


def test_every_instance_of_a_process_uses_the_same_few_sessions_of_dagsters_storage(instance: dg.DagsterInstance) -> None:
    use(instance)
    before = sessions(instance)
    for _ in range(3):
        with dg.DagsterInstance.from_ref(instance.get_ref()) as of_a_tick:
            use(of_a_tick)
    assert sessions(instance) == before
    assert len(before) <= KEPT


def test_the_storage_goes_on_after_its_sessions_were_ended(instance: dg.DagsterInstance) -> None:
    use(instance)
    before = sessions(instance)
    engine = create_engine(os.environ["DAGSTER_PG_URL"])
    with engine.connect() as connection:
        for pid in before:
            connection.execute(sa.select(sa.func.pg_terminate_backend(pid, 5000)))
    engine.dispose()
    use(instance)
    assert not before & sessions(instance)


def test_a_storage_with_tokens_is_left_to_dagsters_own_class() -> None:
    with pytest.raises(InputError, match=r"^E-RUN-009 dagster.yaml storage: auth_provider; name Dagster's own storage"):
        PooledPostgresStorage.from_config_value(None, {"postgres_url": "postgresql:///x", "auth_provider": {"azure": {}}})


def test_the_deployed_launcher_is_ours_and_run_monitoring_asks_it(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_launcher, WatchedRunLauncher)
    assert instance.run_launcher.supports_check_run_worker_health
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_poll_interval_seconds == 5


def test_a_worker_is_healthy_while_its_last_process_lives_and_failed_when_it_is_dead_or_a_zombie(
    instance: dg.DagsterInstance,
) -> None:
    launcher = instance.run_launcher
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)

    def health(*pids: int) -> tuple[WorkerStatus, str | None]:
        found = launcher.check_run_worker_health(add_run(instance, *pids))
        return found.status, found.msg

    assert health() == (WorkerStatus.RUNNING, None), "it has not said its pid yet"
    assert health(os.getpid()) == (WorkerStatus.RUNNING, None)
    assert health(os.getpid(), dead.pid) == (WorkerStatus.FAILED, f"process {dead.pid} of the run worker is gone")
    assert health(dead.pid, os.getpid()) == (WorkerStatus.RUNNING, None), "the run was resumed"
    assert health(zombie.pid) == (WorkerStatus.FAILED, f"process {zombie.pid} of the run worker is gone")
    zombie.wait()


def test_a_pid_that_another_process_has_taken_since_is_dead() -> None:
    assert is_alive(os.getpid(), time.time())
    assert not is_alive(os.getpid(), time.time() - 10 * 365 * 86400)
    assert not is_alive(2**22 + 1)


def test_a_real_run_says_its_pid(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("thing", ["a"])
    result = dg.materialize([state], instance=instance, partition_key="a")
    launcher = instance.run_launcher
    assert isinstance(launcher, WatchedRunLauncher)
    assert {pid for pid, _ in launcher._workers(result.run_id)} == {os.getpid()}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (dg.DagsterRunStatus.NOT_STARTED, "open"),
        (dg.DagsterRunStatus.STARTING, "open"),
        (dg.DagsterRunStatus.STARTED, "open"),
        (dg.DagsterRunStatus.CANCELING, "open"),
        (dg.DagsterRunStatus.SUCCESS, "ended"),
        (dg.DagsterRunStatus.FAILURE, "ended"),
        (dg.DagsterRunStatus.CANCELED, "ended"),
    ],
)
def test_the_state_of_a_batch_is_read_from_the_run_with_its_tag(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, state: str
) -> None:
    run = add_run(instance, status=status, tags={BATCH_TAG: "tick-1"})
    assert batch_state(instance, "tick-1") == state
    assert batch_state(instance, "tick-2") == "unknown"
    assert has_open_run(instance, "canary") is (state == "open")
    assert ended_runs(instance, {run.run_id}) == ({run.run_id} if state == "ended" else set())


def test_no_other_module_of_the_package_imports_what_dagster_keeps_to_itself() -> None:
    found = []
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            private = [name for name in names if name.startswith("dagster") and any(p.startswith("_") for p in name.split("."))]
            found += [f"{file.relative_to(PACKAGE)}: {name}" for name in private if file.name not in OURS]
    assert found == []
