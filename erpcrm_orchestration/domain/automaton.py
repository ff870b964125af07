"""The automaton of datasets: which state follows which, and the functions that automatic states run.

A function is pure: it sees the dataset and the parameters of the state and says true or false, with the reason. True
follows `next_if_true`, false `next_if_false`. A manual state waits for a person, a final one is the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from erpcrm_orchestration.domain.configuration import (
    AutomatonState,
    DatasetField,
    DatasetType,
    StateAction,
    StateGroup,
    ValueKind,
)
from erpcrm_orchestration.domain.errors import one_line

ENTRY_STATE = 100
"""The state in which every dataset enters."""

LONGEST_PASS = 100
"""Transitions of one dataset in one pass; a longer way is taken for an endless one."""

Parameters = Mapping[str, str | int | bool | tuple[str, ...]]

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
POSITION = re.compile(r"\[[0-9]+\]")


@dataclass(frozen=True)
class DatasetView:
    """What a function may see of a dataset: the fields of its type, its values by name, its companion files."""

    fields: tuple[DatasetField, ...]
    values: Mapping[str, str]
    companions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """`ok` chooses the branch; `message` says why, for the logbook."""

    ok: bool
    message: str


@dataclass(frozen=True)
class StateFunction:
    """A rule that an automatic state may name, with the parameters that it knows.

    `required`: at least these; `optional`: also these. Every other name is a mistake in the configuration.
    """

    run: Callable[[DatasetView, Parameters], Outcome]
    summary: str
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()

    def __call__(self, view: DatasetView, parameters: Parameters) -> Outcome:
        return self.run(view, parameters)


@dataclass(frozen=True)
class Transition:
    """One step of a dataset: from a state to the next, or `to_state` equal to `from_state` when the function failed."""

    from_state: int
    to_state: int
    state_group: StateGroup
    ok: bool
    message: str


def check_fields(view: DatasetView, parameters: Parameters) -> Outcome:
    """True when every value has the kind and length that its type declares and no required one is missing.

    `unknown_fields: refuse` also refuses fields that the type does not declare.
    """
    names = {field.name for field in view.fields}
    found = [_complaint(field, view.values) for field in view.fields]
    if parameters.get("unknown_fields") == "refuse":
        found += [f"{name} is not a field of the type" for name in sorted(view.values) if _declared(name) not in names]
    complaints = [text for text in found if text]
    return Outcome(not complaints, "; ".join(complaints) or "fields are complete")


def check_companions(view: DatasetView, parameters: Parameters) -> Outcome:
    """True when a companion with each of the `extensions` is there; without the parameter, when there is any."""
    wanted = [word.lstrip(".") for word in _words(parameters.get("extensions", ()))]
    if not wanted and not view.companions:
        return Outcome(False, "no companion file")
    present = {name.rpartition(".")[2].casefold() for name in view.companions}
    missing = [word for word in wanted if word.casefold() not in present]
    return Outcome(not missing, f"no companion file .{', .'.join(missing)}" if missing else "companion files are complete")


def field_equals(view: DatasetView, parameters: Parameters) -> Outcome:
    """True when the field `field` has the value `value`, or one of them when it is a list."""
    name = str(parameters["field"])
    wanted = _words(parameters["value"])
    value = view.values.get(name)
    if value is None:
        return Outcome(False, f"{name} is missing")
    return Outcome(value in wanted, f"{name} is {value!r}" + ("" if value in wanted else f", not {' or '.join(wanted)}"))


def accept(view: DatasetView, parameters: Parameters) -> Outcome:
    """Always true."""
    return Outcome(True, "accepted")


FUNCTIONS: Mapping[str, StateFunction] = {
    "accept": StateFunction(accept, "always true"),
    "check_companions": StateFunction(check_companions, "companion files are there", optional=frozenset({"extensions"})),
    "check_fields": StateFunction(
        check_fields, "fields have kind, length and are complete", optional=frozenset({"unknown_fields"})
    ),
    "field_equals": StateFunction(field_equals, "a field has a value", required=frozenset({"field", "value"})),
}
"""Every function that a configuration may name."""


def run_states(dataset_type: DatasetType, state_number: int, view: DatasetView) -> tuple[Transition, ...]:
    """Return the transitions from the state until the dataset stops: at a manual or final state, or in error.

    A function that raises, a state that does not exist and a way without end leave the dataset in ERROR where it is.
    """
    states = {state.state_number: state for state in dataset_type.states}
    steps: list[Transition] = []
    visited: set[int] = set()
    while True:
        state = states.get(state_number)
        if state is None:
            return (*steps, _stuck(state_number, f"type {dataset_type.type_code} has no state {state_number}"))
        if state.action is not StateAction.AUTOMATIC:
            return tuple(steps)
        if state_number in visited or len(steps) >= LONGEST_PASS:
            return (*steps, _stuck(state_number, f"the automaton came back to state {state_number} without an end"))
        visited.add(state_number)
        steps.append(_step(state, states, view))
        if steps[-1].to_state == state_number:
            return tuple(steps)
        state_number = steps[-1].to_state


def _step(state: AutomatonState, states: Mapping[int, AutomatonState], view: DatasetView) -> Transition:
    try:
        outcome = FUNCTIONS[state.function or ""](view, state.parameters)
    except Exception as error:  # the boundary of one dataset: its neighbours go on
        return _stuck(state.state_number, f"function {state.function} failed: {type(error).__name__} {error}")
    follower = state.next_if_true if outcome.ok else state.next_if_false
    target = states.get(follower) if follower is not None else None
    if target is None:
        return _stuck(state.state_number, f"state {state.state_number} leads to state {follower}, which does not exist")
    if target is state:
        return _stuck(state.state_number, f"the automaton came back to state {state.state_number} without an end")
    return Transition(state.state_number, target.state_number, target.state_group, outcome.ok, one_line(outcome.message))


def _stuck(state_number: int, message: str) -> Transition:
    return Transition(state_number, state_number, StateGroup.ERROR, False, one_line(message))


def _declared(name: str) -> str:
    """Return the name of a field without the positions of repeated elements: Line[2]/Quantity is Line/Quantity."""
    return POSITION.sub("", name)


def _complaint(field: DatasetField, values: Mapping[str, str]) -> str:
    given = {name: value for name, value in values.items() if _declared(name) == field.name}
    if not any(given.values()):
        return f"{field.name} is missing" if field.required else ""
    return "; ".join(text for name, value in given.items() if (text := _fault(field, name, value)))


def _fault(field: DatasetField, name: str, value: str) -> str:
    if not value:
        return ""
    if field.max_length is not None and len(value) > field.max_length:
        return f"{name} has {len(value)} characters, at most {field.max_length}"
    if field.kind is ValueKind.NUMBER and not NUMBER.fullmatch(value):
        return f"{name} is {value!r}, not a number with '.'"
    if field.kind is ValueKind.DATE and not _is_date(value):
        return f"{name} is {value!r}, not a date YYYYMMDD"
    return ""


def _is_date(value: str) -> bool:
    found = DATE.fullmatch(value)
    if not found:
        return False
    try:
        date(*(int(part) for part in found.groups()))
    except ValueError:
        return False
    return True


def _words(value: str | int | bool | Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    return (str(value),) if value != "" else ()
