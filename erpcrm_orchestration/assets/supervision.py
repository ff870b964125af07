"""The interaction state of the dossiers: one run serves many, each dossier gets its own materialisation and check results."""

import os
from collections.abc import Iterator, Mapping

import dagster as dg

from erpcrm_orchestration.assets.selection import DossierSelection
from erpcrm_orchestration.checks.supervision import DOSSIER_CHECK_SPECS, SUMMARY_SPEC, dossier_evaluations, summary
from erpcrm_orchestration.dagster_internals import check_output, latest_materializations, pool_connections
from erpcrm_orchestration.domain.checks import SOURCE_IS_REACHABLE
from erpcrm_orchestration.domain.supervision import Evaluations, InteractionState
from erpcrm_orchestration.partitions import DOSSIERS, HUB_DATASET, INTERACTION_STATE, LOGBOOK_ENTRY
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.services.supervision import Refresh, failure_verdict, mark_reported, refresh, verdicts


@dg.asset(
    key=INTERACTION_STATE,
    partitions_def=DOSSIERS,
    deps=[LOGBOOK_ENTRY, HUB_DATASET],
    check_specs=[*DOSSIER_CHECK_SPECS, SUMMARY_SPEC],
    output_required=False,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="supervision",
    kinds={"postgres"},
    metadata={"dagster/table_name": "supervision.interaction_state"},
)
def interaction_state(
    context: dg.AssetExecutionContext, config: DossierSelection, database: Database, clock: ClockResource
) -> Iterator[dg.Output[None] | dg.AssetCheckResult]:
    """How the ERP-CRM interactions of each dossier stand: last synchronisation, alert, and what is not OK."""
    named = config.dossiers or list(context.partition_keys)
    pool_connections(context.instance)
    job = Refresh(clock, os.environ, context.run.run_id, config.notify)
    result = refresh(database.engine, named, job)
    _report(context, result, everything=not config.dossiers)
    mark_reported(database.engine, [code for code, state in result.states.items() if state.report_due], job)
    for spec in DOSSIER_CHECK_SPECS:
        yield check_output(INTERACTION_STATE, spec.name)
    yield summary(result.states.values(), result.failures)
    for code, reason in result.skipped.items():
        context.log.info(f"dossier {code} skipped: {reason}")
    if result.failures:
        raise dg.Failure(
            f"{len(result.failures)} of {len(named)} dossiers could not be refreshed; the others are",
            metadata={code: str(error) for code, error in list(result.failures.items())[:20]},
            allow_retries=False,
        )


def _report(context: dg.AssetExecutionContext, result: Evaluations, *, everything: bool) -> None:
    """Tell Dagster of the dossiers that changed, were not told of for an hour, or were asked for by name.

    An event costs more than the evaluation; in between, the table is the truth.
    """
    told = {code: state for code, state in result.states.items() if everything or state.report_due}
    for state in told.values():
        context.log_event(dg.AssetMaterialization(INTERACTION_STATE, partition=state.dossier_code, metadata=widget(state)))
    ids = latest_materializations(context.instance, INTERACTION_STATE, {*told, *result.failures})
    for code, state in told.items():
        for evaluation in dossier_evaluations(code, verdicts(state), run_id=context.run.run_id, storage_id=ids.get(code)):
            context.log_event(evaluation)
    for code, error in result.failures.items():
        failed = {SOURCE_IS_REACHABLE: failure_verdict(error)}
        for evaluation in dossier_evaluations(code, failed, run_id=context.run.run_id, storage_id=ids.get(code)):
            context.log_event(evaluation)


def widget(state: InteractionState) -> Mapping[str, dg.MetadataValue]:
    """Return the ten values in the order of the original widget, then what explains them."""
    never = dg.MetadataValue.text("never")
    return {
        "crm_project_code": dg.MetadataValue.text(state.crm_project_code),
        "last_sync_at": dg.MetadataValue.timestamp(state.last_sync_at) if state.last_sync_at else never,
        "sync_state": dg.MetadataValue.text(state.sync_state_label),
        "syncs_today": dg.MetadataValue.int(state.syncs_today),
        "interventions_today_not_ok": dg.MetadataValue.int(state.interventions_today_not_ok),
        "interventions_not_ok": dg.MetadataValue.int(state.interventions_not_ok),
        "times_not_ok": dg.MetadataValue.int(state.times_not_ok),
        "documents_not_ok": dg.MetadataValue.int(state.documents_not_ok),
        "syncs_with_rejects": dg.MetadataValue.int(state.syncs_with_rejects),
        "last_refreshed_at": dg.MetadataValue.timestamp(state.last_refreshed_at),
        "elapsed_min": dg.MetadataValue.int(state.elapsed_min),
        "alert_delay_min": dg.MetadataValue.int(state.alert_delay_min),
    }
