"""Writes a change to a system so that it happens once: looks before a second attempt, and says when it cannot know.

A create that was sent and whose answer was lost (no answer, a cut one, one that is no JSON, a status of 500 or more that does
not say that nothing happened) is an UnknownOutcome: the next attempt comes as `doubtful` and looks first. 408, 425, 429, 501,
503 and 505 say that nothing happened.
An update sets values, so that doing it again has no second effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from erpcrm_orchestration.clients.frame import WriterFrame, several
from erpcrm_orchestration.clients.http import Answer, AnswerLost, AnswerTooLarge, Request, require_json
from erpcrm_orchestration.clients.json_page import Slices
from erpcrm_orchestration.clients.rest_record import identity
from erpcrm_orchestration.clients.rest_request import filled, lacks_value, text
from erpcrm_orchestration.clients.rest_session import RestSession, parsed
from erpcrm_orchestration.domain.connection import Call, Writing
from erpcrm_orchestration.domain.errors import InputError, PermanentFailure, SourceError, TransientFailure
from erpcrm_orchestration.domain.json_path import ABSENT
from erpcrm_orchestration.domain.received import Change, UnknownOutcome, Written
from erpcrm_orchestration.domain.strict_json import loads
from erpcrm_orchestration.domain.values import shown

NOTHING_HAPPENED = frozenset({501, 503, 505})
"""The statuses of 500 or more that are sent before anything is done; those of gateways, 520 to 530 too, are not."""
BESIDE_CONFLICT = frozenset({409, 412})


class Writer(WriterFrame):
    """Writes to one entity of a system."""

    def __init__(self, session: RestSession, writing: Writing, where: str) -> None:
        super().__init__(writing, where)
        self._session = session

    def _create(self, call: Call, change: Change, values: Mapping[str, object]) -> Written:
        if change.doubtful and (self._can_look(values) or self._writing.idempotency_header is None):
            found = self._sought(values)
            if found is not None:
                return Written(found, found=True)
        answer = self._sent(call, change, values)
        if answer.status == 409:
            return self._existing(answer, call, change, values)
        body = self._accepted(answer)
        try:
            return Written(identity(body, self._writing.created_id), answer=body)
        except InputError:
            return self._without_id(answer, values)

    def _update(self, call: Call, change: Change, values: Mapping[str, object]) -> Written:
        content = filled(call.variables if call.graphql else call.body, self._all(values))
        if content is ABSENT:
            return Written(change.external_id)
        refusal = self._refusal(self._held(values))
        if refusal is not None:
            return Written(change.external_id, conflict=refusal)
        answer = self._sent(call, change, values)
        if answer.status == 409 and change.doubtful:
            raise _still_at_work(self._failure(answer))
        if answer.status in BESIDE_CONFLICT:
            return Written(change.external_id, conflict=str(self._failure(answer)))
        return Written(change.external_id, answer=self._accepted(answer))

    def _sent(self, call: Call, change: Change, values: Mapping[str, object]) -> Answer:
        request = self._session.request(call, values)
        name = self._writing.idempotency_header
        headers = {**request.headers, name: change.idempotency_key} if name else request.headers
        try:
            answer = self._session.exchange(
                Request(request.method, request.address, request.query, headers, request.body, request.label)
            )
        except (AnswerLost, AnswerTooLarge) as lost:
            raise UnknownOutcome(lost) from None
        # 303 leads to what was made of the request.
        if answer.status == 303 or (answer.status >= 500 and answer.status not in NOTHING_HAPPENED):
            raise UnknownOutcome(self._failure(answer))
        return answer

    def _accepted(self, answer: Answer) -> dict[str, object]:
        """Return the body of an answer of success; raise what the status or an error in the body stands for."""
        failure = self._session.failure(answer)
        if failure is not None:
            raise failure.as_refusal()
        if not answer.body.strip():
            return {}
        try:
            body = parsed(answer)
        except SourceError as unread:
            raise UnknownOutcome(unread) from None
        told = self._session.error_in(answer)
        if isinstance(told, AnswerLost):
            raise UnknownOutcome(told)
        if told is not None:
            raise told.as_refusal()
        return body if isinstance(body, dict) else {}

    def _existing(self, answer: Answer, call: Call, change: Change, values: Mapping[str, object]) -> Written:
        """Return what a 409 means: it is there already and equal, it is there and differs, or another request is at work."""
        found = self._look(values) if self._can_look(values) else None
        if found is not None:
            differs = _difference(filled(call.body, self._all(values)), found[1])
            return Written(found[0], conflict=differs, found=True)
        failure = self._failure(answer)
        if change.doubtful:
            raise _still_at_work(failure)
        raise failure.as_refusal()

    def _without_id(self, answer: Answer, values: Mapping[str, object]) -> Written:
        try:
            found = self._look(values) if self._can_look(values) else None
        except SourceError as failure:
            raise UnknownOutcome(failure) from None
        if found is not None:
            return Written(found[0])
        told = f"created, but no id at {self._writing.created_id}"
        raise UnknownOutcome(PermanentFailure("E-SRC-056", answer.where, told, "correct created_id of the connector"))

    def _can_look(self, values: Mapping[str, object]) -> bool:
        """False without `find`, and when one of its places has no value: it would find the records of others."""
        return self._writing.find is not None and not lacks_value(self._writing.find, self._all(values))

    def _sought(self, values: Mapping[str, object]) -> str | None:
        if not self._can_look(values):
            raise self._blind()
        found = self._look(values)
        return found[0] if found is not None else None

    def _look(self, values: Mapping[str, object]) -> tuple[str, object] | None:
        """Return the id and content of the record that an earlier attempt made, None when there is none."""
        if self._writing.find is None:
            return None
        answer = self._session.exchange(self._session.request(self._writing.find, values))
        if answer.status == 404:
            return None
        failure = self._session.failure(answer)
        if failure is not None:
            raise failure
        found = self._session.slices(answer, self._writing.find_records)
        if len(found.records) > 1:
            raise several(answer.where, f"{len(found.records)} records")
        return self._found(answer, found)

    def _found(self, answer: Answer, found: Slices) -> tuple[str, object] | None:
        if not found.records:
            return None
        try:
            record = loads(found.records[0])
            return identity(record, self._writing.find_id), record
        except InputError as error:
            raise PermanentFailure(error.code, f"{answer.where} {error.where}", error.found, error.remedy) from None

    def _held(self, values: Mapping[str, object]) -> object | None:
        if self._writing.check is None:
            return None
        answer = self._session.ask(self._session.request(self._writing.check, values))
        require_json(answer)
        told = self._session.error_in(answer)
        if told is not None:
            raise told
        return parsed(answer)

    def _failure(self, answer: Answer) -> SourceError:
        failure = self._session.failure(answer)
        return failure or PermanentFailure("E-SRC-048", answer.where, f"status {answer.status}", "correct the connector")

    def _all(self, values: Mapping[str, object]) -> dict[str, object]:
        return {**self._session.credentials, **values}


def _still_at_work(failure: SourceError) -> TransientFailure:
    """Return what a 409 after a doubtful attempt is: that attempt may still be carried out at this moment."""
    return TransientFailure("E-SRC-047", failure.where, f"{failure.found}, after a doubtful attempt", "it is tried again")


def _difference(sent: object, held: object, path: str = "") -> str | None:
    """Return the first value of what is sent that the record holds otherwise, None when it holds all of them.

    What the record does not show at all is not compared; numbers are compared as numbers, texts without regard to case.
    """
    if isinstance(sent, dict):
        if not isinstance(held, dict):
            return f"{path or '$'} is {shown(str(held))} there"
        parts = ((f"{path}.{key}" if path else key, value, held[key]) for key, value in sent.items() if key in held)
        return next((told for told in (_difference(ours, theirs, place) for place, ours, theirs in parts) if told), None)
    if isinstance(sent, list) or _equal(sent, held):
        return None
    return f"{path} is {shown(str(held))} there"


def _equal(ours: object, theirs: object) -> bool:
    if isinstance(ours, dict | list) or isinstance(theirs, dict | list):
        return ours == theirs
    left, right = text(ours), text(theirs)
    try:
        return Decimal(left) == Decimal(right)
    except InvalidOperation:
        return left.strip().casefold() == right.strip().casefold()
