"""The check of the reconciliation: its specification for Dagster, evaluations from verdicts."""

import dagster as dg

from erpcrm_orchestration.checks.evaluation import evaluation_of
from erpcrm_orchestration.domain.checks import Verdict
from erpcrm_orchestration.domain.reconciliation import DESCRIPTION, RECOVERY, SYSTEMS_AGREE
from erpcrm_orchestration.partitions import DOSSIERS, RECONCILIATION

SYSTEMS_AGREE_SPEC = dg.AssetCheckSpec(SYSTEMS_AGREE, asset=RECONCILIATION, description=DESCRIPTION, partitions_def=DOSSIERS)


def systems_agree_evaluation(
    dossier_code: str, verdict: Verdict, *, run_id: str, storage_id: int | None
) -> dg.AssetCheckEvaluation:
    """Return the evaluation of a dossier."""
    return evaluation_of(
        verdict,
        asset_key=RECONCILIATION,
        check_name=SYSTEMS_AGREE,
        dossier_code=dossier_code,
        recovery=RECOVERY,
        run_id=run_id,
        storage_id=storage_id,
    )
