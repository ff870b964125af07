"""The mapping: what a payload says becomes exactly that, or is refused with its place."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpcrm_orchestration.domain.casts import Refused, cast_for
from erpcrm_orchestration.domain.connection import ChildMap, EntityMapping, FieldMap
from erpcrm_orchestration.domain.entity import ENTITIES, ORDER, Kind
from erpcrm_orchestration.domain.mapping import CompiledMapping, address_of
from erpcrm_orchestration.domain.order_rules import total_fault
from erpcrm_orchestration.domain.tree import circle_of, tree_faults

MAPPING = EntityMapping(
    "order",
    {
        "number": FieldMap("number"),
        "state": FieldMap("status", values={"done": "completed"}, otherwise="UNKNOWN"),
        "currency": FieldMap("currency"),
        "customer": FieldMap("customer", none=("0",)),
        "total": FieldMap("cents", factor="0.01"),
        "parent": FieldMap("parent_link", segment=-1),
        "ordered_at": FieldMap("at", zone="Europe/Paris"),
        "billing_address": FieldMap("billing", fields={"city": FieldMap("town"), "country": FieldMap("country")}),
    },
    (ChildMap("lines", "rows", {"quantity": FieldMap("count"), "sku": FieldMap("article.code")}, "id"),),
    required=("number",),
)


def apply(**record: Any) -> dict[str, Any]:
    """Return the header of an order that says this, by field name."""
    mapping = CompiledMapping(ORDER, MAPPING)
    mapped = mapping.apply({"number": "1", **record})
    return dict(zip((one.name for one in mapping.fields), mapped.header, strict=True)) | mapped.children


def refusal(**record: Any) -> str:
    with pytest.raises(Refused) as refused:
        apply(**record)
    return f"{refused.value.code} {refused.value.path}: {refused.value.found}"


def test_words_places_and_factors_are_applied_in_their_order() -> None:
    order = apply(
        status="done", cents=1234, parent_link="https://shop.example/orders/77/?x=1", customer=0, at="2026-07-01T12:00:00"
    )
    assert order["state"] == "completed"
    assert order["total"] == Decimal("12.34")
    assert order["parent"] == "77"
    assert order["customer"] is None
    assert order["ordered_at"] == datetime(2026, 7, 1, 10, 0, tzinfo=UTC)


def test_an_unknown_word_is_kept_as_unknown_with_a_warning() -> None:
    """B39"""
    mapped = CompiledMapping(ORDER, MAPPING).apply({"number": "1", "status": "foo"})
    assert mapped.warnings == ["unknown state 'foo'"]


def test_a_missing_path_that_is_required_is_named() -> None:
    with pytest.raises(Refused, match=r"E-MAP-002 \$.number: missing"):
        CompiledMapping(ORDER, MAPPING).apply({"status": "done"})


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"currency": "XXY"}, "E-MAP-001 $.currency: 'XXY' is not a currency of ISO 4217"),  # catalogue 19
        ({"cents": "1,5"}, "E-MAP-001 $.cents: '1,5' is not a number"),  # catalogue 20
        ({"cents": "1 000"}, "E-MAP-001 $.cents: '1 000' is not a number"),  # catalogue 20
        ({"cents": "1.234,56"}, "is not a number"),  # catalogue 98
        ({"cents": "1E+3"}, "is not a number"),  # catalogue 98
        ({"cents": "٣"}, "is not a number"),  # catalogue 98
        ({"cents": "9" * 19}, "is not a number"),  # catalogue 97
        ({"cents": "1.1234567"}, "at most 6 digits"),  # catalogue 97
        ({"cents": True}, "is not a number"),
        ({"at": "0000-00-00"}, "E-MAP-001 $.at:"),  # catalogue 18
        ({"at": "2026-03-29T02:30:00"}, "does not exist"),  # catalogue 93
        ({"billing": []}, None),
        ({"billing": 7}, "E-MAP-001 $.billing: not an address"),
        ({"billing": {"town": {"a": 1}}}, "E-MAP-001 $.billing.town: an object where a word is expected"),
        ({"rows": {"a": 1}}, "E-MAP-002 $.rows.0.count: missing"),
        ({"rows": "x"}, "E-MAP-001 $.rows: not a list"),  # catalogue 15
        ({"rows": [{"id": 1, "count": 1}, {"id": 1, "count": 2}]}, "E-MAP-001 $.rows: two rows with id 1"),  # catalogue 17
        ({"rows": [{"id": None, "count": 1}]}, "E-MAP-001 $.rows.0.id: not an id"),  # catalogue 16
        ({"rows": [{"id": 1, "count": "many"}]}, "E-MAP-001 $.rows.0.count: 'many' is not a number"),
        ({"number": "x" * 100_001}, "a text of 100001 characters"),  # catalogue 23
    ],
)
def test_what_is_not_meant_is_refused_with_its_place(record: dict[str, Any], said: str | None) -> None:
    """Catalogue 15 16 17 18 19 20 23 97 98"""
    if said is None:
        assert apply(**record)["billing_address"] is None
    else:
        assert said in refusal(**record)


def test_minus_zero_is_zero() -> None:
    """Catalogue 98"""
    assert apply(cents="-0")["total"] == 0


def test_rows_without_ids_of_their_own_are_known_by_their_content() -> None:
    mapping = EntityMapping("order", {}, (ChildMap("coupons", "codes", {"code": FieldMap("")}),))
    first, second = (CompiledMapping(ORDER, mapping).apply({"codes": codes}) for codes in (["A", "B", "A"], ["B", "A", "A"]))
    keys = [[key for key, _, _ in one.children["coupons"]] for one in (first, second)]
    assert len(set(keys[0])) == 3
    assert sorted(keys[0]) == sorted(keys[1])


@given(st.lists(st.sampled_from([None, "a", "b"]), min_size=11, max_size=11))
def test_equal_addresses_have_one_key_and_others_have_others(parts: list[str | None]) -> None:
    address = address_of(tuple(parts))
    assert (address is None) == (not any(parts))
    if address is not None:
        other = address_of((*parts[:-1], "c"))
        assert other is not None
        assert address.address_hash == getattr(address_of(tuple(parts)), "address_hash", None)
        assert address.address_hash != other.address_hash


@given(st.decimals(-(10**17), 10**17, places=4))
def test_every_amount_is_read_back_to_its_last_digit(amount: Decimal) -> None:
    """B23"""
    assert cast_for(Kind.DECIMAL, "UTC")(f"{amount:.4f}", "$") == amount


@pytest.mark.parametrize(
    ("text", "found"), [("2026-01-31", date(2026, 1, 31)), ("2026-01-31T10:00:00", date(2026, 1, 31)), ("", None)]
)
def test_dates_are_days(text: str, found: date | None) -> None:
    assert cast_for(Kind.DATE, "UTC")(text, "$") == found


@given(st.dictionaries(st.integers(1, 12).map(str), st.integers(1, 12).map(str)))
def test_exactly_the_records_of_a_circle_are_faults_of_a_tree(parents: dict[str, str]) -> None:
    """B19"""
    faults = tree_faults(list(parents), parents)
    for one in parents:
        seen, above = [one], parents.get(one)
        while above is not None and above not in seen:
            seen.append(above)
            above = parents.get(above)
        assert (one in faults) == (above == one)


def test_a_total_may_differ_by_a_cent_for_each_line() -> None:
    """B36"""
    lines = [{"total": Decimal("10.00")}, {"total": Decimal("5.00")}]
    assert total_fault({"total": Decimal("15.02")}, {"lines": lines}) is None
    assert total_fault({"total": Decimal("15.03")}, {"lines": lines}) is not None


def test_every_entity_comes_after_what_it_refers_to() -> None:
    order = list(ENTITIES)
    for entity in ENTITIES.values():
        for field in entity.references:
            assert field.refers_to == entity.name or order.index(field.refers_to or "") < order.index(entity.name)


@pytest.mark.parametrize("ids", [["1", "2"], ["1"], ["a/b", "x;y", "3"]])
def test_the_circle_that_a_fault_names_is_read_back(ids: list[str]) -> None:
    parents = dict(zip(ids, [*ids[1:], ids[0]], strict=True))
    assert {circle_of(fault) for fault in tree_faults(ids, parents).values()} == {frozenset(ids)}
    assert circle_of("deeper than 32 levels") == frozenset()
