"""The automaton of datasets, without a database: functions, branches, ends and what breaks."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from erpcrm_orchestration.domain.automaton import FUNCTIONS, DatasetView, Outcome, Parameters, StateFunction, run_states
from erpcrm_orchestration.domain.configuration import (
    AutomatonState,
    DatasetCategory,
    DatasetField,
    DatasetType,
    StateAction,
    StateGroup,
    ValueKind,
)

FIELDS = (
    DatasetField("TimeId", required=True, max_length=5),
    DatasetField("Day", ValueKind.DATE, required=True),
    DatasetField("Lines/Hours", ValueKind.NUMBER),
)
GOOD = {"TimeId": "7", "Day": "20261118"}


def run(
    name: str, values: Mapping[str, str], parameters: Parameters | None = None, companions: tuple[str, ...] = ()
) -> Outcome:
    return FUNCTIONS[name](DatasetView(FIELDS, values, companions), parameters or {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"TimeId": "7"}, "Day is missing"),
        ({"timeid": "7", "Day": "20261118"}, "TimeId is missing"),
        ({**GOOD, "TimeId": ""}, "TimeId is missing"),
        ({**GOOD, "TimeId": "123456"}, "TimeId has 6 characters, at most 5"),
        ({**GOOD, "Day": "2026-11-18"}, "Day is '2026-11-18', not a date YYYYMMDD"),
        ({**GOOD, "Day": "20260230"}, "Day is '20260230', not a date YYYYMMDD"),
        ({**GOOD, "Day": "٢٠٢٦١١١٨"}, "Day is '٢٠٢٦١١١٨', not a date YYYYMMDD"),
        ({**GOOD, "Lines/Hours": "1,5"}, "Lines/Hours is '1,5', not a number with '.'"),
        ({**GOOD, "Lines/Hours": "1e3"}, "Lines/Hours is '1e3', not a number with '.'"),
        ({**GOOD, "Lines/Hours": "NaN"}, "Lines/Hours is 'NaN', not a number with '.'"),
        (
            {**GOOD, "Lines/Hours[1]": "x", "Lines[2]/Hours": "y"},
            "Lines/Hours[1] is 'x', not a number with '.'; Lines[2]/Hours is 'y', not a number with '.'",
        ),
        ({"TimeId": "123456"}, "TimeId has 6 characters, at most 5; Day is missing"),
    ],
)
def test_check_fields_names_every_fault(values: Mapping[str, str], message: str) -> None:
    assert run("check_fields", values) == Outcome(False, message)


def test_check_fields_accepts_a_complete_dataset_and_fields_that_the_type_does_not_declare() -> None:
    values = {**GOOD, "Lines/Hours[2]": "-1.50", "Comment": "kept"}
    assert run("check_fields", values) == Outcome(True, "fields are complete")
    refused = run("check_fields", values, {"unknown_fields": "refuse"})
    assert refused == Outcome(False, "Comment is not a field of the type")


@pytest.mark.parametrize(
    ("companions", "parameters", "outcome"),
    [
        ((), {}, Outcome(False, "no companion file")),
        (("t.pdf",), {}, Outcome(True, "companion files are complete")),
        (("t.PDF",), {"extensions": ("pdf",)}, Outcome(True, "companion files are complete")),
        (("t.pdf",), {"extensions": ("pdf", ".xml")}, Outcome(False, "no companion file .xml")),
        (("t.pdf",), {"extensions": "csv"}, Outcome(False, "no companion file .csv")),
    ],
)
def test_check_companions(companions: tuple[str, ...], parameters: Parameters, outcome: Outcome) -> None:
    assert run("check_companions", {}, parameters, companions) == outcome


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        ("7", Outcome(True, "TimeId is '7'")),
        ("8", Outcome(False, "TimeId is '7', not 8")),
        (("8", "9"), Outcome(False, "TimeId is '7', not 8 or 9")),
        (7, Outcome(True, "TimeId is '7'")),
    ],
)
def test_field_equals(value: str | int | tuple[str, ...], outcome: Outcome) -> None:
    assert run("field_equals", GOOD, {"field": "TimeId", "value": value}) == outcome


def test_field_equals_is_false_for_a_missing_field() -> None:
    assert run("field_equals", {}, {"field": "TimeId", "value": "7"}) == Outcome(False, "TimeId is missing")


def state(
    number: int, group: str, function: str | None = None, true: int | None = None, false: int | None = None
) -> AutomatonState:
    action = StateAction.AUTOMATIC if function else StateAction.FINAL if group.startswith("CLOSED") else StateAction.MANUAL
    return AutomatonState(number, str(number), StateGroup(group), action, function, {}, true, false)


def kind(*states: AutomatonState) -> DatasetType:
    return DatasetType("T", DatasetCategory.OTHER, "T", states, FIELDS)


def walk(dataset_type: DatasetType, values: Mapping[str, str] = GOOD) -> list[tuple[int, int, str, str]]:
    steps = run_states(dataset_type, 100, DatasetView(FIELDS, values))
    return [(step.from_state, step.to_state, step.state_group.value, step.message) for step in steps]


def test_A46_true_and_false_follow_their_branches_until_a_manual_or_final_state() -> None:
    branches = kind(
        state(100, "RECEIVED", "check_fields", 200, 800), state(200, "PROCESSING", "accept", 900, 900),
        state(800, "WAITING"), state(900, "CLOSED_OK"),
    )  # fmt: skip
    assert walk(branches) == [(100, 200, "PROCESSING", "fields are complete"), (200, 900, "CLOSED_OK", "accepted")]
    assert walk(branches, {}) == [(100, 800, "WAITING", "TimeId is missing; Day is missing")]
    assert run_states(branches, 800, DatasetView(FIELDS, GOOD)) == ()
    assert run_states(branches, 900, DatasetView(FIELDS, GOOD)) == ()


def test_a_way_without_end_leaves_the_dataset_in_error() -> None:
    circle = kind(state(100, "RECEIVED", "accept", 200, 200), state(200, "PROCESSING", "accept", 100, 100))
    assert walk(circle)[-1] == (100, 100, "ERROR", "the automaton came back to state 100 without an end")
    itself = kind(state(100, "RECEIVED", "accept", 100, 100))
    assert walk(itself) == [(100, 100, "ERROR", "the automaton came back to state 100 without an end")]


def test_a_state_that_does_not_exist_leaves_the_dataset_in_error() -> None:
    assert walk(kind()) == [(100, 100, "ERROR", "type T has no state 100")]
    gone = kind(state(100, "RECEIVED", "accept", 300, 300))
    assert walk(gone) == [(100, 100, "ERROR", "state 100 leads to state 300, which does not exist")]


def test_a_function_that_raises_leaves_the_dataset_in_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(view: DatasetView, parameters: Parameters) -> Outcome:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setitem(FUNCTIONS, "breaks", StateFunction(breaks, "raises"))  # type: ignore[arg-type]
    assert walk(kind(state(100, "RECEIVED", "breaks", 200, 200), state(200, "WAITING"))) == [
        (100, 100, "ERROR", "function breaks failed: ZeroDivisionError by zero")
    ]


def test_a_function_without_its_parameter_or_name_is_an_error_of_that_dataset() -> None:
    assert walk(kind(state(100, "RECEIVED", "field_equals", 200, 200), state(200, "WAITING")))[0][2:] == (
        "ERROR",
        "function field_equals failed: KeyError 'field'",
    )
    assert walk(kind(state(100, "RECEIVED", "nowhere", 200, 200), state(200, "WAITING")))[0][2:] == (
        "ERROR",
        "function nowhere failed: KeyError 'nowhere'",
    )
