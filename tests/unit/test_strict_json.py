"""Strict JSON and dotted paths: what is refused, with which code, and at which place."""

from __future__ import annotations

import json
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.json_path import ABSENT, at, here
from erpcrm_orchestration.domain.strict_json import loads, place_at

REFUSED = [
    pytest.param('{"total": NaN}', "E-SRC-001 $.total", id="catalogue 1: NaN"),
    pytest.param('{"lines": [{"total": 1}, {"total": -Infinity}]}', "E-SRC-001 $.lines.1.total", id="catalogue 1: Infinity"),
    pytest.param('{"a": {"b": 1e400}}', "E-SRC-002 $.a.b", id="catalogue 2: 1e400"),
    pytest.param('{"a": 1e-400}', "E-SRC-002 $.a", id="catalogue 2: 1e-400"),
    pytest.param('{"a": 1e99999999999999999999}', "E-SRC-002 $.a", id="catalogue 2: exponent beyond Decimal"),
    pytest.param('{"a": [0, ' + "9" * 5000 + "]}", "E-SRC-003 $.a.1", id="catalogue 3: 5000 digits"),
    pytest.param('{"a": 1, "b": {"c": 1, "c": 2}}', "E-SRC-005 $.b.c", id="catalogue 5: duplicate key"),
    pytest.param('{"a": 1, "\\u0061": 2}', "E-SRC-005 $.", id="catalogue 5: duplicate key by an escape"),
    pytest.param("[" * 65 + "]" * 65, "E-SRC-006 $.0.0", id="catalogue 6: depth 65"),
    pytest.param("[" * 100_000 + "]" * 100_000, "E-SRC-006 $.0.0", id="catalogue 6: depth 100000"),
    pytest.param('{"a":' * 65 + "1" + "}" * 65, "E-SRC-006 $.a.a", id="catalogue 6: objects"),
    pytest.param('{"name": "\\ud800"}', "E-SRC-007 $.name", id="catalogue 7: lone surrogate"),
    pytest.param('{"\\udc00x": 1}', "E-SRC-007 $.", id="catalogue 7: lone surrogate in a key"),
    pytest.param('{"n": ["x", "a\\u0000b"]}', "E-SRC-008 $.n.1", id="catalogue 8: NUL"),
    pytest.param(b"\xef\xbb\xbf{}", "E-SRC-009 $", id="catalogue 9: byte order mark"),
    pytest.param('{"a": 1}'.encode("utf-16"), "E-SRC-010 $", id="catalogue 10: UTF-16"),
    pytest.param('{"a": 1}'.encode("utf-16-le"), "E-SRC-010 $", id="catalogue 10: UTF-16 without mark"),
    pytest.param(b'{"a": {"city": "N\xeemes"}}', "E-SRC-011 $.a.city", id="catalogue 11: Latin-1"),
    pytest.param('{"name": "' + "x" * 1_000_001 + '"}', "E-SRC-031 $.name", id="catalogue 23: text of a million"),
    pytest.param('{"a": [1, 2', "E-SRC-054 $.a", id="cut"),
    pytest.param("", "E-SRC-054 $", id="empty"),
    pytest.param("<html>", "E-SRC-054 $", id="HTML"),
    pytest.param('{"a": 01}', "E-SRC-054 $.a", id="leading zero"),
    pytest.param('{"a": "x\ny"}', "E-SRC-054 $.a", id="raw control character"),
    pytest.param("{} {}", "E-SRC-054 $", id="two values"),
]


@pytest.mark.parametrize(("text", "begins"), REFUSED)
def test_a_refusal_has_its_code_and_names_the_place(text: str | bytes, begins: str) -> None:
    with pytest.raises(InputError) as refused:
        loads(text)
    assert str(refused.value).startswith(begins)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


def test_the_place_stands_behind_where_the_text_is_from() -> None:
    with pytest.raises(InputError, match=r"^E-SRC-001 order 7 \$\.total: NaN is not a JSON number; correct it at the source$"):
        loads('{"total": NaN}', where="order 7")


def test_catalogue_4_money_keeps_its_cents() -> None:
    assert loads('{"total": 12345678901234567.89}') == {"total": Decimal("12345678901234567.89")}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('"\\ud83d\\ude00"', id="whole surrogate pair"),
        pytest.param('"\\\\u0000"', id="a backslash before u0000"),
        pytest.param("[" * 64 + "]" * 64, id="depth 64"),
        pytest.param("[" + ",".join(["{}"] * 500) + "]", id="many brackets, not deep"),
        pytest.param('["[[[[{{{{"]', id="brackets in a text"),
        pytest.param(" \n{}\t", id="white space"),
        pytest.param("-0", id="minus zero"),
        pytest.param('{"": {"": 1}}', id="empty keys"),
    ],
)
def test_what_is_rare_but_right_is_read(text: str) -> None:
    loads(text)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(blacklist_categories=["Cs", "Cc"])), inner),
        max_leaves=20,
    )
)
def test_any_plain_value_comes_back(value: object) -> None:
    assert loads(json.dumps(value)) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.text() | st.binary())
def test_any_text_is_read_or_refused_with_a_code(text: str | bytes) -> None:
    refused = None
    try:
        loads(text)
    except InputError as error:
        refused = error
    assert refused is None or refused.code.startswith("E-SRC-0")


def test_a_thousand_orders_are_read_in_a_moment() -> None:
    order = '{"id": 1, "total": "10.00", "lines": [{"id": 1, "quantity": 2, "price": 1.50}], "billing": {"email": "a@b.c"}}'
    began = time.perf_counter()
    for _ in range(1000):
        loads(order)
    assert time.perf_counter() - began < 1


def test_the_place_of_a_position_is_a_path() -> None:
    text = '{"a": [{"b": 1}, {"c": [2, 3]}]}'
    assert place_at(text, text.index("3")) == "$.a.1.c.1"


def test_a_path_walks_objects_and_lists() -> None:
    record = {"billing": {"email": "a@b.c", "none": None}, "tags": ["x", {"y": 1}], "a.b": 2}
    assert at(record, "") is record
    assert at(record, "billing.email") == "a@b.c"
    assert at(record, "tags.1.y") == 1
    assert at(record, "a.b") == 2
    assert at(record, "billing.none") is None
    for absent in ("billing.phone", "tags.2", "tags.-1", "tags.x", "billing.email.x", "tags.²"):
        assert at(record, absent) is ABSENT
        assert here(record, absent) is None
    assert not ABSENT
