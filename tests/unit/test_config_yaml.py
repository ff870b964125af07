"""YAML without surprises: bad inputs 30 to 39 and 50 of the catalogue, each with its exact words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpcrm_orchestration.config.scalars import is_plain_text, read_plain
from erpcrm_orchestration.config.strict_yaml import DEEPEST, LARGEST, parse, read_file

WORD = "without quotes is read as true or false; write"
BASE = "without quotes is read as a number of base 60; quote times:"


def said(text: str) -> list[str]:
    return [str(one.error) for one in parse(text, name="f.yaml").faults]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "~\n"])
def test_30_an_empty_file_is_refused(text: str) -> None:
    assert said(text) == ["E-CFG-030 f.yaml:1:1: empty; write configuration into it or delete it"]


def test_31_tabs_in_the_indentation_are_told_all_at_once() -> None:
    assert said("a:\n\tb: 1\n  \tc: 2\n") == [
        "E-CFG-031 f.yaml:2:1: a tab in the indentation; indent with spaces",
        "E-CFG-031 f.yaml:3:3: a tab in the indentation; indent with spaces",
    ]


def test_32_a_key_that_stands_twice_names_both_places() -> None:
    document = parse("a: {b: 1, c: 2, b: 3}\n", name="f.yaml")
    assert [str(one.error) for one in document.faults] == [
        "E-CFG-032 f.yaml:1:17 a.b: the key b stands here again, first at f.yaml:1:5; remove one of both"
    ]
    assert document.data == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("012", 'E-CFG-033 f.yaml:1:4 a: 012 without quotes is read as another number; quote dossier codes: "012"'),
        ("0998", 'E-CFG-033 f.yaml:1:4 a: 0998 without quotes is read as another number; quote dossier codes: "0998"'),
        ("001", 'E-CFG-033 f.yaml:1:4 a: 001 without quotes is read as another number; quote dossier codes: "001"'),
        ("NO", f'E-CFG-034 f.yaml:1:4 a: NO {WORD} "NO" for the text, or true or false'),
        (
            "yes",
            f'E-CFG-034 f.yaml:1:4 a: yes {WORD} "yes" for the text, or true or false',
        ),
        ("on", f'E-CFG-034 f.yaml:1:4 a: on {WORD} "on" for the text, or true or false'),
        ("8:20", f'E-CFG-035 f.yaml:1:4 a: 8:20 {BASE} "08:20"'),
        ("08:20", f'E-CFG-035 f.yaml:1:4 a: 08:20 {BASE} "08:20"'),
        (
            "190:20:30",
            f'E-CFG-035 f.yaml:1:4 a: 190:20:30 {BASE} "190:20:30"',
        ),
        ("1_000", "E-CFG-036 f.yaml:1:4 a: 1_000 is not a plain number; write digits only, or quote it when it is text"),
        ("1e3", "E-CFG-036 f.yaml:1:4 a: 1e3 is not a plain number; write digits only, or quote it when it is text"),
        ("0x1F", "E-CFG-036 f.yaml:1:4 a: 0x1F is not a plain number; write digits only, or quote it when it is text"),
        (".inf", "E-CFG-036 f.yaml:1:4 a: .inf is not a plain number; write digits only, or quote it when it is text"),
        ("+5", "E-CFG-036 f.yaml:1:4 a: +5 is not a plain number; write digits only, or quote it when it is text"),
        ("-.5", "E-CFG-036 f.yaml:1:4 a: -.5 is not a plain number; write digits only, or quote it when it is text"),
    ],
)
def test_33_to_36_a_bare_word_that_yaml_reads_otherwise_is_refused_and_in_quotes_it_is_text(written: str, message: str) -> None:
    assert said(f"a: {written}\n") == [message]
    for quoted in (f'"{written}"', f"'{written}'", f"|-\n  {written}"):
        document = parse(f"a: {quoted}\n", name="f.yaml")
        assert document.data == {"a": written}
        assert not document.faults


def test_33_a_bare_key_with_a_leading_zero_is_refused() -> None:
    assert said("dossiers:\n  012: {}\n") == [
        'E-CFG-033 f.yaml:2:3 dossiers.012: 012 without quotes is read as another number; quote dossier codes: "012"'
    ]


def test_37_a_second_document_is_refused() -> None:
    assert said("a: 1\n---\nb: 2\n") == [
        "E-CFG-037 f.yaml:2:1: a second document; one document in a file; split the file at ---"
    ]


def test_38_tags_are_refused_and_nothing_is_made_of_them() -> None:
    assert said("a: !!python/object/apply:os.system [id]\nb: !!str 3\nc: !own x\n") == [
        "E-CFG-038 f.yaml:1:4 a: a tag !!python/object/apply:os.system; remove it; quote what is text",
        "E-CFG-038 f.yaml:2:4 b: a tag !!str; remove it; quote what is text",
        "E-CFG-038 f.yaml:3:4 c: a tag !own; remove it; quote what is text",
    ]


def test_39_anchors_aliases_and_merge_keys_are_refused() -> None:
    assert said("a: &x {b: 1}\nc: *x\nd: {<<: *x}\n") == [
        "E-CFG-039 f.yaml:1:4 a: an anchor &x; write the value out; aliases are not read",
        "E-CFG-039 f.yaml:2:4 c: an alias; write the value out; aliases are not read",
        "E-CFG-039 f.yaml:3:5 d: a merge key; write the values out; aliases are not read",
        "E-CFG-039 f.yaml:3:9 d.<<: an alias; write the value out; aliases are not read",
    ]


def test_39_an_alias_bomb_is_refused_without_being_unfolded() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    assert all(line.startswith("E-CFG-039") for line in said(bomb))


def test_39_more_than_one_megabyte_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_text("a: " + "x" * LARGEST)
    (one,) = read_file(path, name="big.yaml").faults
    assert str(one.error) == "E-CFG-039 big.yaml:1:1: 1000003 bytes are more than 1000000; split it into several files"


def test_39_a_thousand_nested_lists_are_refused() -> None:
    (line,) = said("a: " + "[" * 1000)
    assert line.endswith(f": nested deeper than {DEEPEST}; write it flatter")


def test_50_what_is_not_utf_8_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes("a: 1\nname: Société\n".encode("latin-1"))
    (one,) = read_file(path, name="f.yaml").faults
    assert str(one.error) == "E-CFG-050 f.yaml:2:11: byte 0xe9 is not UTF-8; save the file as UTF-8"


def test_50_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (one,) = read_file(tmp_path, name="f.yaml").faults
    assert str(one.error) == "E-CFG-050 f.yaml:1:1: a folder, not a file; give it another name than *.yaml"


def test_50_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (one,) = read_file(tmp_path / "f.yaml", name="f.yaml").faults
    assert (
        str(one.error)
        == "E-CFG-050 f.yaml:1:1: cannot be read (No such file or directory); check that it exists and may be read"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_50_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("a: 1\n")
    path.chmod(0)
    (one,) = read_file(path, name="f.yaml").faults
    assert "cannot be read (Permission denied)" in str(one.error)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_file(path).data == {"a": 1}


def test_what_is_no_yaml_names_the_place() -> None:
    assert said("a: [1\nb: 2\n") == [
        "E-CFG-001 f.yaml:2:2: not YAML: did not find expected ',' or ']'; correct the text at this place"
    ]
    assert said("- a\n") == ["E-CFG-041 f.yaml:1:1: not a mapping; start with a key, for instance dossiers:"]


def test_values_are_what_a_person_means() -> None:
    document = parse("a: true\nb: False\nc: 12\nd: -1.5\ne:\nf: ~\ng: 2026-12-25\nh: a word\n998: x\n", name="f")
    assert document.data == {
        "a": True, "b": False, "c": 12, "d": -1.5, "e": None, "f": None, "g": "2026-12-25", "h": "a word", 998: "x",
    }  # fmt: skip
    assert not document.faults


def test_every_value_and_key_has_its_place() -> None:
    document = parse("a:\n  - b: 1\n    c: [x, y]\n", name="f")
    assert str(document.values["a", 0, "c", 1]) == "f:3:12"
    assert str(document.keys["a", 0, "c"]) == "f:3:5"


def test_a_character_that_the_database_cannot_hold_is_refused() -> None:
    assert said('a: "x\\0y"\n') == [
        "E-CFG-036 f.yaml:1:4 a: the character U+0000 in a text; remove it: no database text can hold it"
    ]
    assert said('a: "\\uD800"\n')[0].startswith(("E-CFG-001 f.yaml:1:", "E-CFG-036 f.yaml:1:4 a: "))


@given(st.text(max_size=200))
def test_no_text_at_all_raises(text: str) -> None:
    document = parse(text, name="f")
    assert document.faults or document.data or document.data == {}
    assert all(str(one.error).startswith("E-CFG-") and "\n" not in str(one.error) for one in document.faults)


@given(st.text(alphabet="0123456789_.:eExXoObB+-yYnNoOfFrtusal~", min_size=1, max_size=12))
def test_a_bare_word_is_its_own_text_a_plain_value_or_refused(text: str) -> None:
    value, trap = read_plain(text)
    if is_plain_text(text):
        assert value == text
    elif trap is None:
        assert value is None or isinstance(value, bool) or str(value) == text or float(text) == value
