"""Execution orders that are due, and those whose run was lost."""

import os
from collections.abc import Sequence

import dagster as dg

from erpcrm_orchestration.assets.routines import execute_orders
from erpcrm_orchestration.jobs import BATCH_TAG, execute_due_orders
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.sensors.runs import batch_state, ended_runs
from erpcrm_orchestration.services import order
from erpcrm_orchestration.services.routine import RoutineRun, fail

SERVER_TAG = "erpcrm/server"
"""Names the server of a run's orders."""
SLOT_TAG = "erpcrm/server_slot"
"""Names the place on it that the run has; dagster.yaml lets one run at a time have each."""


@dg.sensor(
    job=execute_due_orders,
    name="order_due_sensor",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts the execution orders that are due, on their servers, as far as these have room.",
)
def order_due_sensor(
    context: dg.SensorEvaluationContext, database: Database, clock: ClockResource
) -> Sequence[dg.RunRequest] | dg.SkipReason:
    """One run for each server with room; the orders of lost runs are claimed again, or failed after three attempts."""
    states = {batch: batch_state(context.instance, batch) for batch in order.open_batches(database.engine)}
    ended = ended_runs(context.instance, order.backfill_runs(database.engine))
    given_up = order.lost(database.engine, states, clock=clock)
    for lost in (*given_up, *order.abandoned(database.engine, ended, clock=clock)):
        run = RoutineRun(clock, os.environ, lost.run_id or "")
        reason = f"E-ORD-012 {lost.label}: its run was lost, {lost.attempt} times in all; see its runs, and retry"
        fail(database.engine, lost, reason, run)
    requests = order.take_due(database.engine, clock=clock)
    if not requests:
        return dg.SkipReason(f"no order may start; {len(states)} runs are open")
    return [_run_request(one) for one in requests]


def _run_request(request: order.OrderRequest) -> dg.RunRequest:
    tags = {BATCH_TAG: request.batch, "orders": str(len(request.orders)), **request.tags}
    if request.server_code is not None:
        tags |= {SERVER_TAG: request.server_code, SLOT_TAG: f"{request.server_code}/{request.slot}"}
    numbers = [number for _, number in request.orders]
    return dg.RunRequest(
        run_key=request.batch,
        tags=tags,
        run_config={"ops": {execute_orders.name: {"config": {"orders": numbers}}}},
    )
