"""The three watchers: each looks for work, asks for a run when there is some, and leaves a heartbeat."""

import os
from dataclasses import dataclass

import dagster as dg

from erpcrm_orchestration.domain.configuration import WatcherCode
from erpcrm_orchestration.jobs import deliver_calls, take_in
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.sensors.runs import has_open_run
from erpcrm_orchestration.services import data_hub, inter_company, mobility
from erpcrm_orchestration.services.watchers import beat, calls_due, dossiers_to_poll


@dataclass(frozen=True)
class Look:
    """What a watcher found: `work` goes into its heartbeat, `request` asks for a run when there is something to do."""

    code: WatcherCode
    job_name: str
    work: str
    request: dg.RunRequest | None
    nothing: str

    def answer(
        self, context: dg.SensorEvaluationContext, database: Database, clock: ClockResource
    ) -> dg.RunRequest | dg.SkipReason:
        """Leave the heartbeat; ask for a run unless the watcher is off or the previous run is open."""
        if not beat(database.engine, self.code, clock=clock, work=self.work):
            return dg.SkipReason("switched off in the general parameters")
        if self.request is None:
            return dg.SkipReason(self.nothing)
        if has_open_run(context.instance, self.job_name):
            return dg.SkipReason("the previous run is still open")
        return self.request


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
    look = Look(WatcherCode.INTERCOMPANY, take_in.name, f"{len(codes)} dossiers due", _take_in(codes), "no source is due")
    return look.answer(context, database, clock)


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
    look = Look(WatcherCode.DATA_HUB, take_in.name, f"{len(codes)} folders with files", _take_in(codes), "no pivot file waits")
    return look.answer(context, database, clock)


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
    request = dg.RunRequest() if calls_due(database.engine, clock=clock) else None
    look = Look(WatcherCode.MOBILITY, deliver_calls.name, f"{issued} calls issued", request, "no call is due")
    return look.answer(context, database, clock)


def _take_in(dossier_codes: list[str]) -> dg.RunRequest | None:
    if not dossier_codes:
        return None
    config = {"ops": {"intake": {"config": {"dossiers": dossier_codes}}}}
    return dg.RunRequest(run_config=config, tags={"dossiers": str(len(dossier_codes))})
