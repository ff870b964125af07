"""The records of one kind in a simulated system: kept as the bytes that are served, ordered by id, creation and change."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from erpcrm_orchestration.demo.message import Json

Order = Literal["id", "created", "modified"]
_Key = tuple[datetime, int]
_EVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    """`facets` are the few words by which lists are filtered; a hidden record can be fetched but is in no list."""

    body: bytes
    created: datetime
    modified: datetime
    facets: Mapping[str, str] = field(default_factory=dict)
    hidden: bool = False


@dataclass(frozen=True)
class Slice:
    """A part of a list, and how long the list is."""

    bodies: list[bytes]
    total: int
    last: _Key | None = None
    """The key of the last record, by which the next page may begin."""


class Collection:
    """Records by whole-number id; 50,000 orders of four kilobytes are 200 MB, and a page is a join of bytes."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._sorted: dict[str, list[_Key]] = {"id": [], "created": [], "modified": []}
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, record_id: object) -> bool:
        return record_id in self._entries

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._entries))

    def next_id(self) -> int:
        """Return an id that no record has had."""
        self._last_id += 1
        return self._last_id

    def entry(self, record_id: int) -> Entry:
        """Return the kept record; raise KeyError for an unknown id."""
        return self._entries[record_id]

    def record(self, record_id: int) -> Json:
        """Return a copy of the record; raise KeyError for an unknown id."""
        record: Json = json.loads(self._entries[record_id].body)
        return record

    def put(self, record_id: int, record: Json | bytes, entry: Entry) -> None:
        """Keep a record, in the place of the one with this id; `entry.body` is made from it."""
        self.remove(record_id)
        self._last_id = max(self._last_id, record_id)
        body = record if isinstance(record, bytes) else json.dumps(record, ensure_ascii=False).encode()
        self._entries[record_id] = Entry(body, entry.created, entry.modified, entry.facets, entry.hidden)
        if not entry.hidden:
            for order, at in (("id", _EVER), ("created", entry.created), ("modified", entry.modified)):
                insort(self._sorted[order], (at, record_id))

    def remove(self, record_id: int) -> None:
        """Forget a record, if there is one."""
        entry = self._entries.pop(record_id, None)
        if entry is None or entry.hidden:
            return
        for order, at in (("id", _EVER), ("created", entry.created), ("modified", entry.modified)):
            keys = self._sorted[order]
            del keys[bisect_left(keys, (at, record_id))]

    def list(
        self,
        order: Order,
        *,
        descending: bool = False,
        offset: int = 0,
        limit: int = 100,
        after: _Key | None = None,
        before: datetime | None = None,
        where: Mapping[str, set[str]] | None = None,
    ) -> Slice:
        """Return a part of what comes after the key and before the instant, both excluded, and has the facets' words."""
        keys = self._sorted[order]
        low = 0 if after is None else bisect_right(keys, after)
        high = len(keys) if before is None else bisect_left(keys, (before, 0))
        if where:
            keys = [key for key in keys[low:high] if self._has(key[1], where)]
            low, high = 0, len(keys)
        high = max(low, high)
        if descending:
            found = keys[max(low, high - offset - limit) : max(low, high - offset)][::-1]
        else:
            found = keys[low + offset : min(high, low + offset + limit)]
        return Slice([self._entries[key[1]].body for key in found], high - low, found[-1] if found else None)

    def _has(self, record_id: int, where: Mapping[str, set[str]]) -> bool:
        facets = self._entries[record_id].facets
        return all(facets.get(name) in words for name, words in where.items())

    def oldest_changed(self) -> int | None:
        """Return the listed record that has not changed for the longest time."""
        keys = self._sorted["modified"]
        return keys[0][1] if keys else None
