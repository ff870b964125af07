"""The comparison on a real Dagster instance: nightly for all dossiers in one run, by partition for one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import sqlalchemy as sa

from erpcrm_orchestration.definitions import defs
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.partitions import RECONCILIATION
from erpcrm_orchestration.resources import Database
from erpcrm_orchestration.schedules.reconciliation import reconcile_schedule
from tests.company import Company
from tests.integrated_company import SHOP_CREDENTIALS, IntegratedCompany


@pytest.fixture
def clock() -> FixedClock:
    """A moment ago: what the systems were told is older than the run."""
    return FixedClock(datetime.now(UTC) - timedelta(hours=1))


@pytest.fixture
def connected(
    company: Company, engine: sa.Engine, instance: dg.DagsterInstance, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[IntegratedCompany, Shop]]:
    """Dossiers 001 and 998; the shop of 998 is read, and has sold an article since."""
    made, shop = IntegratedCompany(engine, clock), Shop(clock=clock)
    for code in ("001", "998"):
        made.dossier(code)
    for name, value in SHOP_CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    instance.add_dynamic_partitions("dossier", ["001", "998"])
    shop.add_product("Lamp", "12.50")
    with WebServer(shop) as server:
        made.connect_shop(server.url)
        made.round()
        yield made, shop


def statuses(instance: dg.DagsterInstance) -> dict[str | None, str]:
    """Return partition -> status of `systems_agree` as the UI reads them."""
    key = dg.AssetCheckKey(RECONCILIATION, "systems_agree")
    infos = instance.event_log_storage.get_asset_check_partition_info([key])
    return {info.partition_key: info.latest_execution_status.value for info in infos if info.partition_key}


def test_the_schedule_asks_for_one_run_that_compares_every_dossier_with_a_system(
    connected: tuple[IntegratedCompany, Shop], instance: dg.DagsterInstance
) -> None:
    company, shop = connected
    url = company.engine.url.render_as_string(hide_password=False)
    with dg.build_schedule_context(instance=instance, resources={"database": Database(url=url)}) as context:
        request = reconcile_schedule(context)
    assert isinstance(request, dg.RunRequest)
    assert request.run_config["ops"]["reconcile_dossiers"]["config"]["dossiers"] == ["998"]
    job = defs.resolve_job_def("reconcile")
    assert job.execute_in_process(instance=instance, run_config=request.run_config).success
    assert statuses(instance) == {"998": "SUCCEEDED"}
    assert instance.get_materialized_partitions(RECONCILIATION) == {"998"}
    shop.add_product("Chair", "40.00")
    assert job.execute_in_process(instance=instance, run_config=request.run_config).success
    assert statuses(instance) == {"998": "FAILED"}


def test_a_dossier_is_compared_by_its_partition_and_a_difference_warns(
    connected: tuple[IntegratedCompany, Shop], instance: dg.DagsterInstance
) -> None:
    _, shop = connected
    shop.add_product("Chair", "40.00")
    job = defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=instance, partition_key="998", asset_selection=[RECONCILIATION])
    assert result.success
    (evaluation,) = result.get_asset_check_evaluations()
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "only_there 2 (never received)" in str(evaluation.metadata["shop_998 products"].value)
    assert evaluation.metadata["runbook"].value == "docs/runbooks/systems_agree.md"
