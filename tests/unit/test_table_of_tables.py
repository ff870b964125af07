"""A table of tables: any nested record becomes rows and the same record again; what is wrong is refused with its path."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.table_of_tables import Assembled, TableRow, assemble, flatten, row_of
from erpcrm_orchestration.domain.tree import DEEPEST

LEAVES = st.none() | st.text(max_size=5)
NAMES = st.text(alphabet="ab./ ", min_size=1, max_size=3)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
RECORDS = st.dictionaries(NAMES, VALUES, max_size=5)


def rows_of(*told: tuple[str, str, str | None, str | None, str | None, object, object]) -> list[TableRow]:
    names = ("table_name", "record_key", "parent_table", "parent_key", "field", "value", "seq")
    return [row_of(dict(zip(names, one, strict=True))) for one in told]


def faults(rows: Iterable[TableRow], table: str) -> dict[str, str | None]:
    return {one.key: one.fault for one in assemble(rows, table) if one.record is None}


@settings(max_examples=300, deadline=None)
@given(records=st.lists(RECORDS, max_size=4), seed=st.integers())
def test_any_nested_record_becomes_rows_and_the_same_record_again(records: list[dict[str, Any]], seed: int) -> None:
    """The order of the rows does not matter: lists are put in order by seq."""
    rows = [row for key, record in enumerate(records) for row in flatten(record, "order", str(key))]
    random.Random(seed).shuffle(rows)  # noqa: S311 - an order of rows
    found = {one.key: (one.record, one.fault) for one in assemble(rows, "order")}
    assert found == {str(key): (record, None) for key, record in enumerate(records)}


def test_the_elements_of_a_list_are_ordered_by_seq_as_numbers() -> None:
    rows = rows_of(
        ("order", "55", "", "", "total", "10.00", None),
        ("order_line", "7", "order", "55", "sku", "b", "10"),
        ("order_line", "6", "order", "55", "sku", "c", 11),
        ("order_line", "5", "order", "55", "sku", "a", "9"),
    )
    (order,) = assemble(rows, "order", key_field="id")
    lines = [{"sku": "a", "id": "5"}, {"sku": "b", "id": "7"}, {"sku": "c", "id": "6"}]
    assert order == Assembled("55", {"total": "10.00", "order_line": lines, "id": "55"})


def test_b18_a_parent_of_the_same_table_makes_a_tree() -> None:
    rows = rows_of(
        ("category", "C", "category", "B", "name", "c", ""),
        ("category", "B", "category", "A", "name", "b", ""),
        ("category", "A", "", "", "name", "a", ""),
    )
    found = {one.key: one.record for one in assemble(rows, "category")}
    assert found == {"A": {"name": "a"}, "B": {"name": "b", "parent_key": "A"}, "C": {"name": "c", "parent_key": "B"}}


def test_b19_a_cycle_is_refused_with_all_that_is_in_it_and_below() -> None:
    rows = rows_of(
        ("category", "A", "category", "B", "name", "a", ""),
        ("category", "B", "category", "A", "name", "b", ""),
        ("category", "C", "category", "B", "name", "c", ""),
        ("category", "D", "", "", "name", "d", ""),
    )
    assert faults(rows, "category") == {
        "A": "cycle category A > category B > category A",
        "B": "cycle category B > category A > category B",
        "C": "below a cycle category B > category A > category B",
    }
    assert [one.key for one in assemble(rows, "category") if one.record] == ["D"]


@pytest.mark.parametrize(("levels", "refused"), [(DEEPEST, []), (DEEPEST + 1, [str(DEEPEST + 1)])])
def test_b20_32_levels_are_taken_and_33_are_not(levels: int, refused: list[str]) -> None:
    chain = [
        ("category", str(n), "category" if n > 1 else "", str(n - 1) if n > 1 else "", "name", "x", "")
        for n in range(1, levels + 1)
    ]
    assert list(faults(rows_of(*chain), "category")) == refused


def test_b20_a_record_with_a_part_that_lies_too_deep_is_refused_whole() -> None:
    record: dict[str, Any] = {"end": "x"}
    for _ in range(DEEPEST):
        record = {"in": record}
    ((key, fault),) = [(one.key, one.fault) for one in assemble(flatten(record, "order", "1"), "order") if one.key == "1"]
    assert key == "1"
    assert str(fault).startswith("deeper than 32 levels")


def test_an_unknown_parent_is_refused_with_its_path() -> None:
    rows = rows_of(
        ("order", "1", "", "", "total", "1", ""),
        ("tax", "9", "order_line", "7", "rate", "20", "0"),
        ("order_line", "7", "order", "55", "sku", "b", "0"),
        ("order_line", None, "order", "56", None, None, None),
    )  # type: ignore[arg-type]
    assert faults(rows, "order") == {
        "tax/9": "unknown parent: tax 9 > order_line 7 > order 55",
        "order_line/7": "unknown parent: order_line 7 > order 55",
        "56": "unknown parent: order_line of order 56",
    }
    assert [one.record for one in assemble(rows, "order") if one.record] == [{"total": "1"}]
    assert assemble(rows, "customer") == []


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (("order_line", "7", "order", "55", "sku", "c", "0"), "field 'sku' of order_line 7 stands twice"),
        (("order_line", "7", "order", "54", "name", "c", "0"), "order_line 7 has two parents"),
        (("order_line", "7", "order", "55", "name", "c", "1"), "order_line 7 has two places in its list"),
        (("order_line", "8", "order", "55", "name", "c", ""), "2 'order_line' of order 55, and one without seq"),
        (("order", "55", "", "", "order_line", "c", ""), "'order_line' of order 55 is a field and a table"),
        (("order", "55", "", "", "total", "1", "3"), "order 55 has two places in its list"),
    ],
)
def test_a_record_whose_part_is_contradicted_is_refused_whole(wrong: Any, why: str) -> None:
    rows = rows_of(
        ("order", "55", "", "", "number", "10.00", ""),
        ("order", "54", "", "", "number", "1.00", ""),
        ("order_line", "7", "order", "55", "sku", "b", "0"),
        wrong,
    )
    found = faults(rows, "order")
    assert found["55"] == why
    assert found.keys() <= {"55", "54"}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"table_name": "order"},
        {"table_name": "order", "record_key": "1", "parent_table": "x"},
        {"table_name": "order", "record_key": "1", "parent_key": "x"},
        {"table_name": "order", "record_key": "1", "seq": "1.5"},
        {"table_name": "", "record_key": "1"},
    ],
)
def test_a_row_that_says_half_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InputError, match="E-SRC-061"):
        row_of(values)
