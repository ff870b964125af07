"""Makes the request of a call: fills its {places} with values, and leaves out what has none.

A text that is exactly "{name}" becomes the value itself, with :int or :text as that. An object {for_each: name, item: ...}
becomes a list: the item once for each row of the list, whose values are {row.name} in it. A member of an object, a query
parameter or a header whose value is missing or null is left out; so is an element of a list, as a whole, when one of its
members is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import ceil, floor
from typing import Final, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from erpcrm_orchestration.clients.http import Request
from erpcrm_orchestration.domain.connection import Call
from erpcrm_orchestration.domain.errors import PermanentFailure
from erpcrm_orchestration.domain.json_path import ABSENT, at
from erpcrm_orchestration.domain.received import Span

PLACE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)(?::(int|text))?\}")
EACH: Final = frozenset({"for_each", "item"})
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_LEFT_OUT = (ABSENT, None)

TimeFormat = Literal["iso", "epoch_s", "epoch_ms"]


def build(call: Call, values: Mapping[str, object], parameters: Mapping[str, object], where: str) -> Request:
    """Return the request. `parameters` of paging go into the query, or into the variables of a GraphQL query.

    Raises PermanentFailure E-SRC-051 when a place in the path has no value.
    """
    path, query, headers = filled_path(call.path, values, where), texts(call.query, values), texts(call.headers, values)
    if call.graphql is not None:
        variables = {**_object(filled(dict(call.variables), values)), **parameters}
        content: object = {"query": call.graphql, "variables": variables}
        return Request("POST", path, query, _json(headers), encoded(content), call.path)
    query |= {name: text(value) for name, value in parameters.items()}
    if call.body is None:
        return Request(call.method, path, query, headers, None, call.path)
    content = filled(call.body, values)
    return Request(call.method, path, query, _json(headers), encoded({} if content is ABSENT else content), call.path)


def filled(template: object, values: Mapping[str, object]) -> object:
    """Return the template with its places filled, ABSENT when nothing of it is left."""
    if isinstance(template, str):
        return _filled_text(template, values)
    if isinstance(template, Mapping):
        if template.keys() == EACH:
            return _each(template, values)
        members = {str(key): filled(one, values) for key, one in template.items()}
        kept = {key: one for key, one in members.items() if one is not ABSENT}
        return kept if kept or not members else ABSENT
    if isinstance(template, list | tuple):
        elements = [filled(one, values) for one in template if not _lacks(one, values)]
        kept_ones = [one for one in elements if one is not ABSENT]
        return kept_ones if kept_ones or not template else ABSENT
    return template


def filled_path(path: str, values: Mapping[str, object], where: str) -> str:
    """Return the path with each value quoted, so that none of them leads to another path."""

    def quoted(found: re.Match[str]) -> str:
        value = at(values, found[1])
        if value in _LEFT_OUT or text(value) in {"", ".", ".."}:
            raise PermanentFailure("E-SRC-051", where, f"{path} has no value for {found[0]}", "correct the connector")
        return quote(text(value), safe="")

    return PLACE.sub(quoted, path)


def lacks_value(call: Call, values: Mapping[str, object]) -> bool:
    """True when a place of the query or the body has no value: the call would ask for something else, or for everything."""
    places = [*call.query.values(), *_texts_in(call.variables if call.graphql else call.body)]
    return any(_filled_text(one, values) in (*_LEFT_OUT, "") for one in places if PLACE.search(one))


def _texts_in(template: object) -> list[str]:
    if isinstance(template, Mapping):
        return [text for one in template.values() for text in _texts_in(one)]
    if isinstance(template, list | tuple):
        return [text for one in template for text in _texts_in(one)]
    return [template] if isinstance(template, str) else []


def texts(templates: Mapping[str, str], values: Mapping[str, object]) -> dict[str, str]:
    """Return query parameters or headers as texts, without those that have no value."""
    found = {name: filled(template, values) for name, template in templates.items()}
    return {name: text(value) for name, value in found.items() if value is not ABSENT}


def text(value: object) -> str:
    """Return a value as it stands in a query or inside of a longer text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else str(value)


def encoded(content: object) -> bytes:
    """Return JSON in UTF-8; a Decimal is a number with all of its digits."""
    return _ENCODER.encode(content)


def span_values(span: Span, form: TimeFormat, zone: str) -> dict[str, object]:
    """Return {after} and {until} as the system wants them, and {after_naive}, {until_naive}: ISO without zone, in `zone`.

    Where the form is coarser than the instant, `after` is rounded down and `until` up: never too little is asked for.
    """
    values: dict[str, object] = {"after": span.last_key}
    for name, at_instant, up in (("after", span.after, False), ("until", span.until, True)):
        if at_instant is not None:
            values[name] = _written(at_instant, form, up=up)
            values[f"{name}_naive"] = _iso(at_instant.astimezone(ZoneInfo(zone)), up=up)
    return values


def _written(at_instant: datetime, form: TimeFormat, *, up: bool) -> str | int:
    if form == "iso":
        return _iso(at_instant.astimezone(UTC), up=up) + "Z"
    seconds = at_instant.timestamp() * (1000 if form == "epoch_ms" else 1)
    return ceil(seconds) if up else floor(seconds)


def _iso(at_instant: datetime, *, up: bool) -> str:
    whole = at_instant.replace(microsecond=0, tzinfo=None)
    return (whole + timedelta(seconds=1) if up and at_instant.microsecond else whole).isoformat()


def _filled_text(template: str, values: Mapping[str, object]) -> object:
    alone = PLACE.fullmatch(template)
    if alone:
        value = at(values, alone[1])
        return ABSENT if value in _LEFT_OUT else _typed(value, alone[2])
    found = {name: at(values, name) for name, _ in PLACE.findall(template)}
    if any(value in _LEFT_OUT for value in found.values()):
        return ABSENT
    return PLACE.sub(lambda place: text(found[place[1]]), template)


def _typed(value: object, kind: str | None) -> object:
    """Return an id as the system writes it: ids are texts here, and many systems have numbers."""
    if kind == "int" and isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return text(value) if kind == "text" else value


def _each(template: Mapping[str, object], values: Mapping[str, object]) -> object:
    rows = at(values, str(template["for_each"]))
    if not isinstance(rows, list):
        return ABSENT
    items = [filled(template["item"], {**values, "row": row}) for row in rows]
    return [item for item in items if item is not ABSENT]


def _lacks(element: object, values: Mapping[str, object]) -> bool:
    return (
        isinstance(element, Mapping)
        and element.keys() != EACH
        and any(filled(one, values) is ABSENT for one in element.values())
    )


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _json(headers: dict[str, str]) -> dict[str, str]:
    return {"Content-Type": "application/json", **headers}
