"""How the systems of each dossier and the hub agree: compared every night in one run, or for a dossier by its partition.

A comparison reads the systems and writes its result only; repairs are a person's, by `erpcrm reconcile DOSSIER --repair`.
"""

import os
from collections.abc import Iterator, Sequence

import dagster as dg
from pydantic import Field

from erpcrm_orchestration.checks.reconciliation import SYSTEMS_AGREE_SPEC, systems_agree_evaluation
from erpcrm_orchestration.dagster_internals import (
    check_output,
    latest_materializations,
    log_evaluations,
    log_materializations,
)
from erpcrm_orchestration.domain.reconciliation import Compared, Kind, systems_agree
from erpcrm_orchestration.partitions import DOSSIERS, ENTITY, RECONCILIATION
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.services.reconciliation import Reconciliation, reconcile

StepContext = dg.AssetExecutionContext | dg.OpExecutionContext

SCHEMA = dg.TableSchema(
    [
        dg.TableColumn(name, "string" if name in ("stream", "result") else "int")
        for name in ("stream", "theirs", "ours", "equal", *(kind.value for kind in Kind), "result")
    ]
)


class DossierComparison(dg.Config):
    """The dossiers of one comparison."""

    dossiers: list[str] = Field(description="Dossier codes.")


@dg.asset(
    key=RECONCILIATION,
    partitions_def=DOSSIERS,
    deps=list(ENTITY.values()),
    check_specs=[SYSTEMS_AGREE_SPEC],
    output_required=False,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="integration",
    kinds={"postgres"},
    metadata={"dagster/table_name": "flow.reconciliation"},
)
def reconciliation(context: dg.AssetExecutionContext, database: Database, clock: ClockResource) -> Iterator[dg.Output[None]]:
    """What each system of a dossier holds, compared with what the hub holds: counts, hashes, and what differs."""
    _compare(context, list(context.partition_keys), database, clock)
    yield check_output(RECONCILIATION, SYSTEMS_AGREE_SPEC.name)


@dg.op(description="Compare what the systems of these dossiers hold with what the hub holds; nothing is repaired.")
def reconcile_dossiers(
    context: dg.OpExecutionContext, config: DossierComparison, database: Database, clock: ClockResource
) -> None:
    """Compare an arbitrary set of dossiers in one run; a system that does not answer fails for its streams only."""
    _compare(context, config.dossiers, database, clock)


def _compare(context: StepContext, codes: Sequence[str], database: Database, clock: ClockResource) -> None:
    """Compare, then tell Dagster of each dossier that has a system."""
    job = Reconciliation(clock, os.environ, context.run.run_id)
    found: dict[str, list[Compared]] = {}
    for code in codes:
        results = reconcile(database.engine, [code], job)
        if results:
            found[code] = results
    log_materializations(context, [_materialization(code, results) for code, results in found.items()])
    ids = latest_materializations(context.instance, RECONCILIATION, found)
    run_id = context.run.run_id
    log_evaluations(
        context,
        [
            systems_agree_evaluation(code, systems_agree(results), run_id=run_id, storage_id=ids.get(code))
            for code, results in found.items()
        ],
    )


def _materialization(code: str, results: Sequence[Compared]) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        RECONCILIATION,
        partition=code,
        metadata={
            "streams": len(results),
            "differences": sum(one.counts.differences for one in results),
            "incomplete": sum(not one.is_complete for one in results),
            "comparison": dg.MetadataValue.table([_row(one) for one in results], schema=SCHEMA),
        },
    )


def _row(one: Compared) -> dg.TableRecord:
    counts = one.counts
    return dg.TableRecord(
        {
            "stream": f"{one.connection_code} {one.stream}",
            "theirs": counts.theirs,
            "ours": counts.ours,
            "equal": counts.equal,
            **{kind.value: counts.of(kind) for kind in Kind},
            "result": one.failure or ("differs" if counts.differences else "equal"),
        }
    )
