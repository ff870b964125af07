"""What a connector hands over: records as the system sent them, with what is needed to put them in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from erpcrm_orchestration.domain.connection import ConnectorEntity
from erpcrm_orchestration.domain.errors import SourceError


class Via(StrEnum):
    """How a record came in."""

    POLL = "poll"
    WEBHOOK = "webhook"
    ON_DEMAND = "on_demand"
    FILE = "file"


@dataclass(frozen=True)
class Received:
    """A record as it came. `payload` is the text of the record, byte for byte.

    `version_at` is its modified instant, None when the system has none: then the content hash alone tells versions apart.
    `fault` says why the record is refused although it is kept; then `source_id` may be made from its place and hash.
    """

    source_id: str
    payload: str
    version_at: datetime | None = None
    deleted: bool = False
    fault: str | None = None


@dataclass(frozen=True)
class Page:
    """One answer of a system. `clock` is the system's own clock when the answer was made, None when it does not tell.

    `requests` counts the requests that were made for it, those behind links included.
    """

    records: Sequence[Received]
    clock: datetime | None = None
    requests: int = 1


@dataclass(frozen=True)
class Span:
    """What a reading asks for: CURSOR reads [after, until], APPEND what comes after `last_key`, SNAPSHOT everything.

    None for `after` or `last_key` reads from the beginning.
    """

    after: datetime | None = None
    until: datetime | None = None
    last_key: str | None = None


@dataclass(frozen=True)
class Change:
    """What is to be written to a system. `external_id` is None for a record that is to be created there.

    `values` are our fields with their dotted parts; references are the other system's ids below "ref".
    """

    entity: ConnectorEntity
    external_id: str | None
    values: Mapping[str, object]
    idempotency_key: str
    doubtful: bool = False
    """An earlier attempt may have been carried out: look before creating."""


@dataclass(frozen=True)
class Written:
    """How a change ended. `conflict` says what the system holds that forbids it; `found` that it was there already."""

    external_id: str | None = None
    conflict: str | None = None
    found: bool = False
    answer: Mapping[str, object] = field(default_factory=dict)


class ConnectorClient(Protocol):
    """A session with one system. Methods raise TransientFailure or PermanentFailure; use it as a context manager.

    Refused credentials (401, 403) are a CredentialsRefused, which stops the connection and nothing else.
    """

    def pages(self, entity: ConnectorEntity, span: Span) -> Iterator[Page]:
        """Yield what the system has, page by page, in the order of its change where the mode needs one."""
        ...

    def fetch(self, entity: ConnectorEntity, source_id: str) -> Received | None:
        """Return one record as it is now, None when the system does not have it."""
        ...

    def look(self, change: Change) -> str | None:
        """Return the id of the record that an earlier attempt to create it made, None when there is none.

        Raises PermanentFailure E-SRC-057 when nothing says what to look for.
        """
        ...

    def write(self, change: Change) -> Written:
        """Carry out a change once; the same key again has no second effect."""
        ...

    def close(self) -> None:
        """End the session."""
        ...


class UnknownOutcome(Exception):
    """A change was sent and its answer was lost: it may have been carried out. `failure` says how."""

    def __init__(self, failure: SourceError) -> None:
        self.failure = failure
        super().__init__(str(failure))
