"""What makes an automaton of a dataset type one that ends: its entry, its branches, its functions, no way without exit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from erpcrm_orchestration.config.folder import Reading
from erpcrm_orchestration.config.places import Fault, Path
from erpcrm_orchestration.domain.automaton import ENTRY_STATE, FUNCTIONS
from erpcrm_orchestration.domain.configuration import AutomatonState, DatasetType, StateAction, StateGroup
from erpcrm_orchestration.domain.errors import did_you_mean

CODE = "E-CFG-048"
CLOSED = (StateGroup.CLOSED_OK, StateGroup.CLOSED_KO)


def automaton_faults(reading: Reading, dataset_type: DatasetType) -> Iterator[Fault]:
    """Yield E-CFG-048 for everything because of which a dataset of the type could get stuck."""
    path: Path = ("dataset_types", dataset_type.type_code, "states")
    states = {state.state_number: state for state in dataset_type.states}
    if ENTRY_STATE not in states:
        yield reading.refuse(CODE, path, f"no state {ENTRY_STATE}", f"every dataset enters in state {ENTRY_STATE}: add it")
    for state in dataset_type.states:
        yield from _state_faults(reading, (*path, state.state_number), state, states)
    for number in _endless(states):
        found = f"automatic state {number} leads back to itself without an exit"
        yield reading.refuse(CODE, (*path, number), found, "lead one branch to a manual or final state")


def _state_faults(reading: Reading, path: Path, state: AutomatonState, states: Mapping[int, AutomatonState]) -> Iterator[Fault]:
    for name in ("next_if_true", "next_if_false"):
        follower = getattr(state, name)
        if follower is not None and follower not in states:
            known = ", ".join(str(number) for number in sorted(states))
            yield reading.refuse(CODE, (*path, name), f"no state {follower}", f"states: {known}")
    if (state.action is StateAction.FINAL) != (state.state_group in CLOSED):
        found = f"action {state.action} with state_group {state.state_group}"
        yield reading.refuse(CODE, path, found, "FINAL states are CLOSED_OK or CLOSED_KO, and only they")
    branches = (state.next_if_true, state.next_if_false)
    if state.action is StateAction.AUTOMATIC:
        yield from _automatic_faults(reading, path, state)
    elif state.function is not None or any(branch is not None for branch in branches) or state.parameters:
        found = f"a {state.action} state with function, parameters or branches"
        yield reading.refuse(CODE, path, found, "only AUTOMATIC states have them")


def _automatic_faults(reading: Reading, path: Path, state: AutomatonState) -> Iterator[Fault]:
    for name in ("function", "next_if_true", "next_if_false"):
        if getattr(state, name) is None:
            yield reading.refuse(CODE, path, f"an AUTOMATIC state without {name}", f"give {name}")
    if state.function is None:
        return
    function = FUNCTIONS.get(state.function)
    if function is None:
        yield reading.refuse(
            CODE, (*path, "function"), f"no function {state.function}", did_you_mean(state.function, FUNCTIONS)
        )
        return
    known = function.required | function.optional
    for name in sorted(function.required - state.parameters.keys()):
        found = f"function {state.function} without parameter {name}"
        yield reading.refuse(CODE, (*path, "parameters"), found, f"give {name}")
    for name in sorted(state.parameters.keys() - known):
        found = f"function {state.function} has no parameter {name}"
        yield reading.refuse(CODE, (*path, "parameters", name), found, did_you_mean(name, known))


def _endless(states: Mapping[int, AutomatonState]) -> list[int]:
    """Return the automatic states from which no branch ever leads to a manual or final state."""
    safe = {number for number, state in states.items() if state.action is not StateAction.AUTOMATIC}
    grown = True
    while grown:
        more = {number for number, state in states.items() if {state.next_if_true, state.next_if_false} & safe} - safe
        safe |= more
        grown = bool(more)
    return sorted(
        number
        for number in states.keys() - safe
        if {states[number].next_if_true, states[number].next_if_false} <= states.keys()
    )
