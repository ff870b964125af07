"""The background routines: an asset of each dossier for every program, and the run that executes orders.

A run executes the orders of its configuration one after the other, whichever dossiers and programs they are of; what an order
made is the materialisation of its dossier. A backfill makes an order for each dossier and executes it, also for a past date.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from erpcrm_orchestration.checks.routines import ROUTINE_CHECK_SPECS, routine_evaluation
from erpcrm_orchestration.dagster_internals import (
    StepContext,
    check_output,
    latest_materializations,
    log_evaluations,
    log_materializations,
)
from erpcrm_orchestration.domain.routine import Order, OrderState, Program, handled
from erpcrm_orchestration.domain.values import typed_day
from erpcrm_orchestration.partitions import DOSSIERS, ENTITY, ROUTINE
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.services.order import Backfill, order_backfill
from erpcrm_orchestration.services.programs import custom_routine, known_programs
from erpcrm_orchestration.services.routine import Executed, RoutineRun, execute
from erpcrm_orchestration.services.routines import routine_of

GROUP = "routines"


class OrderSelection(dg.Config):
    """The orders of one run."""

    orders: list[int] = Field(description="Order numbers, in the order in which they are executed.")


class RoutineBackfill(dg.Config):
    """How the routine of a backfill is executed."""

    on_date: str = Field(default="", description="The run date, YYYY-MM-DD in the time zone of each dossier; empty is today.")
    audience: str = Field(default="", description="The code of an audience; empty considers all accounts.")
    parameters: dict[str, str] = Field(default={}, description="The parameters of the program, by name.")
    dry_run: bool = Field(default=False, description="True lists what would be done and does nothing.")
    email: str = Field(default="", description="Who gets the summaries; empty mails none.")


def _routine(program: Program) -> dg.AssetsDefinition:
    key = ROUTINE[program.code]
    spec = ROUTINE_CHECK_SPECS[program.code]

    @dg.asset(
        key=key,
        partitions_def=DOSSIERS,
        deps=[ENTITY["customer"], ENTITY["document"]],
        check_specs=[spec],
        output_required=False,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=GROUP,
        kinds={"postgres"},
        description=f"{program.description} Program {program.original}.",
        metadata=_metadata(program),
    )
    def routine(
        context: dg.AssetExecutionContext, config: RoutineBackfill, database: Database, clock: ClockResource
    ) -> Iterator[dg.Output[None]]:
        wanted = Backfill(
            program.code,
            typed_day(config.on_date, where="on_date") if config.on_date else None,
            config.audience or None,
            config.parameters,
            config.dry_run,
            config.email or None,
        )
        run = RoutineRun(clock, os.environ, context.run.run_id)
        numbers = order_backfill(database.engine, context.partition_keys, wanted, run_id=context.run.run_id, clock=clock)
        executed = [execute(database.engine, number, routine_of, run) for number in numbers]
        _tell(context, executed)
        yield check_output(key, spec.name)
        _fail_for(executed)

    return routine


def _metadata(program: Program) -> dict[str, Any]:
    """Return which table it fills; one that a company added writes its own ones, and its outcome stands with its orders."""
    own = custom_routine(program.code)
    if own is None:
        return {"dagster/table_name": f"automation.{program.table}"}
    return {"dagster/table_name": "automation.order_result", "statement": dg.MetadataValue.path(own[1].where)}


ROUTINES = [_routine(program) for program in known_programs().values()]


@dg.op(description="Execute these orders one after the other; one that fails stops no other.")
def execute_orders(context: dg.OpExecutionContext, config: OrderSelection, database: Database, clock: ClockResource) -> None:
    """Serve the orders that were claimed for this run."""
    run = RoutineRun(clock, os.environ, context.run.run_id)
    executed = [execute(database.engine, number, routine_of, run) for number in config.orders]
    _tell(context, executed)
    _fail_for(executed)


def _tell(context: StepContext, executed: Iterable[Executed]) -> None:
    """Record what the orders that ended made, and say why others did not start."""
    # A routine of the company may be gone by now: its order has failed, and there is no asset to tell of.
    ended = [one.order for one in executed if one.waits is None and one.order.program in ROUTINE]
    for one in executed:
        if one.waits is not None:
            context.log.info(f"{one.order.label} waits: {one.waits}")
    log_materializations(context, [_materialization(order) for order in ended])
    for program in sorted({order.program for order in ended}):
        orders = {order.dossier_code: order for order in ended if order.program == program}
        ids = latest_materializations(context.instance, ROUTINE[program], orders)
        evaluations = [
            routine_evaluation(program, code, handled(order), run_id=context.run.run_id, storage_id=ids.get(code))
            for code, order in orders.items()
        ]
        log_evaluations(context, evaluations)


def _materialization(order: Order) -> dg.AssetMaterialization:
    counts = order.counts
    return dg.AssetMaterialization(
        ROUTINE[order.program],
        partition=order.dossier_code,
        metadata={
            "order": order.order_number,
            "state": order.state.value,
            "run_date": order.run_date.isoformat(),
            "dry_run": order.dry_run,
            "considered": counts.considered,
            "changed": counts.changed,
            "unchanged": counts.unchanged,
            "skipped": counts.skipped,
            "errors": counts.errors,
        },
    )


def _fail_for(executed: Iterable[Executed]) -> None:
    """End the run as failed when an order failed, after everything else was done and told."""
    failed = [one.order for one in executed if one.order.state is OrderState.FAILED]
    if failed:
        raise dg.Failure(
            f"{len(failed)} orders failed; the others are done",
            metadata={order.label: order.failure or "" for order in failed[:20]},
            allow_retries=False,
        )
