"""The check of a routine's asset: its specification for Dagster, evaluations from orders that ended."""

import dagster as dg

from erpcrm_orchestration.checks.evaluation import evaluation_of
from erpcrm_orchestration.domain.checks import Verdict
from erpcrm_orchestration.domain.routine import EVERY_ACCOUNT_IS_HANDLED, HANDLED_DESCRIPTION, HANDLED_RECOVERY
from erpcrm_orchestration.partitions import DOSSIERS, ROUTINE

ROUTINE_CHECK_SPECS = {
    program: dg.AssetCheckSpec(EVERY_ACCOUNT_IS_HANDLED, asset=key, description=HANDLED_DESCRIPTION, partitions_def=DOSSIERS)
    for program, key in ROUTINE.items()
}


def routine_evaluation(
    program: str, dossier_code: str, verdict: Verdict, *, run_id: str, storage_id: int | None
) -> dg.AssetCheckEvaluation:
    """Return the evaluation of the order that a dossier's partition was made by."""
    return evaluation_of(
        verdict,
        asset_key=ROUTINE[program],
        check_name=EVERY_ACCOUNT_IS_HANDLED,
        dossier_code=dossier_code,
        recovery=HANDLED_RECOVERY,
        run_id=run_id,
        storage_id=storage_id,
    )
