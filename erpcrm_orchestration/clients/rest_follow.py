"""Fetches what stands behind the links of a record, and puts it into the text of the record."""

from __future__ import annotations

from collections.abc import Mapping

from erpcrm_orchestration.clients.http import Answer, Request
from erpcrm_orchestration.clients.json_page import CutShort, NotThere, spliced, value_at
from erpcrm_orchestration.clients.rest_paging import Walk
from erpcrm_orchestration.clients.rest_session import RestSession, cut, parsed
from erpcrm_orchestration.domain.connection import Call, Follow
from erpcrm_orchestration.domain.errors import PermanentFailure
from erpcrm_orchestration.domain.json_path import here

NOTHING = Call("")


def followed(
    session: RestSession, record: bytes, values: Mapping[str, object], follows: tuple[Follow, ...], largest: int
) -> bytes:
    """Return the record with every followed part in its place; all other values stay as they came, byte for byte.

    `values` are the parsed record as `parent`, and its `id`. Raises SourceError when a part cannot be had.
    """
    for one in follows:
        try:
            record = spliced(record, one.into, _part(session, values, one, largest))
        except NotThere as error:
            found = f"{error} in the way of {one.into}"
            raise PermanentFailure("E-SRC-015", session.where, found, "correct `into` of the connector") from None
    return record


def _part(session: RestSession, values: Mapping[str, object], one: Follow, largest: int) -> bytes:
    first: Request | None = None
    if one.link is not None:
        link = here(values["parent"], one.link)
        if link in (None, ""):
            return b"null" if one.records is None else b"[]"
        if not isinstance(link, str):
            raise PermanentFailure("E-SRC-042", session.where, f"no address at $.{one.link}", "correct `link` of the connector")
        first = session.link(link)
    call = one.call or NOTHING
    if one.records is None:
        return session.patiently(lambda: _whole(session.ask(first or session.request(call, values))))
    walk = Walk(session, call, one.paging, one.records, values, largest, first=first)
    return b"[" + b",".join(record for turn in walk for record in turn.records) + b"]"


def _whole(answer: Answer) -> bytes:
    parsed(answer)
    try:
        start, end = value_at(answer.body, "")
    except CutShort:
        raise cut(answer) from None
    return answer.body[start:end]
