"""The check of the reconciliation: its specification for Dagster, evaluations from verdicts."""

from typing import Any

import dagster as dg

from erpcrm_orchestration.dagster_internals import partition_evaluation
from erpcrm_orchestration.domain.checks import Verdict
from erpcrm_orchestration.domain.reconciliation import DESCRIPTION, RECOVERY, SYSTEMS_AGREE
from erpcrm_orchestration.partitions import DOSSIERS, RECONCILIATION

SYSTEMS_AGREE_SPEC = dg.AssetCheckSpec(SYSTEMS_AGREE, asset=RECONCILIATION, description=DESCRIPTION, partitions_def=DOSSIERS)


def systems_agree_evaluation(
    dossier_code: str, verdict: Verdict, *, run_id: str, storage_id: int | None
) -> dg.AssetCheckEvaluation:
    """Return the evaluation of a dossier; a failing one carries what to do and its runbook."""
    metadata: dict[str, Any] = dict(verdict.metadata)
    if not verdict.passed:
        metadata |= {"recovery": dg.MetadataValue.text(RECOVERY), "runbook": f"docs/runbooks/{SYSTEMS_AGREE}.md"}
    return partition_evaluation(
        asset_key=RECONCILIATION,
        check_name=SYSTEMS_AGREE,
        partition=dossier_code,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity[verdict.severity],
        metadata=metadata,
        description=None if verdict.passed else RECOVERY,
        run_id=run_id,
        storage_id=storage_id,
    )
