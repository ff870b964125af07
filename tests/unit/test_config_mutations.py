"""The demo company's files with something broken in them: whatever it is, it is told in our words and nothing raises."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from erpcrm_orchestration.config.folder import read_text
from erpcrm_orchestration.config.rules import check

DEMO = Path(__file__).parents[2] / "config"
MESSAGE = re.compile(r"E-(CFG|DOS|MAIL)-[0-9]{3} f\.yaml:[0-9]+:[0-9]+( \S.*)?: .+; .+")
WHOLE: dict[str, Any] = {}
for one in sorted(DEMO.glob("*.yaml")):
    WHOLE |= yaml.safe_load(one.read_text(encoding="utf-8"))

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e6, 1e6) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(0, 9999), inner, max_size=3),
    max_leaves=6,
)


def ways(content: object, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every way to a value of the files."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [way, *(found for key, below in inner for found in ways(below, (*way, key)))]


WAYS = [way for way in ways(WHOLE) if way]


def broken(way: tuple[Any, ...], action: str, value: object) -> dict[str, Any]:
    """The files with the value at the way replaced, removed, or with a key added beside it."""
    whole = copy.deepcopy(WHOLE)
    holder: Any = whole
    for step in way[:-1]:
        holder = holder[step]
    if action == "replace":
        holder[way[-1]] = value
    elif action == "remove":
        del holder[way[-1]]
    elif isinstance(holder, dict):
        holder["surprise"] = value
    return whole


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(WAYS), st.sampled_from(["replace", "remove", "add"]), junk)
def test_whatever_is_broken_is_told_in_our_form(way: tuple[Any, ...], action: str, value: object) -> None:
    text = yaml.safe_dump(broken(way, action, value), allow_unicode=True, sort_keys=False)
    found = check(read_text(text, name="f.yaml"))
    for error in found.errors:
        assert MESSAGE.fullmatch(str(error)), str(error)
        assert "f.yaml:1:1" not in str(error) or text.startswith(str(error).split(" ")[2].split(".")[0]), str(error)
    for warning in found.warnings:
        assert MESSAGE.fullmatch(warning), warning
