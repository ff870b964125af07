"""The check of a routine's asset: its specification for Dagster, evaluations from orders that ended."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from erpcrm_orchestration.dagster_internals import partition_evaluation
from erpcrm_orchestration.domain.checks import Verdict
from erpcrm_orchestration.domain.routine import EVERY_ACCOUNT_IS_HANDLED, HANDLED_DESCRIPTION, HANDLED_RECOVERY
from erpcrm_orchestration.partitions import DOSSIERS, ROUTINE

ROUTINE_CHECK_SPECS = {
    program: dg.AssetCheckSpec(EVERY_ACCOUNT_IS_HANDLED, asset=key, description=HANDLED_DESCRIPTION, partitions_def=DOSSIERS)
    for program, key in ROUTINE.items()
}


def routine_evaluations(
    program: str, dossier_code: str, verdict: Verdict, *, run_id: str, storage_id: int | None
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield the evaluation of the order that a dossier's partition was made by; a failing one says what to do."""
    metadata: dict[str, Any] = dict(verdict.metadata)
    if not verdict.passed:
        metadata |= {
            "recovery": dg.MetadataValue.text(HANDLED_RECOVERY),
            "runbook": f"docs/runbooks/{EVERY_ACCOUNT_IS_HANDLED}.md",
        }
    yield partition_evaluation(
        asset_key=ROUTINE[program],
        check_name=EVERY_ACCOUNT_IS_HANDLED,
        partition=dossier_code,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity[verdict.severity],
        metadata=metadata,
        description=None if verdict.passed else HANDLED_RECOVERY,
        run_id=run_id,
        storage_id=storage_id,
    )
