"""A verdict as Dagster's evaluation of a dossier's check; a failing one carries what to do and its runbook."""

from typing import Any

import dagster as dg

from erpcrm_orchestration.dagster_internals import partition_evaluation
from erpcrm_orchestration.domain.checks import Verdict


def evaluation_of(
    verdict: Verdict,
    *,
    asset_key: dg.AssetKey,
    check_name: str,
    dossier_code: str,
    recovery: str,
    run_id: str,
    storage_id: int | None,
) -> dg.AssetCheckEvaluation:
    """Return the evaluation; `storage_id` is that of the materialisation it targets."""
    metadata: dict[str, Any] = dict(verdict.metadata)
    if not verdict.passed:
        metadata |= {"recovery": dg.MetadataValue.text(recovery), "runbook": f"docs/runbooks/{check_name}.md"}
    return partition_evaluation(
        asset_key=asset_key,
        check_name=check_name,
        partition=dossier_code,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity[verdict.severity],
        metadata=metadata,
        description=None if verdict.passed else recovery,
        run_id=run_id,
        storage_id=storage_id,
    )
