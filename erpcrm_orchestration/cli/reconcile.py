"""`erpcrm reconcile`: compare both sides of a dossier's systems, repair what differs, undo deletes."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Collection, Sequence
from typing import Annotated, Any

import sqlalchemy as sa
import typer

from erpcrm_orchestration.cli.listing import AsJson, as_record, as_word, show_rows
from erpcrm_orchestration.cli.session import actor, confirm, open_database
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.errors import InputError, SourceError, did_you_mean
from erpcrm_orchestration.domain.reconciliation import Compared, Kind
from erpcrm_orchestration.services.connectors import connected
from erpcrm_orchestration.services.inbox_correction import Author, integrate_now
from erpcrm_orchestration.services.reconciliation import Reconciliation, reconcile
from erpcrm_orchestration.services.reconciliation_repair import Repair, undo_deletes
from erpcrm_orchestration.store.dossier import require_code

COLUMNS = (
    "connection_code", "stream", "entity", "theirs", "ours", "equal", "corrected", "ignored", "only_there", "only_here",
    "different", "not_told", "result",
)  # fmt: skip
SAMPLES = 5
DETAILS = 1000
DIFFERENCES = 1


def reconcile_command(  # noqa: PLR0913  one parameter for each option
    dossier: Annotated[str, typer.Argument(help="The dossier.")],
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="With --undo-deletes: the system's ids.")] = None,
    *,
    entity: Annotated[str | None, typer.Option(help="Only this entity: order, customer, product ...")] = None,
    system: Annotated[str | None, typer.Option(help="Only this system: shop, crm, erp.")] = None,
    details: Annotated[Kind | None, typer.Option(help="List the records that differ in this way.")] = None,
    as_json: AsJson = False,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what differs through inbox and outbox.")] = False,
    deletes: Annotated[
        int, typer.Option(min=0, metavar="RECORDS", help="With --repair: so many that are gone there may be deleted.")
    ] = 0,
    undo: Annotated[str | None, typer.Option("--undo-deletes", metavar="ENTITY", help="Let deleted ones live again.")] = None,
    reason: Annotated[str, typer.Option(help="Why; --undo-deletes needs it, it is kept in the audit trail.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Compare what the systems hold with what we hold: 0 equal, 1 differences, 3 a system could not be read.

    only_there: the system has it and we do not. only_here: gone there. different: other values there. not_told: ours were not
    written there. Records that a person corrected here, and those that the mapping does not take, are no differences.

    Examples: erpcrm reconcile 998
              erpcrm reconcile 998 --system shop --details only_there
              erpcrm reconcile 998 --repair --deletes 3 --yes
              erpcrm reconcile 998 --undo-deletes product 17 18 --reason "the shop's export was cut off"
    """
    _require_fitting(entity, ids, undo, repair=repair, deletes=deletes)
    with open_database() as engine:
        _require_known(engine, dossier, system)
        if undo:
            _undo(engine, dossier, undo, ids or (), system, reason)
            return
        job = _job(entity, system, details)
        if repair and not yes:
            _show(reconcile(engine, [dossier], job), details, as_json=False)
            confirm(f"Repair dossier {dossier}?")
        found = reconcile(engine, [dossier], _job(entity, system, details, Repair(deletes) if repair else None))
        if repair:
            _settle(engine, dossier, found, job.run_id)
    _show(found, details, as_json=as_json)
    code = _exit_code(found)
    if code:
        raise typer.Exit(code)


def _job(entity: str | None, system: str | None, details: Kind | None, repair: Repair | None = None) -> Reconciliation:
    samples = DETAILS if details else SAMPLES
    return Reconciliation(SystemClock(), os.environ, _run_id(), entity, system, samples, repair)


def _exit_code(found: Sequence[Compared]) -> int:
    """Return 3 when a system failed, 1 when something differs that was not repaired, 0 otherwise."""
    if any(one.failure for one in found):
        return SourceError.exit_code
    left = any(one.counts.differences > sum(one.repaired.values()) or one.refused for one in found)
    return DIFFERENCES if left else 0


