"""Every sensor and schedule, evaluated on a real instance and a real database at chosen instants."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.dagster_run import DagsterRun

from erpcrm_orchestration.definitions import defs
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import (
    CallTarget,
    LogbookMapping,
    MailCalendar,
    MailSettings,
    Source,
    WatcherCode,
)
from erpcrm_orchestration.jobs import BATCH_TAG
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.schedules.supervision import refresh_interaction_state_schedule
from erpcrm_orchestration.sensors.dossier import dossier_partition_sensor
from erpcrm_orchestration.sensors.mail import mail_due_sensor
from erpcrm_orchestration.sensors.supervision import lost_run_sensor, refresh_request_sensor
from erpcrm_orchestration.sensors.watchers import data_hub_sensor, inter_company_sensor, mobility_sensor
from erpcrm_orchestration.services.leases import TTL
from erpcrm_orchestration.services.ledger import LAUNCH_PATIENCE
from erpcrm_orchestration.store import lease, ledger, schema
from erpcrm_orchestration.store.configuration import adapter
from tests.company import FOUNDED, Company

ALL_DAY = {"days": [1, 2, 3, 4, 5, 6, 7], "start": time(0, 0), "duration_min": 1439}
WATCHERS = {
    WatcherCode.INTERCOMPANY: inter_company_sensor,
    WatcherCode.DATA_HUB: data_hub_sensor,
    WatcherCode.MOBILITY: mobility_sensor,
}
Evaluate = Callable[[dg.SensorDefinition | dg.ScheduleDefinition], object]


@pytest.fixture(autouse=True)
def watchers(company: Company) -> None:
    """The watchers as an applied configuration switches them on."""
    rows = [{"watcher_code": code, "poll_interval_s": 30} for code in WATCHERS]
    with company.engine.begin() as connection:
        connection.execute(sa.insert(schema.watcher), rows)


@pytest.fixture
def evaluate(company: Company, instance: dg.DagsterInstance, clock: FixedClock) -> Evaluate:
    """Return what evaluates a sensor or schedule at the company's now and returns its answer."""

    def evaluated(definition: dg.SensorDefinition | dg.ScheduleDefinition) -> object:
        url = company.engine.url.render_as_string(hide_password=False)
        parts = {"database": Database(url=url), "clock": ClockResource(at=clock.now().isoformat())}
        if isinstance(definition, dg.ScheduleDefinition):
            with dg.build_schedule_context(
                instance=instance, resources=parts, scheduled_execution_time=clock.now()
            ) as schedule_context:
                return definition(schedule_context)
        # Resources that nobody asks for are not an error, those that are missing are.
        with dg.build_sensor_context(instance=instance, resources=parts, definitions=defs) as context:
            return definition(context)

    return evaluated


def dossiers_of(answer: object) -> list[str]:
    """Return the dossiers that a run is requested for."""
    assert isinstance(answer, dg.RunRequest), answer
    (op,) = answer.run_config["ops"].values()
    found: list[str] = op["config"]["dossiers"]
    return found


def reason(answer: object) -> str | None:
    """Return why nothing is requested."""
    assert isinstance(answer, dg.SkipReason), answer
    return answer.skip_message


def heartbeat(company: Company, code: WatcherCode) -> tuple[datetime | None, str | None]:
    (row,) = [row for row in company.rows(schema.watcher) if row.watcher_code == code]
    return row.heartbeat_at, row.last_work


def due(company: Company, *codes: str, **process: object) -> None:
    """Store dossiers whose tick is due fifteen minutes later, and let these pass."""
    for code in codes:
        company.dossier(code, process={**ALL_DAY, **process})
    company.clock.at += timedelta(minutes=15)


def add_run(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, job: str = "refresh_interaction_state", batch: str = ""
) -> str:
    tags = {BATCH_TAG: batch} if batch else {}
    return instance.add_run(DagsterRun(job_name=job, status=status, tags=tags)).run_id


def test_every_dossier_becomes_a_partition_in_the_order_of_creation_and_no_run_is_requested(
    company: Company, instance: dg.DagsterInstance, evaluate: Evaluate
) -> None:
    for minutes, code in enumerate(("998", "001", "A-7")):
        company.dossier(code, created_at=FOUNDED + timedelta(minutes=minutes))
    assert reason(evaluate(dossier_partition_sensor)) == "3 dossiers registered: 998, 001, A-7"
    assert list(instance.get_dynamic_partitions("dossier")) == ["998", "001", "A-7"]
    assert reason(evaluate(dossier_partition_sensor)) == "3 dossiers, all registered"


