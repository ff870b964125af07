"""The client of REST and GraphQL systems: reads pages, fetches one record, writes a change, all by the connector's values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from erpcrm_orchestration.clients.frame import ClientFrame
from erpcrm_orchestration.clients.http import Answer
from erpcrm_orchestration.clients.json_page import CutShort, NotThere, value_at
from erpcrm_orchestration.clients.rest_reading import Reader, with_parts
from erpcrm_orchestration.clients.rest_record import faulty, received
from erpcrm_orchestration.clients.rest_session import RestSession, Surroundings, cut, parsed, unreadable
from erpcrm_orchestration.clients.rest_write import Writer
from erpcrm_orchestration.domain.connection import Connection, Connector, ConnectorEntity, Reading
from erpcrm_orchestration.domain.errors import InputError, PermanentFailure, SourceError
from erpcrm_orchestration.domain.received import Change, Page, Received, Span, Written

GONE = frozenset({404, 410})
NO_RECORD = frozenset({"E-SRC-009", "E-SRC-010", "E-SRC-040"})
"""Refusals of an answer as a whole; others are those of the record in it, which is kept with its fault."""


class RestClient(ClientFrame):
    """A ConnectorClient for the kinds `rest` and `woocommerce`. Nothing is sent before the first use."""

    def __init__(
        self,
        connector: Connector,
        connection: Connection,
        environment: Mapping[str, str],
        around: Surroundings | None = None,
    ) -> None:
        """Raise PermanentFailure E-SRC-042 or 051 for an url that is no plain HTTP address, E-CFG-046 for a missing secret."""
        self._largest = connector.max_records_per_page
        self._session = RestSession(connector, connection, environment, around)
        self.where = self._session.where

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def pages(self, entity: ConnectorEntity, span: Span) -> Iterator[Page]:
        """Yield what the system has for the span; a page that fails is tried three times."""
        yield from Reader(self._session, self._reading(entity), span, self._largest).pages()

    def fetch(self, entity: ConnectorEntity, source_id: str) -> Received | None:
        """Return one record as it is now, None when the system answers 404, 410 or a null."""
        reading, one = self._one(entity)
        answer = self._session.exchange(self._session.request(one, {"id": source_id}))
        if answer.status in GONE:
            return None
        failure = self._session.failure(answer) or self._told(answer)
        if failure is not None:
            raise failure
        raw = _one(answer, reading.one_record)
        return None if raw is None else self._fetched(raw, reading, source_id)

    def write(self, change: Change) -> Written:
        """Carry out a change once; raise UnknownOutcome when it was sent and its answer was lost."""
        return self._writer(change).write(change)

    def look(self, change: Change) -> str | None:
        """Return the id of the record that an earlier attempt to create it made, None when there is none."""
        return self._writer(change).look(change)

    def _writer(self, change: Change) -> Writer:
        return Writer(self._session, self._writing(change.entity), self._at(change.entity))

    def _told(self, answer: Answer) -> SourceError | None:
        """Return the failure that the body tells of; a body that is refused for a bad value tells of none."""
        try:
            return self._session.error_in(answer)
        except PermanentFailure as refused:
            is_json = answer.body.lstrip().startswith((b"{", b"["))
            return refused if refused.code in NO_RECORD or not is_json else None

    def _fetched(self, raw: bytes, reading: Reading, source_id: str) -> Received:
        record = with_parts(self._session, received(raw, reading), raw, reading, self._largest)
        if record.fault is None and record.source_id != source_id:
            asked = f"the record {record.source_id} came for {source_id}"
            return faulty(record, "E-SRC-016", f"$.{reading.record_id}", asked, "correct read.one of the connector")
        return record


def _one(answer: Answer, path: str) -> bytes | None:
    """Return the text of the record at the path of an answer, None for a null or when nothing stands there."""
    try:
        start, end = value_at(answer.body, path)
    except CutShort:
        raise cut(answer) from None
    except InputError as error:
        raise unreadable(answer, error) from None
    except NotThere:
        parsed(answer)
        return None
    raw = answer.body[start:end]
    return None if raw == b"null" else raw
