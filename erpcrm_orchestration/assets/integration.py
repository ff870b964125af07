"""The inbox and the entities of each dossier.

The live work is an op: one run for all dossiers that are due, whichever they are. The assets serve the backfill of a dossier:
its entities are made anew from the inbox, without asking a system, moving a cursor or writing anywhere else.
"""

import os
from collections.abc import Iterator, Mapping

import dagster as dg
from pydantic import Field

from erpcrm_orchestration.assets.columns import column_lineage, column_schema
from erpcrm_orchestration.checks.integration import ENTITY_CHECK_SPECS, entity_evaluations
from erpcrm_orchestration.dagster_internals import (
    check_output,
    latest_materializations,
    log_evaluations,
    log_materializations,
)
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.integration import Tally
from erpcrm_orchestration.partitions import DOSSIERS, ENTITY, INBOX
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.services.inbox_health import Judged, judge
from erpcrm_orchestration.services.lineage import Sources, column_sources
from erpcrm_orchestration.services.replay import Replay, replay
from erpcrm_orchestration.services.round import DossierRound, Round, work_round

GROUP = "integration"
SAMPLE = 20


class DossierWork(dg.Config):
    """The dossiers of one round."""

    dossiers: list[str] = Field(description="Dossier codes.")
    everything: bool = Field(default=False, description="True reads streams that are not due as well.")


def _upstream(entity: str) -> list[dg.AssetKey]:
    """Return the entities that an entity refers to."""
    named = {field.refers_to for field in ENTITIES[entity].references if field.refers_to and field.refers_to != entity}
    return [ENTITY[one] for one in sorted(named)]


SPECS = [
    *(
        dg.AssetSpec(
            INBOX[entity],
            description=f"What was received of the entity {entity}: every record as its system sent it, and what became of it.",
            group_name=GROUP,
            kinds={"postgres"},
            metadata={"dagster/table_name": "flow.inbox"},
            skippable=True,
        )
        for entity in ENTITIES
    ),
    *(
        dg.AssetSpec(
            ENTITY[name],
            deps=[INBOX[name], *_upstream(name)],
            description=f"The entity {name} in third normal form, its rows in {', '.join(c.table for c in entity.children)}.",
            group_name=GROUP,
            kinds={"postgres"},
            metadata={"dagster/table_name": f"hub.{entity.table}", "dagster/column_schema": column_schema(entity)},
            skippable=True,
        )
        for name, entity in ENTITIES.items()
    ),
]


@dg.multi_asset(
    specs=SPECS,
    check_specs=ENTITY_CHECK_SPECS,
    partitions_def=DOSSIERS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    can_subset=True,
)
def entities(context: dg.AssetExecutionContext, database: Database, clock: ClockResource) -> Iterator[dg.Output[None]]:
    """Make the entities of the dossiers anew from their inboxes."""
    codes = list(context.partition_keys)
    chosen = [name for name in ENTITIES if ENTITY[name] in context.selected_asset_keys]
    tallies = replay(database.engine, codes, chosen, Replay(clock, context.run.run_id))
    worked = {(code, name) for code in codes for name in chosen}
    told = judge(database.engine, codes, worked, clock=clock)
    _tell(context, database, {key: one for key, one in told.items() if key[1] in chosen}, tallies)
    for key in context.selected_asset_check_keys:
        yield check_output(key.asset_key, key.name)


@dg.op(description="Read the systems of these dossiers, integrate, fetch what is missing and deliver what changed.")
def integrate_dossiers(context: dg.OpExecutionContext, config: DossierWork, database: Database, clock: ClockResource) -> None:
    """Do one round for an arbitrary set of dossiers; what one of them meets stops no other."""
    job = Round(clock, os.environ, context.run.run_id, everything=config.everything)
    rounds = work_round(database.engine, config.dossiers, job)
    tallies = _by_entity(rounds)
    told = judge(database.engine, sorted(rounds), set(tallies), clock=clock)
    _tell_received(context, rounds)
    _tell(context, database, told, tallies)
    failures = {code: str(one.failures[0]) for code, one in rounds.items() if one.failures}
    if failures:
        raise dg.Failure(
            f"{len(failures)} of {len(rounds)} dossiers met a system that did not answer as it should; the others are done",
            metadata=dict(list(failures.items())[:SAMPLE]),
            allow_retries=False,
        )


def _tell_received(context: dg.OpExecutionContext, rounds: Mapping[str, DossierRound]) -> None:
    """Record the materialisation of each inbox that got something."""
    received = [
        dg.AssetMaterialization(
            INBOX[entity],
            partition=code,
            metadata={
                "new": receipt.new,
                "older_versions": receipt.old,
                "refused": receipt.refused,
                "late": receipt.late,
                "max_lateness_s": receipt.max_lateness_s,
            },
        )
        for code, one in rounds.items()
        for entity, receipt in one.receipts().items()
        if receipt.new or receipt.old or receipt.refused
    ]
    if received:
        log_materializations(context, received)


def _by_entity(rounds: Mapping[str, DossierRound]) -> dict[tuple[str, str], Tally]:
    """Return (dossier, entity) -> what was done to it; what was not touched is missing."""
    tallies: dict[tuple[str, str], Tally] = {}
    for code, one in rounds.items():
        for entity, tally in one.by_entity().items():
            tallies[code, entity] = tallies.get((code, entity), Tally()) + tally
    return tallies


def _tell(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    database: Database,
    told: Mapping[tuple[str, str], Judged],
    tallies: Mapping[tuple[str, str], Tally],
) -> None:
    """Record the materialisation of each entity that was worked on, then the evaluations of its checks."""
    if not told:
        return
    sources = column_sources(database.engine, told)
    log_materializations(
        context, [_materialization(*key, one, tallies.get(key, Tally()), sources[key]) for key, one in told.items()]
    )
    for entity in sorted({name for _, name in told}):
        codes = [code for code, name in told if name == entity]
        ids = latest_materializations(context.instance, ENTITY[entity], codes)
        evaluations = [
            evaluation
            for code in codes
            for evaluation in entity_evaluations(
                entity, code, told[code, entity].verdicts, run_id=context.run.run_id, storage_id=ids.get(code)
            )
        ]
        log_evaluations(context, evaluations)


def _materialization(code: str, entity: str, judged: Judged, tally: Tally, sources: Sources) -> dg.AssetMaterialization:
    health = judged.health
    return dg.AssetMaterialization(
        ENTITY[entity],
        partition=code,
        metadata={
            "dagster/row_count": dg.MetadataValue.int(health.rows or 0),
            "dagster/column_lineage": dg.MetadataValue.column_lineage(column_lineage(entity, sources)),
            "integrated": tally.transformed,
            "changed": tally.changed,
            "deleted": tally.deleted,
            "rejected": tally.rejected,
            "waiting": health.waiting,
            "open": health.open,
            "dead": health.dead,
            "oldest_open_received_at": dg.MetadataValue.timestamp(health.oldest_at) if health.oldest_at else "none",
        },
    )
