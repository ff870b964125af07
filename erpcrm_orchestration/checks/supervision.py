"""The checks of the interaction state: specifications for Dagster, evaluations from verdicts.

The checks of a dossier are evaluated by the step that writes its state, because only a step that names the partition can
record them for it. They stand below the assets in the import order for that reason.
"""

from collections.abc import Iterable, Iterator, Mapping

import dagster as dg

from erpcrm_orchestration.checks.evaluation import evaluation_of
from erpcrm_orchestration.domain.checks import DOSSIER_CHECKS, SOURCE_IS_REACHABLE, SOURCE_RECOVERY, Verdict
from erpcrm_orchestration.domain.supervision import InteractionState, SyncState
from erpcrm_orchestration.partitions import DOSSIERS, INTERACTION_STATE

RECOVERY = {check.name: check.recovery for check in DOSSIER_CHECKS} | {SOURCE_IS_REACHABLE: SOURCE_RECOVERY}
DESCRIPTION = {check.name: check.description for check in DOSSIER_CHECKS} | {
    SOURCE_IS_REACHABLE: "The source of the dossier answered when its state was refreshed."
}
NO_DOSSIER_IS_IN_ALERT = "no_dossier_is_in_alert"

DOSSIER_CHECK_SPECS = tuple(
    dg.AssetCheckSpec(name, asset=INTERACTION_STATE, description=DESCRIPTION[name], partitions_def=DOSSIERS)
    for name in RECOVERY
)
SUMMARY_SPEC = dg.AssetCheckSpec(
    NO_DOSSIER_IS_IN_ALERT,
    asset=INTERACTION_STATE,
    description="No dossier of the last refresh is in alert, and every one could be refreshed.",
)
SAMPLE = 20


def dossier_evaluations(
    dossier_code: str, verdicts: Mapping[str, Verdict], *, run_id: str, storage_id: int | None
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield one evaluation for each verdict of a dossier."""
    for name, verdict in verdicts.items():
        yield evaluation_of(
            verdict,
            asset_key=INTERACTION_STATE,
            check_name=name,
            dossier_code=dossier_code,
            recovery=RECOVERY[name],
            run_id=run_id,
            storage_id=storage_id,
        )


def summary(states: Iterable[InteractionState], failures: Mapping[str, object]) -> dg.AssetCheckEvaluation:
    """Return the badge of the asset: how many dossiers are in alert or failed, and a sample of their codes."""
    alerts = sorted(state.dossier_code for state in states if state.sync_state is SyncState.ALERT)
    return dg.AssetCheckEvaluation(
        asset_key=INTERACTION_STATE,
        check_name=NO_DOSSIER_IS_IN_ALERT,
        passed=not alerts and not failures,
        metadata={
            "in_alert": dg.MetadataValue.int(len(alerts)),
            "failed": dg.MetadataValue.int(len(failures)),
            "dossiers_in_alert": dg.MetadataValue.text(", ".join(alerts[:SAMPLE]) or "none"),
            "dossiers_failed": dg.MetadataValue.text(", ".join(sorted(failures)[:SAMPLE]) or "none"),
            "runbook": dg.MetadataValue.text(f"docs/runbooks/{NO_DOSSIER_IS_IN_ALERT}.md"),
        },
    )
