"""The checks of the installation: computed when they are read, so that they alarm also when what they watch is dead."""

from typing import Any

import dagster as dg

from erpcrm_orchestration.partitions import WATCHER
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.services.observation import INSTALLATION_CHECKS, InstallationCheck, judge


def _check(fact: InstallationCheck) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=WATCHER, name=fact.name, description=fact.description)
    def evaluate(database: Database, clock: ClockResource) -> dg.AssetCheckResult:
        verdict = judge(database.engine, fact.name, clock=clock)
        metadata: dict[str, Any] = dict(verdict.metadata)
        if not verdict.passed:
            metadata |= {"recovery": fact.recovery, "runbook": f"docs/runbooks/{fact.name}.md"}
        return dg.AssetCheckResult(
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity[verdict.severity],
            description=None if verdict.passed else fact.recovery,
            metadata=metadata,
        )

    return evaluate


INSTALLATION = [_check(fact) for fact in INSTALLATION_CHECKS]