def _show(found: Sequence[Compared], details: Kind | None, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([_record(one) for one in found], ensure_ascii=False, indent=2, default=str))
        return
    if details:
        for one in found:
            for each in one.samples:
                if each.kind is details:
                    where = f"{one.connection_code} {one.stream}"
                    typer.echo(as_word(f"{where}  {each.source_id}  {each.reason}"))
        return
    rows = [{**vars(one), **vars(one.counts), "result": _result(one)} for one in found]
    show_rows(rows, COLUMNS, as_json=False, as_csv=False, empty="nothing is compared: no connection has a mapping")
    for one in found:
        for each in one.samples:
            typer.echo(as_word(f"{one.connection_code} {one.stream} {each.kind}: {each.source_id} ({each.reason})"))


def _record(one: Compared) -> dict[str, Any]:
    samples = [vars(each) for each in one.samples]
    return as_record({**vars(one), "counts": vars(one.counts), "samples": samples, "repaired": dict(one.repaired)})


def _result(one: Compared) -> str:
    if one.failure:
        return f"incomplete: {one.failure}"
    told = [f"{name} {count}" for name, count in one.repaired.items()]
    if one.refused:
        told.append(f"nothing deleted: {one.refused}")
    return ", ".join(told) or ("differs" if one.counts.differences else "equal")


def _settle(engine: sa.Engine, dossier: str, found: Sequence[Compared], run_id: str) -> None:
    """Integrate and deliver what the repair received and queued, when nobody else does."""
    if any(one.repaired for one in found):
        _work(engine, dossier, run_id)


def _work(engine: sa.Engine, dossier: str, run_id: str) -> None:
    done = integrate_now(engine, dossier, clock=SystemClock(), environment=os.environ, run_id=run_id)
    if done is None:
        typer.echo("another run works on this dossier: its next round does the rest", err=True)
        return
    for failure in done.failures:
        typer.echo(str(failure), err=True)


def _undo(engine: sa.Engine, dossier: str, entity: str, ids: Collection[str], system: str | None, reason: str) -> None:
    author = Author(actor(), reason)
    undone = undo_deletes(engine, dossier, entity, author, source_ids=ids, system_code=system, clock=SystemClock())
    names = ", ".join(f"{one.system_code} {one.source_id}" for one in undone[:20])
    typer.echo(f"{len(undone)} live again" + (f": {names}" if names else ""))
    if undone:
        _work(engine, dossier, _run_id())


def _require_fitting(entity: str | None, ids: list[str] | None, undo: str | None, *, repair: bool, deletes: int) -> None:
    where = "erpcrm reconcile"
    if entity is not None and entity not in ENTITIES:
        raise InputError("E-REC-002", f"{where} --entity", f"no entity {entity!r}", did_you_mean(entity, ENTITIES))
    if ids and not undo:
        raise InputError("E-CLI-050", where, "ids without --undo-deletes", "leave them out, or narrow down with --entity")
    if deletes and not repair:
        raise InputError("E-CLI-050", f"{where} --deletes", "no --repair", "add --repair")
    if undo and repair:
        raise InputError("E-CLI-050", where, "--repair and --undo-deletes together", "choose one of them")


def _require_known(engine: sa.Engine, dossier: str, system: str | None) -> None:
    with engine.connect() as connection:
        require_code(connection, dossier)
        systems = sorted({one.connection.system for one in connected(connection, [dossier])})
    if not systems:
        raise InputError("E-CLI-067", f"dossier {dossier}", "no active connection", "add one below `connections` and apply it")
    if system is not None and system not in systems:
        raise InputError("E-REC-001", "erpcrm reconcile --system", f"no system {system!r}", did_you_mean(system, systems))


def _run_id() -> str:
    return f"cli-{uuid.uuid4()}"
