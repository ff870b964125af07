"""Refreshes that people ask for, and work whose run was lost."""

from collections.abc import Sequence

import dagster as dg

from erpcrm_orchestration.assets.supervision import refresh_dossiers
from erpcrm_orchestration.jobs import BATCH_TAG, refresh_interaction_state
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.sensors.runs import batch_state, ended_runs
from erpcrm_orchestration.services import ledger

OP = refresh_dossiers.name


def run_request(request: ledger.Request, *, notify: bool) -> dg.RunRequest:
    """Return one run for all dossiers of a request; the batch makes it unique, whoever asks twice."""
    return dg.RunRequest(
        run_key=request.batch,
        tags={BATCH_TAG: request.batch, "dossiers": str(len(request.dossier_codes))},
        run_config={"ops": {OP: {"config": {"dossiers": list(request.dossier_codes), "notify": notify}}}},
    )


@dg.sensor(
    job=refresh_interaction_state,
    name="refresh_request_sensor",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs the refreshes that people asked for; it sends no mails.",
)
def refresh_request_sensor(context: dg.SensorEvaluationContext, database: Database) -> dg.RunRequest | dg.SkipReason:
    """One run for all waiting requests."""
    request = ledger.take_refresh_requests(database.engine)
    return run_request(request, notify=False) if request else dg.SkipReason("nobody asked")


@dg.sensor(
    job=refresh_interaction_state,
    name="lost_run_sensor",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests again what a dead run left undone, and frees its leases.",
)
def lost_run_sensor(
    context: dg.SensorEvaluationContext, database: Database, clock: ClockResource
) -> Sequence[dg.RunRequest] | dg.SkipReason:
    """Compare the ledger with Dagster's runs; the ledger is right about what is owed."""
    ended = ended_runs(context.instance, ledger.lease_holders(database.engine))
    ledger.free_leases_of_ended_runs(database.engine, ended)
    states = {batch: batch_state(context.instance, batch) for batch in ledger.open_batches(database.engine)}
    again = ledger.reconcile(database.engine, states, clock=clock)
    if not again:
        return dg.SkipReason(f"{len(states)} requests open, none lost")
    return [run_request(request, notify=True) for request in again]
