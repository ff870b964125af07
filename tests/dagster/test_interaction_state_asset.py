"""The asset `interaction_state` on a real instance: many dossiers in one run, each with its own events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from erpcrm_orchestration.checks.supervision import NO_DOSSIER_IS_IN_ALERT
from erpcrm_orchestration.definitions import defs
from erpcrm_orchestration.domain.configuration import LogbookMapping, Source
from erpcrm_orchestration.domain.widget import WIDGET_FIELDS
from erpcrm_orchestration.partitions import HUB_DATASET, INTERACTION_STATE, LOGBOOK_ENTRY
from erpcrm_orchestration.sensors.supervision import OP
from erpcrm_orchestration.store import schema
from tests.company import Company

NOW = datetime.now(UTC)
"""Runs read the machine's clock, so these tests are about events, not about instants."""


def dossier(company: Company, code: str, *, minutes: int, **columns: object) -> None:
    company.dossier(code, delay=30, activated_at=NOW - timedelta(days=30), **columns)
    company.log(code, datetime.now(UTC) - timedelta(minutes=minutes))


def run(
    instance: dg.DagsterInstance, *codes: str, partition: str | None = None, tags: dict[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    """Run as the schedule (codes), `dagster asset materialize` (partition) or a backfill (tags) would."""
    if codes:
        sweep = defs.resolve_job_def("refresh_interaction_state")
        config = {"ops": {OP: {"config": {"dossiers": list(codes)}}}}
        return sweep.execute_in_process(instance=instance, run_config=config, raise_on_error=False)
    job = defs.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance, partition_key=partition, tags=tags, asset_selection=[INTERACTION_STATE], raise_on_error=False
    )


def evaluations(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult, check: str) -> list[dg.AssetCheckEvaluation]:
    """Return every stored evaluation of the check in this run."""
    entries = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [entry.dagster_event.asset_check_evaluation_data for entry in entries if entry.dagster_event]
    return [one for one in found if one.check_name == check]


def statuses(instance: dg.DagsterInstance, check: str) -> dict[str | None, tuple[str, bool]]:
    """Return partition -> (status, is current) as the UI's partitions tab reads them."""
    infos = instance.event_log_storage.get_asset_check_partition_info([dg.AssetCheckKey(INTERACTION_STATE, check)])
    return {info.partition_key: (info.latest_execution_status.value, info.is_current) for info in infos if info.partition_key}


@pytest.fixture
def three(company: Company, instance: dg.DagsterInstance) -> Company:
    """Dossiers 001 (on time), 002 (late), 003 (on time), registered as partitions."""
    dossier(company, "001", minutes=5)
    dossier(company, "002", minutes=95)
    dossier(company, "003", minutes=5)
    company.mail_group()
    company.template("FORM.dossier_code", "FORM.TOUT")
    instance.add_dynamic_partitions("dossier", ["001", "002", "003"])
    return company


def test_one_run_gives_each_of_its_dossiers_a_materialisation_and_its_own_check_results(
    three: Company, instance: dg.DagsterInstance
) -> None:
    assert run(instance, "001", "002").success
    assert instance.get_materialized_partitions(INTERACTION_STATE) == {"001", "002"}
    assert statuses(instance, "synchronisation_is_on_time") == {"001": ("SUCCEEDED", True), "002": ("FAILED", True)}
    assert three.state("003") is None


def test_the_metadata_reads_like_the_widget(three: Company, instance: dg.DagsterInstance) -> None:
    run(instance, "002")
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=INTERACTION_STATE, asset_partitions=["002"]), limit=1
    ).records
    materialization = records[0].asset_materialization
    assert materialization is not None
    assert tuple(materialization.metadata)[:10] == WIDGET_FIELDS
    assert materialization.metadata["sync_state_label"].value == "Alerte > 30"


def test_a_single_partition_can_be_materialised_as_from_the_command_line_of_dagster(
    three: Company, instance: dg.DagsterInstance
) -> None:
    assert run(instance, partition="003").success
    assert instance.get_materialized_partitions(INTERACTION_STATE) == {"003"}


def test_a_backfill_over_a_range_is_one_run_with_a_result_for_each_dossier(
    three: Company, instance: dg.DagsterInstance
) -> None:
    tags = {"dagster/asset_partition_range_start": "001", "dagster/asset_partition_range_end": "003"}
    assert run(instance, tags=tags).success
    assert instance.get_materialized_partitions(INTERACTION_STATE) == {"001", "002", "003"}
    assert statuses(instance, "synchronisation_is_on_time")["002"] == ("FAILED", True)
    assert statuses(instance, "source_is_reachable")["003"] == ("SUCCEEDED", True)


def test_the_badge_of_the_asset_tells_of_all_dossiers_of_the_run(three: Company, instance: dg.DagsterInstance) -> None:
    result = run(instance, "001", "002", "003")
    summary = evaluations(instance, result, NO_DOSSIER_IS_IN_ALERT)
    assert [
        (one.passed, one.partition, one.metadata["in_alert"].value, one.metadata["dossiers_in_alert"].value) for one in summary
    ] == [(False, None, 1, "002")]


def test_dossiers_that_are_no_range_are_refreshed_in_one_run_also_after_their_input_was_materialised(
    three: Company, instance: dg.DagsterInstance
) -> None:
    for key in (LOGBOOK_ENTRY, HUB_DATASET):
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition="001"))
    assert run(instance, "001", "003").success
    assert run(instance, partition="002").success
    assert instance.get_materialized_partitions(INTERACTION_STATE) == {"001", "002", "003"}


def test_A39_a_source_that_is_down_fails_its_dossier_alone_and_visibly(three: Company, instance: dg.DagsterInstance) -> None:
    down = Source(
        "down",
        "postgresql+psycopg://nobody@127.0.0.1:9/none",
        logbook=LogbookMapping("l", {"key": "k", "at": "a", "action": "c"}),
    )
    three.source(down)
    with three.engine.begin() as connection:
        connection.execute(schema.dossier.update().where(schema.dossier.c.dossier_code == "001").values(source_code="down"))
    three.dossier("998", delay=30)
    result = run(instance, "001", "998")
    assert not result.success
    assert three.state("001") is None, "its row is untouched"
    assert three.state("998") is not None
    assert statuses(instance, "source_is_reachable")["001"][0] == "FAILED"
    failed = [one for one in evaluations(instance, result, "source_is_reachable") if one.partition == "001"]
    assert str(failed[0].metadata["error"].value).startswith("E-SRC")


def test_an_unchanged_dossier_is_not_told_to_dagster_again_within_the_hour(
    three: Company, instance: dg.DagsterInstance
) -> None:
    def events() -> int:
        return len(instance.fetch_materializations(INTERACTION_STATE, limit=100).records)

    run(instance, "001", "002")
    assert events() == 2
    run(instance, "001", "002")
    assert events() == 2
    three.dataset("001", "INTERVENTION", "ERROR", NOW)
    run(instance, "001", "002")
    assert events() == 3
    run(instance, partition="002")
    assert events() == 4, "asked for by name"


def test_an_unknown_dossier_is_skipped_with_its_reason(three: Company, instance: dg.DagsterInstance) -> None:
    result = run(instance, "001", "777")
    assert result.success
    assert three.count(schema.interaction_state) == 1
