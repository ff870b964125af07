"""What people do to a dataset: correct its fields, and relaunch it at a lower state. The pivot file itself never changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.configuration import AutomatonState, DatasetType
from erpcrm_orchestration.domain.correction import Change, Entry, written
from erpcrm_orchestration.domain.errors import InputError, did_you_mean
from erpcrm_orchestration.domain.values import text
from erpcrm_orchestration.store.configuration import load_dataset_types
from erpcrm_orchestration.store.correction import append
from erpcrm_orchestration.store.dataset import INTAKE, find_dataset, update_dataset
from erpcrm_orchestration.store.engine import reported
from erpcrm_orchestration.store.logbook import LogbookLine, write_lines

CLOSED = ("CLOSED_OK", "CLOSED_KO")


def relaunch(
    engine: sa.Engine, dossier_code: str, dataset_number: int, *, state_number: int, reason: str, actor: str, clock: Clock
) -> None:
    """Let a dataset enter again at a lower state; the automaton takes it from there.

    A dataset that was interrupted inside its state, because the function failed or the type was unknown, may enter at that
    state again. Raises InputError E-HUB-020 to 025 and changes nothing when the dataset or the state is not the right one.
    """
    now = clock.now()
    with reported(engine), engine.begin() as connection:
        found = _open_dataset(connection, dossier_code, dataset_number, reason)
        kind = load_dataset_types(connection).get(found["type_code"])
        state = _entry(found, kind, state_number)
        after = {
            "state_number": state.state_number,
            "state_group": state.state_group.value,
            "attempts": found["attempts"] + 1,
            "last_error": (found["last_error"] or "relaunched") if state.state_group == "ERROR" else None,
            "category": kind.category.value if kind else found["category"],
        }
        before = {name: found[name] for name in after}
        update_dataset(connection, dossier_code, dataset_number, {**after, "updated_at": now})
        line = f"dataset {dataset_number}: state {found['state_number']} -> {state_number}, relaunched by {actor}: {reason}"
        key = f"{dataset_number}/{after['attempts']}/relaunch"
        write_lines(connection, [LogbookLine(dossier_code, now, "system", key, "AUTOMATON", "OK", line)])
        append(
            connection, [Entry(now, actor, "relaunch", reason, dossier_code, 0, None, _changes(before, after), dataset_number)]
        )


def fix(
    engine: sa.Engine,
    dossier_code: str,
    dataset_number: int,
    *,
    fields: Mapping[str, str],
    reason: str,
    actor: str,
    clock: Clock,
) -> None:
    """Correct fields of a dataset; an empty value takes a field away. Its state stays, the received payload too.

    Raises InputError E-HUB-020 to 025 and changes nothing when the dataset or a field is not the right one.
    """
    now = clock.now()
    with reported(engine), engine.begin() as connection:
        found = _open_dataset(connection, dossier_code, dataset_number, reason)
        where = _where(dossier_code, dataset_number)
        if not fields:
            raise InputError("E-HUB-025", where, "no field to correct", "give FIELD=VALUE")
        kind = load_dataset_types(connection).get(found["type_code"])
        _check_names(where, kind, found["fields"], fields)
        clean = {name: text(value, where=f"{where} field {name}") for name, value in fields.items()}
        corrected = {name: value for name, value in {**found["fields"], **clean}.items() if value != ""}
        update_dataset(connection, dossier_code, dataset_number, {"fields": corrected, "updated_at": now})
        before = {name: found["fields"].get(name) for name in fields}
        after = {name: value or None for name, value in clean.items()}
        changes = _changes(before, after)
        append(connection, [Entry(now, actor, "fix", reason, dossier_code, 0, None, changes, dataset_number)])


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return what differs, as JSON texts; None is nothing at all."""
    texts = {name: [None if one is None else written(one) for one in (before[name], after[name])] for name in after}
    return tuple(Change(f"$.{name}", old, new) for name, (old, new) in texts.items() if old != new)


def _open_dataset(connection: sa.Connection, dossier_code: str, dataset_number: int, reason: str) -> dict[str, Any]:
    """Return the dataset, locked, when a person may work on it."""
    where = _where(dossier_code, dataset_number)
    found = find_dataset(connection, dataset_number, lock=True)
    if found is None or found["dossier_code"] != dossier_code:
        raise InputError("E-HUB-020", where, "no such dataset", "see `erpcrm datasets list`")
    if found["intake"] != INTAKE:
        owner = found["intake"].removeprefix("source:").partition("/")[0]
        raise InputError(
            "E-HUB-021",
            where,
            f"the automaton of source {owner} runs it",
            f"correct it in {owner}; it comes with the next pass",
        )
    if found["state_group"] in CLOSED:
        raise InputError("E-HUB-022", where, f"it is closed ({found['state_group']})", "send a new pivot file")
    if not reason.strip():
        raise InputError("E-HUB-023", where, "no reason", "say why, for the audit trail")
    return found


def _entry(found: Mapping[str, Any], kind: DatasetType | None, state_number: int) -> AutomatonState:
    where = _where(found["dossier_code"], found["dataset_number"])
    if kind is None:
        raise InputError(
            "E-HUB-024", where, f"its type {found['type_code']} is unknown", "configure the type, or send a new pivot file"
        )
    states = {state.state_number: state for state in kind.states}
    current = states.get(found["state_number"])
    interrupted = found["state_group"] == "ERROR" and (current is None or current.state_group != "ERROR")
    highest = found["state_number"] if interrupted else found["state_number"] - 1
    lower = [str(number) for number in sorted(states) if number <= highest]
    remedy = f"choose {', '.join(lower)}" if lower else "there is no lower state"
    if state_number not in states:
        raise InputError("E-HUB-024", where, f"type {kind.type_code} has no state {state_number}", remedy)
    if state_number > highest:
        raise InputError("E-HUB-024", where, f"state {state_number} is not below state {found['state_number']}", remedy)
    return states[state_number]


def _check_names(where: str, kind: DatasetType | None, present: Mapping[str, str], fields: Mapping[str, str]) -> None:
    known = {*present, *(field.name for field in kind.fields)} if kind else set(present)
    for name in fields:
        if known and name not in known:
            raise InputError("E-HUB-025", where, f"unknown field {name}", did_you_mean(name, known))


def _where(dossier_code: str, dataset_number: int) -> str:
    return f"dataset {dossier_code}/{dataset_number}"
