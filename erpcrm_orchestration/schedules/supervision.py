"""When: every minute, find the dossiers that are due and request one run for all of them."""

import dagster as dg

from erpcrm_orchestration.jobs import observe_supervision, purge_expired, refresh_interaction_state
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.sensors.supervision import run_request
from erpcrm_orchestration.services.ledger import collect
from erpcrm_orchestration.services.observation import alert_missed_ticks


@dg.schedule(
    job=refresh_interaction_state,
    name="refresh_interaction_state_schedule",
    cron_schedule="* * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Replaces the supervision process of the ERP: each dossier has its days, start, duration and frequency.",
)
def refresh_interaction_state_schedule(
    context: dg.ScheduleEvaluationContext, database: Database, clock: ClockResource
) -> dg.RunRequest | dg.SkipReason:
    """Account for every due tick in the ledger, then request one run; missed ticks are told to the administrator."""
    request = collect(database.engine, clock=clock)
    alert_missed_ticks(database.engine, clock=clock)
    return run_request(request, notify=True) if request else dg.SkipReason("no dossier is due")


observe_supervision_schedule = dg.ScheduleDefinition(
    name="observe_supervision_schedule",
    job=observe_supervision,
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks at the installation itself every five minutes.",
)

purge_expired_schedule = dg.ScheduleDefinition(
    name="purge_expired_schedule",
    job=purge_expired,
    cron_schedule="17 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Purges every night.",
)
