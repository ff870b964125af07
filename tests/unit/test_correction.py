"""Values put into a received record, the difference to it, and the chain of corrections."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from erpcrm_orchestration.domain.correction import (
    FIRST_HASH,
    Change,
    Entry,
    assignment,
    broken,
    chained,
    corrected,
    difference,
    written,
)
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.strict_json import loads

ORDER = (
    '{"id": 7, "total": "12.50", "rate": 1.20, "paid": false, "billing": {"email": "x"}, "lines": [{"quantity": 1}], "a.b": 1}'
)
ENTRY = Entry(datetime(2026, 11, 18, 12, tzinfo=UTC), "ann", "fix", "asked", "998", 4, 9, (Change("$.total", '"1"', '"2"'),))


def fixed(*typed: str, removed: tuple[str, ...] = ()) -> list[Change]:
    record = loads(ORDER)
    return difference(record, corrected(record, [assignment(one) for one in typed], removed))


@pytest.mark.parametrize(
    ("typed", "change"),
    [
        ("total=13.00", Change("$.total", '"12.50"', '"13.00"')),
        ("$.total=13.00", Change("$.total", '"12.50"', '"13.00"')),
        ("total:=13.00", Change("$.total", '"12.50"', "13.00")),
        ("rate=0.100000000000000000001", Change("$.rate", "1.20", "0.100000000000000000001")),
        ("paid=true", Change("$.paid", "false", "true")),
        ("billing.email=null", Change("$.billing.email", '"x"', '"null"')),
        ("billing.email:=null", Change("$.billing.email", '"x"', "null")),
        ("billing.email=a=b", Change("$.billing.email", '"x"', '"a=b"')),
        ("lines.0.quantity=2", Change("$.lines.0.quantity", "1", "2")),
        ('lines.1={"quantity": 3}', Change("$.lines.1", None, '{"quantity": 3}')),
        ("a.b=2", Change("$.a.b", "1", "2")),
        ("note=by phone", Change("$.note", None, '"by phone"')),
    ],
)
def test_a_value_is_put_where_its_path_says_and_keeps_its_digits(typed: str, change: Change) -> None:
    assert fixed(typed) == [change]


def test_a_place_can_be_taken_away() -> None:
    assert fixed(removed=("lines.0", "$.billing.email")) == [
        Change("$.billing.email", '"x"', None),
        Change("$.lines.0", '{"quantity": 1}', None),
    ]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("total", "E-COR-008 erpcrm inbox fix --set: 'total' is not PATH=VALUE; write --set billing.email=ana@example.com"),
        ("=3", "E-COR-008 erpcrm inbox fix --set: '=3' is not PATH=VALUE; write --set billing.email=ana@example.com"),
        (
            "biling.email=x",
            "E-COR-007 erpcrm inbox fix --set biling.email: the record has no such place; did you mean billing.email?",
        ),
        ("rate=NaN", "E-COR-008 erpcrm inbox fix --set rate: NaN is not a JSON number; give a JSON value"),
        ("total:=ten", "E-COR-008 erpcrm inbox fix --set total: not JSON: Expecting value; give a JSON value"),
    ],
)
def test_what_cannot_be_put_in_is_refused(typed: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        fixed(typed)
    assert str(refused.value).startswith(message.partition("; did")[0])


def test_a_place_given_twice_or_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="total is given twice"):
        fixed("total=1", "total=2")
    with pytest.raises(InputError, match="nothing stands there"):
        fixed(removed=("note",))


def test_what_is_read_and_written_again_is_the_same() -> None:
    assert written(loads(ORDER)) == ORDER
    assert loads(written({"é": [Decimal("1E+3"), None]})) == {"é": [Decimal(1000), None]}


def test_a_chain_names_the_row_that_was_changed_or_follows_a_removed_one() -> None:
    first, second, third = chained([ENTRY, replace(ENTRY, reason="again"), replace(ENTRY, message_id=5)], FIRST_HASH)
    assert broken(first, FIRST_HASH) is None
    assert broken(second, first.row_hash) is None
    assert broken(third, first.row_hash) == "the row before it was removed or replaced"
    changed = replace(second, entry=replace(second.entry, reason="nothing"))
    assert broken(changed, first.row_hash) == "it was changed after it was written"
