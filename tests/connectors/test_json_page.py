"""Pages are cut into records byte for byte, whether they are well formed or one of their records is not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpcrm_orchestration.clients.json_page import CutShort, NotThere, records_of, spliced, value_at
from erpcrm_orchestration.domain.errors import InputError

STORABLE = st.text(st.characters(blacklist_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | STORABLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STORABLE, inner, max_size=3),
    max_leaves=8,
)
ORDER = '{"id": 1, "total": "10.00", "lines": [{"id": 1, "quantity": 2}], "billing": {"email": "a@b.c"}}'
BAD = ["NaN", '{"a": -Infinity}', '{"x": 01}', '{"\\ud800": 1}', '{"a": tru}']


@given(st.lists(VALUES, max_size=6), st.booleans(), st.sampled_from(["", "a.b", "a.b.1"]))
def test_records_come_back_as_they_were_sent(values: list[object], spaced: bool, path: str) -> None:
    texts = [json.dumps(value, ensure_ascii=spaced, indent=1 if spaced else None) for value in values]
    body = wrapped("[" + ", ".join(texts) + "]", path)
    assert [one.decode() for one in records_of(body, path).records] == texts


@given(st.lists(VALUES, max_size=4), st.sampled_from(BAD), st.integers(0, 4), st.sampled_from(["", "a.b"]))
def test_f31_a_bad_record_leaves_its_neighbours_as_they_were(values: list[object], bad: str, place: int, path: str) -> None:
    texts = [json.dumps(value) for value in values]
    texts.insert(place, bad)
    body = wrapped("[" + " ,\n".join(texts) + " ]", path)
    assert [one.decode() for one in records_of(body, path).records] == texts


@given(st.lists(st.dictionaries(STORABLE, VALUES, max_size=3), min_size=1, max_size=4), st.data())
def test_f20_whatever_is_cut_is_never_taken_for_whole(values: list[object], data: st.DataObject) -> None:
    body = wrapped(json.dumps(values), "a.b")
    cut = body[: data.draw(st.integers(1, len(body) - 1))]
    with pytest.raises((CutShort, InputError)):
        records_of(cut, "a.b")


@pytest.mark.parametrize("body", [b'{"n": 1, "a": {"c": "]}', b'{"a": {"c": "x\\"]}', b'["]'])
def test_f20_an_answer_cut_within_a_text_is_cut_whatever_the_text_holds(body: bytes) -> None:
    with pytest.raises(CutShort):
        records_of(body, "a.b" if body.startswith(b"{") else "")


def wrapped(text: str, path: str) -> bytes:
    if path == "a.b":
        text = '{"n": [1, {"b": []}], "a": {"c": "]}\\"", "b": ' + text + ', "d": {}}, "next": "[{"}'
    elif path == "a.b.1":
        text = '{"a": {"b": [[], ' + text + "]}}"
    return text.encode()


def test_the_rest_of_the_answer_is_read_strictly() -> None:
    found = records_of(b'{"rows": [{"id": 1}], "total": 1, "next": null}', "rows")
    assert found.envelope == {"rows": [], "total": 1, "next": None}
    with pytest.raises(InputError, match=r"E-SRC-001 \$\.total"):
        records_of(b'{"rows": [{"id": 1}], "total": NaN}', "rows")
    with pytest.raises(InputError, match="E-SRC-005"):
        records_of(b'{"rows": [{"id": 1}], "rows": []}', "rows")


@pytest.mark.parametrize("body", [b"{}", b'{"rows": null}', b'{"rows": {}}', b'{"rows": "x"}', b"null", b"7", b'"x"', b"[]"])
def test_catalogue_15_no_list_at_the_path_is_told(body: bytes) -> None:
    with pytest.raises(NotThere):
        records_of(body, "rows")


def test_a_part_is_put_in_and_everything_else_stays() -> None:
    record = b'{"id": 1, "t": 1.50, "lines": "http://x", "a": {"b": 2.00}}'
    assert spliced(record, "lines", b"[1.0]") == b'{"id":1,"t":1.50,"lines":[1.0],"a":{"b": 2.00}}'
    assert spliced(record, "a.c", b"3.10") == b'{"id":1,"t":1.50,"lines":"http://x","a":{"b":2.00,"c":3.10}}'
    with pytest.raises(NotThere):
        spliced(record, "id.x", b"1")


def test_the_place_of_a_value_is_exact() -> None:
    body = b' {"a": "x", "b": {"a": "x"}, "c": ["x", {"d": 5}]}'
    start, end = value_at(body, "c.1.d")
    assert (body[start:end], start) == (b"5", body.index(b"5"))
    start, end = value_at(body, "b.a")
    assert start == body.rindex(b'"x"}')


@pytest.mark.parametrize("first", [ORDER, "NaN"])
def test_a_page_of_ten_thousand_orders_is_cut_also_when_one_is_bad(first: str) -> None:
    body = f'{{"rows": [{first}, {", ".join([ORDER] * 9999)}]}}'.encode()
    assert len(records_of(body, "rows").records) == 10_000