def test_all_due_dossiers_get_one_run_that_carries_its_batch(company: Company, evaluate: Evaluate) -> None:
    due(company, "998", "001", "210")
    company.dossier("450", active=False, process=ALL_DAY)
    answer = evaluate(refresh_interaction_state_schedule)
    assert dossiers_of(answer) == ["001", "210", "998"]
    assert isinstance(answer, dg.RunRequest)
    batches = {row.batch for row in company.rows(schema.tick)}
    assert {answer.run_key, answer.tags[BATCH_TAG]} == batches
    assert answer.run_config["ops"]["refresh_dossiers"]["config"]["notify"] is True
    assert reason(evaluate(refresh_interaction_state_schedule)) == "no dossier is due"


@pytest.mark.parametrize("state", ["IN_MODIFICATION", "EXPIRED"])
def test_A41_the_schedule_launches_no_process_that_is_in_modification_or_expired(
    company: Company, evaluate: Evaluate, state: str
) -> None:
    due(company, "998", state=state)
    company.dossier("001", process={**ALL_DAY, "considered_until": company.clock.now() - timedelta(minutes=15)})
    assert dossiers_of(evaluate(refresh_interaction_state_schedule)) == ["001"]
    company.clock.at += timedelta(seconds=5)
    assert reason(evaluate(refresh_interaction_state_schedule)) == "no dossier is due"


def test_F41_everybody_who_asks_for_a_refresh_is_served_by_one_run_that_sends_no_mail(
    company: Company, evaluate: Evaluate
) -> None:
    for code in ("998", "001"):
        company.dossier(code)
    for _ in range(3):
        with company.engine.begin() as connection:
            ledger.request_refresh(connection, ["998", "001"], by="anne", notify=False, now=company.clock.now())
    answer = evaluate(refresh_request_sensor)
    assert dossiers_of(answer) == ["001", "998"]
    assert isinstance(answer, dg.RunRequest)
    assert answer.run_config["ops"]["refresh_dossiers"]["config"]["notify"] is False
    assert reason(evaluate(refresh_request_sensor)) == "nobody asked"


def test_F8_the_ticks_of_a_run_that_ended_without_them_are_requested_again_and_its_leases_are_freed(
    company: Company, instance: dg.DagsterInstance, evaluate: Evaluate
) -> None:
    due(company, "998", "001")
    first = evaluate(refresh_interaction_state_schedule)
    assert isinstance(first, dg.RunRequest)
    run_id = add_run(instance, dg.DagsterRunStatus.FAILURE, batch=str(first.run_key))
    with company.engine.begin() as connection:
        lease.acquire(connection, ["998"], "supervision", holder=run_id, now=company.clock.now(), ttl=TTL)
    answer = evaluate(lost_run_sensor)
    assert isinstance(answer, list)
    assert [dossiers_of(one) for one in answer] == [["001", "998"]]
    assert answer[0].run_key != first.run_key, "Dagster would leave out a key that has its run"
    assert [row.holder for row in company.rows(schema.lease)] == [None]
    assert {row.attempt for row in company.rows(schema.tick)} == {2}


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.NOT_STARTED])
def test_the_ticks_of_a_run_that_is_under_way_are_left_alone(
    company: Company, instance: dg.DagsterInstance, evaluate: Evaluate, status: dg.DagsterRunStatus
) -> None:
    due(company, "998")
    first = evaluate(refresh_interaction_state_schedule)
    assert isinstance(first, dg.RunRequest)
    add_run(instance, status, batch=str(first.run_key))
    company.clock.at += timedelta(hours=1)
    assert reason(evaluate(lost_run_sensor)) == "1 requests open, none lost"


def test_a_request_that_never_became_a_run_is_made_again_after_some_patience(company: Company, evaluate: Evaluate) -> None:
    due(company, "998")
    evaluate(refresh_interaction_state_schedule)
    assert reason(evaluate(lost_run_sensor)) == "1 requests open, none lost"
    company.clock.at += LAUNCH_PATIENCE
    answer = evaluate(lost_run_sensor)
    assert isinstance(answer, list)
    assert [dossiers_of(one) for one in answer] == [["998"]]


@pytest.mark.parametrize("code", list(WATCHERS))
def test_a_watcher_leaves_a_heartbeat_also_when_there_is_nothing_to_do(
    company: Company, evaluate: Evaluate, code: WatcherCode
) -> None:
    reason(evaluate(WATCHERS[code]))
    at, work = heartbeat(company, code)
    assert at == company.clock.now()
    assert work is not None
    assert work.startswith("0 ")


@pytest.mark.parametrize("code", list(WATCHERS))
def test_a_watcher_that_is_switched_off_does_nothing_and_leaves_no_heartbeat(
    company: Company, evaluate: Evaluate, tmp_path: Path, code: WatcherCode
) -> None:
    work_for_all(company, tmp_path)
    with company.engine.begin() as connection:
        connection.execute(sa.update(schema.watcher).values(enabled=False))
    assert reason(evaluate(WATCHERS[code])) == "switched off in the general parameters"
    assert heartbeat(company, code) == (None, None)


