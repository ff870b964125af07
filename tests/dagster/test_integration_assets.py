"""The integration on a real Dagster instance: the live round as a job, the backfill as assets, the sensor between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest
import sqlalchemy as sa

from erpcrm_orchestration.definitions import defs
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.partitions import ENTITY, INBOX
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.sensors.integration import record_due_sensor
from tests.company import Company
from tests.integrated_company import SHOP_CREDENTIALS, IntegratedCompany


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A shop with one order of a known customer."""
    made = Shop()
    customer = made.add_customer(email="ana@example.com", last_name="Durand")
    product = made.add_product("Lamp", "12.50")
    made.add_order([(product["id"], 2)], customer_id=customer["id"])
    return made


@pytest.fixture
def connected(
    company: Company, engine: sa.Engine, shop: Shop, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> Iterator[IntegratedCompany]:
    """Dossiers 001 and 998; the shop belongs to 998."""
    made = IntegratedCompany(engine, FixedClock(datetime.now(UTC)))
    for code in ("001", "998"):
        made.dossier(code)
    for name, value in SHOP_CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    instance.add_dynamic_partitions("dossier", ["001", "998"])
    with WebServer(shop) as server:
        made.connect_shop(server.url)
        yield made


def integrate(instance: dg.DagsterInstance, *codes: str) -> dg.ExecuteInProcessResult:
    """Run the job as the sensor requests it."""
    config = {"ops": {"integrate_dossiers": {"config": {"dossiers": list(codes)}}}}
    return defs.resolve_job_def("integrate").execute_in_process(instance=instance, run_config=config, raise_on_error=False)


def backfill(instance: dg.DagsterInstance, code: str) -> dg.ExecuteInProcessResult:
    """Materialise the entities of one dossier, as the UI does."""
    job = defs.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance, partition_key=code, asset_selection=list(ENTITY.values()), raise_on_error=False
    )


def checks(instance: dg.DagsterInstance, entity: str, check: str) -> dict[str | None, str]:
    """Return partition -> status as the UI's partitions tab reads them."""
    infos = instance.event_log_storage.get_asset_check_partition_info([dg.AssetCheckKey(ENTITY[entity], check)])
    return {info.partition_key: info.latest_execution_status.value for info in infos if info.partition_key}


def test_a_round_materialises_inbox_and_entities_of_the_dossiers_that_got_something(
    connected: IntegratedCompany, instance: dg.DagsterInstance
) -> None:
    assert integrate(instance, "001", "998").success
    assert instance.get_materialized_partitions(INBOX["order"]) == {"998"}
    assert instance.get_materialized_partitions(ENTITY["order"]) == {"998"}
    assert checks(instance, "order", "records_are_not_refused") == {"998": "SUCCEEDED"}
    event = instance.get_latest_materialization_event(ENTITY["order"])
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["dagster/row_count"].value == 1


def test_a_materialisation_tells_which_places_of_what_was_received_feed_each_column(
    connected: IntegratedCompany, instance: dg.DagsterInstance
) -> None:
    integrate(instance, "998")
    event = instance.get_latest_materialization_event(ENTITY["order"])
    assert event is not None
    assert event.asset_materialization is not None
    lineage = event.asset_materialization.metadata["dagster/column_lineage"].value
    assert isinstance(lineage, dg.TableColumnLineage)
    deps = lineage.deps_by_column
    assert deps["total"] == [dg.TableColumnDep(INBOX["order"], "shop total")]
    assert deps["customer_id"] == [
        dg.TableColumnDep(ENTITY["customer"], "customer_id"), dg.TableColumnDep(INBOX["order"], "shop customer_id"),
    ]  # fmt: skip
    assert dg.TableColumnDep(INBOX["order"], "shop billing.city") in deps["billing_address_hash"]


def test_the_columns_of_an_entity_are_those_of_its_table_with_their_types(engine: sa.Engine) -> None:
    asset = defs.resolve_asset_graph().get(ENTITY["order"])
    columns = {one.name: one.type for one in asset.metadata["dagster/column_schema"].columns}
    read = sa.text(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'hub' AND table_name = 'order_header'"
    )
    with engine.connect() as connection:
        assert {name for name in columns if "." not in name} == set(connection.scalars(read))
    assert (columns["total"], columns["customer_id"], columns["order_line.quantity"]) == ("numeric", "bigint", "numeric")


def test_a_failing_check_names_the_record_and_passes_again_once_it_is_corrected(
    connected: IntegratedCompany, instance: dg.DagsterInstance, shop: Shop
) -> None:
    order = shop.add_order([(1, 1)], total="twelve")
    integrate(instance, "998")
    assert checks(instance, "order", "records_are_not_refused") == {"998": "FAILED"}
    shop.change_order(order["id"], total=shop.order(1)["total"])
    connected.clock.at = datetime.now(UTC)
    with connected.engine.begin() as connection:
        connection.execute(sa.text("UPDATE flow.source_cursor SET last_success_at = NULL"))
    integrate(instance, "998")
    assert checks(instance, "order", "records_are_not_refused") == {"998": "SUCCEEDED"}


def test_a_backfill_makes_the_entities_anew_from_the_inbox_without_asking_the_system(
    connected: IntegratedCompany, instance: dg.DagsterInstance, shop: Shop
) -> None:
    integrate(instance, "998")
    cursors = connected.rows("flow.source_cursor")
    with connected.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM hub.order_line"))
        connection.execute(sa.text("UPDATE hub.order_header SET total = 0"))
    shop.log.clear()
    result = backfill(instance, "998")
    assert result.success
    assert shop.log.count() == 0
    assert connected.rows("flow.source_cursor") == cursors
    assert str(connected.rows("hub.order_header")[0]["total"]) == shop.order(1)["total"]
    assert len(connected.rows("hub.order_line")) == 1
    assert connected.states(entity="order") == ["TRANSFORMED"]


def test_the_sensor_asks_for_one_run_of_what_is_due_and_then_rests(
    connected: IntegratedCompany, instance: dg.DagsterInstance
) -> None:
    def tick() -> object:
        with dg.build_sensor_context(
            instance=instance,
            definitions=defs,
            resources={
                "database": Database(url=connected.engine.url.render_as_string(hide_password=False)),
                "clock": ClockResource(),
            },
        ) as context:
            return record_due_sensor(context)

    request = tick()
    assert isinstance(request, dg.RunRequest)
    assert request.run_config["ops"]["integrate_dossiers"]["config"]["dossiers"] == ["998"]
    integrate(instance, "998")
    assert isinstance(tick(), dg.SkipReason)
