"""Faults of web systems, by name: armed for some requests, they spoil the answer in the way the name says."""

from __future__ import annotations

import gzip
import io
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from erpcrm_orchestration.demo.message import Answer, json_answer

FAULTS = "/_faults"
"""POST arms a fault, DELETE disarms all, GET tells what is armed and what has fired."""


class Cut(Enum):
    """Where an answer breaks off. LENGTH: before its announced length. CHUNKED: before the last chunk.

    CLOSE: without any announced length, so that only the content tells. BEFORE: before its first byte.
    """

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"
    BEFORE = "before"


@dataclass(frozen=True)
class Delivery:
    """An answer and how it is sent: after `wait_s` seconds, with `pace_s` seconds between bytes, cut or whole."""

    answer: Answer
    wait_s: float = 0
    pace_s: float = 0
    cut: Cut | None = None


NAMES: Mapping[str, str] = {
    "<status>": "three digits: this status, without an effect; value: text of Retry-After",
    "slow": "the answer comes after `value` seconds (2)",
    "drip": "one byte each `value` seconds (0.4)",
    "truncated": "half of the announced length, then the connection ends",
    "truncated_chunked": "chunks without the last one",
    "truncated_close": "half of the body, no length announced: silent",
    "lost_answer": "the effect is done, the connection ends before the answer",
    "dropped": "the connection ends before any effect",
    "duplicate_page": "the rows of the previous answer of this path again, with the headers of this one",
    "loop": "the previous answer of this path again, headers and all",
    "shifting_pages": "a record that was listed already changes before the answer",
    "reordered": "the rows of the page in another order",
    "repeated_row": "the first row of the page twice",
    "html": "200 with a login page",
    "empty": "200 with an empty body",
    "empty_list": "200 with []",
    "error_in_200": "200 with an error in the body, without an effect",
    "redirect": "302 to `value` (http://198.51.100.7/)",
    "next_elsewhere": "the next page is said to be at `value` (http://198.51.100.7/)",
    "body": "200 with `value` as its text",
    "latin_1": "the text in Latin-1 under a header that says UTF-8",
    "gzip_bomb": "`value` MB (200) of blanks, compressed",
    "webhook_lost": "the webhook is never sent",
    "webhook_twice": "the webhook is sent twice with one delivery id",
    "webhook_again": "the webhook is sent again with another delivery id",
    "webhook_late": "the webhook is sent after the next one",
}
WEBHOOK = "webhook_"
_ELSEWHERE = "http://198.51.100.7/"


@dataclass
class Armed:
    """`path` is a part of the paths it counts for; `times` None lasts; `skip` requests go well before it begins."""

    name: str
    times: int | None = 1
    path: str = ""
    method: str | None = None
    probability: float = 1.0
    skip: int = 0
    value: str | None = None


@dataclass
class Faults:
    """The armed faults of one system; the earliest that counts for a request is taken."""

    seed: int = 998
    fired: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311 - a simulation
        self._guard = threading.Lock()
        self._armed: list[Armed] = []
        self._previous: dict[str, Answer] = {}

    def arm(  # noqa: PLR0913 - each says something else about when it fires
        self,
        name: str,
        times: int | None = 1,
        path: str = "",
        *,
        method: str | None = None,
        probability: float = 1.0,
        skip: int = 0,
        value: str | None = None,
        seed: int | None = None,
    ) -> None:
        """Arm a fault by its name in NAMES, or by a status as three digits; raise ValueError for another name."""
        if name not in NAMES and not (name.isdigit() and len(name) == 3):
            raise ValueError(f"unknown fault {name!r}; known: {', '.join(NAMES)}")
        with self._guard:
            if seed is not None:
                self._chance.seed(seed)
            self._armed.append(Armed(name, times, path, method, probability, skip, value))

    def clear(self) -> None:
        """Disarm everything."""
        with self._guard:
            self._armed.clear()

    def armed(self) -> list[dict[str, object]]:
        """Return what is armed, as plain values."""
        with self._guard:
            return [vars(one).copy() for one in self._armed]

    def take(self, method: str, path: str, *, prefix: str = "") -> Armed | None:
        """Return the fault that this request meets, which is used up by it."""
        with self._guard:
            for one in self._armed:
                if one.name.startswith(WEBHOOK) != (prefix == WEBHOOK) or not self._meets(one, method, path):
                    continue
                if one.times is not None:
                    one.times -= 1
                if one.times == 0:
                    self._armed.remove(one)
                self.fired[one.name] += 1
                return one
        return None

    def _meets(self, one: Armed, method: str, path: str) -> bool:
        if one.path not in path or one.method not in {None, method}:
            return False
        if one.skip:
            one.skip -= 1
            return False
        return one.probability >= 1 or self._chance.random() < one.probability

    def deliver(self, method: str, path: str, answer: Callable[[], Answer], disturb: Callable[[], None]) -> Delivery:
        """Return how the request is answered; `answer` has the effect, `disturb` changes a record behind the scenes."""
        fault = self.take(method, path)
        if fault is not None and fault.name == "shifting_pages":
            disturb()
        if fault is not None and (fault.name.isdigit() or fault.name in _INSTEAD):
            instead = _INSTEAD.get(fault.name, _status)(fault)
            return Delivery(instead, cut=Cut.BEFORE if fault.name == "dropped" else None)
        good = answer()
        previous = self._previous.get(path, good)
        self._previous[path] = good
        if fault is None:
            return Delivery(good)
        return _SPOILS[fault.name](_Spoil(fault, good, previous, self._chance))