@pytest.mark.parametrize(("code", "job"), list(zip(WATCHERS, ("take_in", "take_in", "deliver_calls"), strict=True)))
def test_a_watcher_asks_for_no_second_run_while_one_is_open(
    company: Company, instance: dg.DagsterInstance, evaluate: Evaluate, tmp_path: Path, code: WatcherCode, job: str
) -> None:
    work_for_all(company, tmp_path)
    add_run(instance, dg.DagsterRunStatus.STARTED, job)
    assert reason(evaluate(WATCHERS[code])) == "the previous run is still open"


def test_one_run_reads_all_sources_whose_poll_interval_has_passed(company: Company, evaluate: Evaluate) -> None:
    source(company)
    for code in ("998", "001", "210"):
        company.dossier(code, source_code="erp")
    company.dossier("450")
    looked_at = {"dossier_code": "001", "source_code": "erp", "stream": "logbook", "last_success_at": company.clock.now()}
    looked_at |= {"overlap_s": 60}
    with company.engine.begin() as connection:
        connection.execute(sa.insert(schema.source_cursor).values(**looked_at))
    answer = evaluate(inter_company_sensor)
    assert dossiers_of(answer) == ["210", "998"]
    assert heartbeat(company, WatcherCode.INTERCOMPANY)[1] == "2 dossiers due"
    company.clock.at += timedelta(seconds=60)
    assert dossiers_of(evaluate(inter_company_sensor)) == ["001", "210", "998"]


def test_one_run_takes_the_folders_that_have_pivot_files(company: Company, evaluate: Evaluate, tmp_path: Path) -> None:
    for code in ("998", "001"):
        (tmp_path / code).mkdir()
        company.dossier(code, hub_folder=str(tmp_path / code))
    assert reason(evaluate(data_hub_sensor)) == "no pivot file waits"
    (tmp_path / "998" / "t1.DHUB").write_text("<DataHub/>", encoding="utf-8")
    assert dossiers_of(evaluate(data_hub_sensor)) == ["998"]


def test_the_mobility_watcher_issues_one_call_for_an_export_however_often_it_looks(
    company: Company, evaluate: Evaluate
) -> None:
    mobile(company, "998")
    company.log("998", company.clock.now(), "EXPORT_AGENT")
    for _ in range(3):
        assert isinstance(evaluate(mobility_sensor), dg.RunRequest), "it is due until it was delivered"
    assert company.count(schema.outbound_call) == 1


def test_a_mail_spooled_in_the_evening_is_due_at_eight(
    company: Company, instance: dg.DagsterInstance, evaluate: Evaluate
) -> None:
    """The mail calendar of Meridian opens at 08:00 in Paris; it is winter."""
    calendar = MailCalendar(opens=time(8, 0), closes=time(18, 0), time_zone="Europe/Paris")
    company.general(mail=MailSettings(calendar=calendar))
    company.mail_group("anne@meridian.example")
    company.template("FORM.dossier_code", "FORM.TOUT")
    company.clock.at = company.clock.at.replace(hour=21)
    company.dossier("998", process=ALL_DAY)
    company.refresh("998")
    assert company.count(schema.mail) == 1
    assert reason(evaluate(mail_due_sensor)) == "no mail is due"
    company.clock.at = (company.clock.at + timedelta(days=1)).replace(hour=6, minute=59, second=59)
    assert reason(evaluate(mail_due_sensor)) == "no mail is due"
    company.clock.at += timedelta(seconds=1)
    assert isinstance(evaluate(mail_due_sensor), dg.RunRequest)
    add_run(instance, dg.DagsterRunStatus.STARTED, "deliver_mail")
    assert reason(evaluate(mail_due_sensor)) == "the previous run is still open"


def source(company: Company) -> None:
    mapping = LogbookMapping("l", {"key": "k", "at": "a", "action": "c"})
    company.source(Source("erp", "postgresql+psycopg://nobody@127.0.0.1:9/none", logbook=mapping))


def mobile(company: Company, code: str, **columns: object) -> None:
    """Store a dossier whose exports start the mobile synchronisation."""
    definition = adapter(CallTarget).dump_python(CallTarget("mobile", folder="/nowhere"), mode="json")
    with company.engine.begin() as connection:
        connection.execute(
            sa.insert(schema.call_target).values(target_code="mobile", definition=definition, updated_at=FOUNDED)
        )
    company.dossier(code, mobility_action="EXPORT_AGENT", mobility_target="mobile", **columns)


def work_for_all(company: Company, folder: Path) -> None:
    """Give every watcher something to do."""
    source(company)
    mobile(company, "998", source_code="erp", hub_folder=str(folder))
    company.log("998", company.clock.now(), "EXPORT_AGENT")
    (folder / "t1.DHUB").write_text("<DataHub/>", encoding="utf-8")
