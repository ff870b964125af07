"""The interaction state of the dossiers: one run serves many, each dossier gets its own materialisation and check results."""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import dagster as dg

from erpcrm_orchestration.assets.selection import DossierRefresh, Notification
from erpcrm_orchestration.checks.supervision import DOSSIER_CHECK_SPECS, SUMMARY_SPEC, dossier_evaluations, summary
from erpcrm_orchestration.dagster_internals import (
    check_output,
    latest_materializations,
    log_evaluations,
    log_materializations,
)
from erpcrm_orchestration.domain.checks import SOURCE_IS_REACHABLE
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.supervision import Evaluations, InteractionState
from erpcrm_orchestration.domain.widget import WIDGET_FIELDS
from erpcrm_orchestration.partitions import DOSSIERS, HUB_DATASET, INBOX, INTERACTION_STATE, LOGBOOK_ENTRY
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.services.supervision import Refresh, failure_verdict, mark_reported, refresh, verdicts


@dg.asset(
    key=INTERACTION_STATE,
    partitions_def=DOSSIERS,
    deps=[LOGBOOK_ENTRY, HUB_DATASET, *(INBOX[name] for name, entity in ENTITIES.items() if entity.category)],
    check_specs=[*DOSSIER_CHECK_SPECS, SUMMARY_SPEC],
    output_required=False,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="supervision",
    kinds={"postgres"},
    metadata={"dagster/table_name": "supervision.interaction_state"},
)
def interaction_state(
    context: dg.AssetExecutionContext, config: Notification, database: Database, clock: ClockResource
) -> Iterator[dg.Output[None]]:
    """How the ERP-CRM interactions of each dossier stand: last synchronisation, alert, and what is not OK."""
    codes = list(context.partition_keys)
    result = _refresh(context, database, Refresh(clock, os.environ, context.run.run_id, config.notify), codes, everything=True)
    for spec in (*DOSSIER_CHECK_SPECS, SUMMARY_SPEC):
        yield check_output(INTERACTION_STATE, spec.name)
    _fail_for(result, len(codes))


@dg.op(description="Refresh the interaction state of these dossiers; each that changed gets its events.")
def refresh_dossiers(context: dg.OpExecutionContext, config: DossierRefresh, database: Database, clock: ClockResource) -> None:
    """Serve an arbitrary set of dossiers in one run.

    An op and not the asset: a run over some partitions of an asset with partitioned parents must be a contiguous range.
    """
    job = Refresh(clock, os.environ, context.run.run_id, config.notify)
    result = _refresh(context, database, job, config.dossiers, everything=False)
    _fail_for(result, len(config.dossiers))


def _refresh(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    database: Database,
    job: Refresh,
    codes: Sequence[str],
    *,
    everything: bool,
) -> Evaluations:
    """Refresh, then tell Dagster of the dossiers that changed, were not told of for an hour, or were asked for by name.

    An event costs more than the evaluation; in between, the table is the truth.
    """
    result = refresh(database.engine, codes, job)
    told = {code: state for code, state in result.states.items() if everything or state.report_due}
    materializations = [
        dg.AssetMaterialization(INTERACTION_STATE, partition=code, metadata=widget(state)) for code, state in told.items()
    ]
    log_materializations(context, materializations)
    ids = latest_materializations(context.instance, INTERACTION_STATE, {*told, *result.failures})
    verdicts_of = {code: verdicts(state) for code, state in told.items()}
    verdicts_of |= {code: {SOURCE_IS_REACHABLE: failure_verdict(error)} for code, error in result.failures.items()}
    evaluations = [
        evaluation
        for code, found in verdicts_of.items()
        for evaluation in dossier_evaluations(code, found, run_id=context.run.run_id, storage_id=ids.get(code))
    ]
    # The summary comes last: Dagster shows the latest evaluation as the state of the asset.
    log_evaluations(context, [*evaluations, summary(result.states.values(), result.failures)])
    mark_reported(database.engine, list(told), job)
    for code, reason in result.skipped.items():
        context.log.info(f"dossier {code} skipped: {reason}")
    return result


def _fail_for(result: Evaluations, asked: int) -> None:
    """End the run as failed when a dossier failed, after everything else was done and told."""
    if result.failures:
        raise dg.Failure(
            f"{len(result.failures)} of {asked} dossiers could not be refreshed; the others are",
            metadata={code: str(error) for code, error in list(result.failures.items())[:20]},
            allow_retries=False,
        )


def widget(state: InteractionState) -> Mapping[str, dg.MetadataValue]:
    """Return the ten values in the order of the original widget, then what explains them."""
    return {name: _shown(getattr(state, name)) for name in (*WIDGET_FIELDS, "elapsed_min", "alert_delay_min", "never_synced")}


def _shown(value: object) -> dg.MetadataValue:
    match value:
        case bool():
            return dg.MetadataValue.bool(value)
        case int():
            return dg.MetadataValue.int(value)
        case datetime():
            return dg.MetadataValue.timestamp(value)
        case _:
            return dg.MetadataValue.text("never" if value is None else str(value))