def _status(fault: Armed) -> Answer:
    more = {"Retry-After": fault.value} if fault.value else {}
    return json_answer(int(fault.name), {"error": "unavailable", "message": "try again later"}, more)


def _login_page(_fault: Armed) -> Answer:
    page = "<!doctype html><html><body><form>Please log in</form></body></html>"
    return Answer(200, page.encode(), {"Content-Type": "text/html; charset=UTF-8"})


def _error_in_200(fault: Armed) -> Answer:
    return json_answer(200, {"error": "internal", "message": fault.value or "the record was not saved"})


def _bomb(fault: Armed) -> Answer:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as stream:
        for _ in range(int(fault.value or 200)):
            stream.write(b" " * 1_000_000)
    return Answer(200, packed.getvalue(), {"Content-Type": "application/json", "Content-Encoding": "gzip"})


_INSTEAD: Mapping[str, Callable[[Armed], Answer]] = {
    "html": _login_page,
    "empty": lambda _fault: json_answer(200, b""),
    "dropped": lambda _fault: json_answer(200, b""),
    "body": lambda fault: json_answer(200, (fault.value or "").encode()),
    "empty_list": lambda _fault: json_answer(200, []),
    "error_in_200": _error_in_200,
    "redirect": lambda fault: Answer(302, b"", {"Location": fault.value or _ELSEWHERE}),
    "gzip_bomb": _bomb,
}
"""The faults that take the place of the system's work: nothing is changed there."""


@dataclass(frozen=True)
class _Spoil:
    """What a fault after the work has in hand: the good answer, and the previous one of the same path."""

    fault: Armed
    good: Answer
    previous: Answer
    chance: random.Random

    def with_body(self, body: bytes) -> Delivery:
        return Delivery(replace(self.good, body=body))

    def with_rows(self, change: Callable[[list[object]], list[object]]) -> Delivery:
        return self.with_body(_rows_changed(self.good.body, change))

    def shuffled(self, rows: list[object]) -> list[object]:
        return rows[::-1] if len(rows) == 2 else self.chance.sample(rows, len(rows))


_SPOILS: Mapping[str, Callable[[_Spoil], Delivery]] = {
    "slow": lambda spoil: Delivery(spoil.good, wait_s=float(spoil.fault.value or 2)),
    "drip": lambda spoil: Delivery(spoil.good, pace_s=float(spoil.fault.value or 0.4)),
    "truncated": lambda spoil: Delivery(spoil.good, cut=Cut.LENGTH),
    "truncated_chunked": lambda spoil: Delivery(spoil.good, cut=Cut.CHUNKED),
    "truncated_close": lambda spoil: Delivery(spoil.good, cut=Cut.CLOSE),
    "lost_answer": lambda spoil: Delivery(spoil.good, cut=Cut.BEFORE),
    "duplicate_page": lambda spoil: spoil.with_body(spoil.previous.body),
    "loop": lambda spoil: Delivery(spoil.previous),
    "shifting_pages": lambda spoil: Delivery(spoil.good),
    "latin_1": lambda spoil: spoil.with_body(spoil.good.body.decode().encode("latin-1", errors="replace")),
    "next_elsewhere": lambda spoil: Delivery(_next_elsewhere(spoil.good, spoil.fault.value or _ELSEWHERE)),
    "reordered": lambda spoil: spoil.with_rows(spoil.shuffled),
    "repeated_row": lambda spoil: spoil.with_rows(lambda rows: [*rows[:1], *rows]),
}
"""The faults after the system's work: what was asked for has been done."""


def _rows_changed(body: bytes, change: Callable[[list[object]], list[object]]) -> bytes:
    value = json.loads(body)
    if isinstance(value, list):
        value = change(value)
    elif isinstance(value, dict):
        value = {name: change(part) if isinstance(part, list) else part for name, part in value.items()}
    return json.dumps(value, ensure_ascii=False).encode()


def _next_elsewhere(good: Answer, address: str) -> Answer:
    headers = {**good.headers, "Link": f'<{address}>; rel="next"'}
    body = good.body
    value = json.loads(body)
    if isinstance(value, dict) and "next" in value:
        body = json.dumps({**value, "next": address}, ensure_ascii=False).encode()
    return replace(good, headers=headers, body=body)
