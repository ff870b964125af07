"""What can be run: each job is a verb over a selection of assets."""

import dagster as dg

from erpcrm_orchestration.assets.integration import integrate_dossiers
from erpcrm_orchestration.assets.reconciliation import reconcile_dossiers
from erpcrm_orchestration.assets.routines import execute_orders
from erpcrm_orchestration.assets.supervision import refresh_dossiers
from erpcrm_orchestration.dagster_internals import purge_check_executions
from erpcrm_orchestration.partitions import (
    HUB_DATASET,
    INTER_COMPANY_TASK,
    LOGBOOK_ENTRY,
    MAIL,
    OUTBOUND_CALL,
    WATCHER,
)
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.services.retention import apply_retention, keep_from

BATCH_TAG = "erpcrm/batch"
"""Names the request in our ledger that a run was made for."""


@dg.job(description="Refresh the interaction state of the dossiers in the run's configuration.")
def refresh_interaction_state() -> None:
    """One run for all dossiers that are due."""
    refresh_dossiers()


@dg.job(description="One round of the dossiers in the run's configuration: read, integrate, fetch, deliver.")
def integrate() -> None:
    """One run for all dossiers that are due."""
    integrate_dossiers()


@dg.job(description="Compare what the systems hold with what the hub holds, for the dossiers in the run's configuration.")
def reconcile() -> None:
    """One run for all dossiers."""
    reconcile_dossiers()


@dg.job(description="Execute the orders in the run's configuration, one after the other.")
def execute_due_orders() -> None:
    """One run for orders that one server has room for."""
    execute_orders()


take_in = dg.define_asset_job(
    "take_in",
    dg.AssetSelection.assets(LOGBOOK_ENTRY, HUB_DATASET, INTER_COMPANY_TASK),
    description="Read what is new in the sources and pivot folders of the dossiers.",
)
deliver_mail = dg.define_asset_job("deliver_mail", dg.AssetSelection.assets(MAIL), description="Send the mails that are due.")
deliver_calls = dg.define_asset_job(
    "deliver_calls", dg.AssetSelection.assets(OUTBOUND_CALL), description="Issue the calls to other systems that are due."
)
observe_supervision = dg.define_asset_job(
    "observe_supervision",
    dg.AssetSelection.assets(WATCHER),
    description="Look at the installation itself: watchers, freshness, ticks, configuration.",
)


RUNS_A_NIGHT = 20_000
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.op
def purge(context: dg.OpExecutionContext, database: Database, clock: ClockResource) -> None:
    """Drop what is older than the general parameters keep, here and in Dagster's storage."""
    purged = apply_retention(database.engine, clock=clock)
    before = keep_from(clock.now(), purged.run_retention_days)
    runs = context.instance.get_run_ids(dg.RunsFilter(created_before=before, statuses=ENDED), limit=RUNS_A_NIGHT)
    for run_id in runs:
        context.instance.delete_run(run_id)
    purged.counts["dagster_runs_deleted"] = len(runs)
    purged.counts["dagster_check_rows_deleted"] = purge_check_executions(context.instance, before)
    for name, count in purged.counts.items():
        context.log.info(f"{name}: {count}")


@dg.job(description="Drop history, logbook, ledger and run records that are older than what is kept.")
def purge_expired() -> None:
    """Run the purge."""
    purge()
