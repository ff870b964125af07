"""When: every night, compare all active dossiers that have systems, in one run."""

import dagster as dg

from erpcrm_orchestration.jobs import reconcile
from erpcrm_orchestration.resources import Database
from erpcrm_orchestration.sensors.runs import has_open_run
from erpcrm_orchestration.services.reconciliation import dossiers_to_compare


@dg.schedule(
    job=reconcile,
    name="reconcile_schedule",
    cron_schedule="10 2 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Compares every night what the systems hold with what the hub holds; what a cursor missed is found.",
)
def reconcile_schedule(context: dg.ScheduleEvaluationContext, database: Database) -> dg.RunRequest | dg.SkipReason:
    """One run for all dossiers with connections."""
    codes = dossiers_to_compare(database.engine)
    if not codes:
        return dg.SkipReason("no active dossier has a connection")
    if has_open_run(context.instance, reconcile.name):
        return dg.SkipReason("the previous comparison is still open")
    return dg.RunRequest(
        run_config={"ops": {"reconcile_dossiers": {"config": {"dossiers": codes}}}}, tags={"dossiers": str(len(codes))}
    )
