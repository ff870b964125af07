"""What comes in: logbook lines, datasets and inter-company tasks of each dossier, from its database and its pivot files."""

import os
from collections.abc import Iterator, Mapping

import dagster as dg

from erpcrm_orchestration.assets.selection import DossierSelection
from erpcrm_orchestration.partitions import DOSSIERS, HUB_DATASET, INTER_COMPANY_TASK, LOGBOOK_ENTRY
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.services.data_hub import advance, take_pivot_files
from erpcrm_orchestration.services.intake import take_in
from erpcrm_orchestration.services.inter_company import execute

TABLES = {"logbook_entry": LOGBOOK_ENTRY, "hub_dataset": HUB_DATASET, "inter_company_task": INTER_COMPANY_TASK}
DESCRIPTION = {
    "logbook_entry": "The logbook of each dossier: what every synchronisation and every step of the data hub said.",
    "hub_dataset": "The datasets of the data hub with their automaton states, from the ERP and from pivot files.",
    "inter_company_task": "Changes of the ERP that are to be told to the CRM, and whether they were.",
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            key,
            description=DESCRIPTION[name],
            group_name="intake",
            kinds={"postgres"},
            metadata={"dagster/table_name": f"flow.{name}"},
            skippable=True,
        )
        for name, key in TABLES.items()
    ],
    partitions_def=DOSSIERS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    can_subset=True,
)
def intake(
    context: dg.AssetExecutionContext, config: DossierSelection, database: Database, clock: ClockResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Read what is new in the sources and folders of the dossiers; a source that is down fails alone."""
    codes = config.dossiers or list(context.partition_keys)
    read = take_in(database.engine, codes, clock=clock, environment=os.environ, run_id=context.run.run_id)
    files = take_pivot_files(database.engine, codes, clock=clock, environment=os.environ, run_id=context.run.run_id)
    moved = advance(database.engine, codes, clock=clock, run_id=context.run.run_id)
    execute(database.engine, clock=clock, environment=os.environ, run_id=context.run.run_id)
    for code in codes:
        one = read[code]
        taken = files[code].datasets if code in files else 0
        rows = {
            LOGBOOK_ENTRY: one.logbook_rows,
            HUB_DATASET: one.dataset_rows + taken,
            INTER_COMPANY_TASK: one.task_rows,
        }
        _report(context, code, rows, {"rejected": one.rejected, "pivot_files": taken, "transitions": moved.get(code, 0)})
    failures = {code: str(one.failure) for code, one in read.items() if one.failure}
    failures |= {code: str(one.failure) for code, one in files.items() if one.failure}
    if failures:
        raise dg.Failure(
            f"{len(failures)} of {len(codes)} dossiers could not be read; the others are",
            metadata=dict(list(failures.items())[:20]),
            allow_retries=False,
        )
    return
    yield  # a generator without outputs: each dossier has its own materialisation, logged above


def _report(context: dg.AssetExecutionContext, code: str, rows: Mapping[dg.AssetKey, int], extra: Mapping[str, int]) -> None:
    """Tell Dagster of the tables that got rows for this dossier; nothing new is no event."""
    for key, count in rows.items():
        if count and key in context.selected_asset_keys:
            context.log_event(dg.AssetMaterialization(key, partition=code, metadata={"dagster/row_count": count, **extra}))
