"""The three watchers: each looks for work, asks for a run when there is some, and leaves a heartbeat."""

import os

import dagster as dg

from erpcrm_orchestration.domain.configuration import WatcherCode
from erpcrm_orchestration.jobs import deliver_calls, take_in
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.sensors.runs import has_open_run
from erpcrm_orchestration.services import data_hub, inter_company, mobility
from erpcrm_orchestration.services.watchers import beat, calls_due, dossiers_to_poll

DISABLED = "switched off in the general parameters"


def _take_in(dossier_codes: list[str]) -> dg.RunRequest:
    return dg.RunRequest(
        run_config={"ops": {"intake": {"config": {"dossiers": dossier_codes}}}}, tags={"dossiers": str(len(dossier_codes))}
    )


@dg.sensor(
    job=take_in,
    name="inter_company_sensor",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="INTERCOMPANY: reads the ERP databases when their poll interval has passed, and executes inter-company tasks.",
)
def inter_company_sensor(
    context: dg.SensorEvaluationContext, database: Database, clock: ClockResource
) -> dg.RunRequest | dg.SkipReason:
    """One run for all sources that are due."""
    with database.engine.connect() as connection:
        tasks = inter_company.due(connection, clock.now())
    codes = sorted({*dossiers_to_poll(database.engine, clock=clock), *tasks})
    if not beat(database.engine, WatcherCode.INTERCOMPANY, clock=clock, work=f"{len(codes)} dossiers due"):
        return dg.SkipReason(DISABLED)
    if not codes:
        return dg.SkipReason("no source is due")
    if has_open_run(context.instance, take_in.name):
        return dg.SkipReason("the previous run is still open")
    return _take_in(codes)


@dg.sensor(
    job=take_in,
    name="data_hub_sensor",
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="DATA_HUB: takes pivot files as they arrive.",
)
def data_hub_sensor(
    context: dg.SensorEvaluationContext, database: Database, clock: ClockResource
) -> dg.RunRequest | dg.SkipReason:
    """One run for all folders with complete pivot files."""
    codes = data_hub.has_new_files(database.engine, os.environ)
    if not beat(database.engine, WatcherCode.DATA_HUB, clock=clock, work=f"{len(codes)} folders with files"):
        return dg.SkipReason(DISABLED)
    if not codes:
        return dg.SkipReason("no pivot file waits")
    if has_open_run(context.instance, take_in.name):
        return dg.SkipReason("the previous run is still open")
    return _take_in(codes)


@dg.sensor(
    job=deliver_calls,
    name="mobility_sensor",
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="MOBILITY: after an export by the agent, issues the configured call once.",
)
def mobility_sensor(
    context: dg.SensorEvaluationContext, database: Database, clock: ClockResource
) -> dg.RunRequest | dg.SkipReason:
    """Record a call for every new export line; one run issues what is due."""
    issued = mobility.issue_calls(database.engine, clock=clock)
    if not beat(database.engine, WatcherCode.MOBILITY, clock=clock, work=f"{issued} calls issued"):
        return dg.SkipReason(DISABLED)
    if not calls_due(database.engine, clock=clock):
        return dg.SkipReason("no call is due")
    if has_open_run(context.instance, deliver_calls.name):
        return dg.SkipReason("the previous run is still open")
    return dg.RunRequest()
