"""The checks of the entities: specifications for Dagster, evaluations from verdicts."""

from collections.abc import Iterator, Mapping

import dagster as dg

from erpcrm_orchestration.checks.evaluation import evaluation_of
from erpcrm_orchestration.domain.checks import Verdict
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.inbox_health import INBOX_CHECKS, checks_of
from erpcrm_orchestration.partitions import DOSSIERS, ENTITY

RECOVERY = {check.name: check.recovery for check in INBOX_CHECKS}

ENTITY_CHECK_SPECS = tuple(
    dg.AssetCheckSpec(check.name, asset=ENTITY[entity], description=check.description, partitions_def=DOSSIERS)
    for entity in ENTITIES
    for check in checks_of(entity)
)


def entity_evaluations(
    entity: str, dossier_code: str, verdicts: Mapping[str, Verdict], *, run_id: str, storage_id: int | None
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield one evaluation for each verdict."""
    for name, verdict in verdicts.items():
        yield evaluation_of(
            verdict,
            asset_key=ENTITY[entity],
            check_name=name,
            dossier_code=dossier_code,
            recovery=RECOVERY[name],
            run_id=run_id,
            storage_id=storage_id,
        )
