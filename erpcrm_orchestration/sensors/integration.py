"""Records that are due: streams to be read, messages that came by webhook, work to be done."""

import dagster as dg

from erpcrm_orchestration.jobs import integrate
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.sensors.runs import has_open_run
from erpcrm_orchestration.services.due import dossiers_due


@dg.sensor(
    job=integrate,
    name="record_due_sensor",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for one round of all dossiers whose systems are to be read or whose records wait.",
)
def record_due_sensor(
    context: dg.SensorEvaluationContext, database: Database, clock: ClockResource
) -> dg.RunRequest | dg.SkipReason:
    """One run for everything that is due."""
    codes = dossiers_due(database.engine, clock=clock)
    if not codes:
        return dg.SkipReason("nothing is due")
    if has_open_run(context.instance, integrate.name):
        return dg.SkipReason("the previous run is still open")
    config = {"ops": {"integrate_dossiers": {"config": {"dossiers": codes}}}}
    return dg.RunRequest(run_config=config, tags={"dossiers": str(len(codes))})
