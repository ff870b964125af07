"""What the clients and writers of all kinds have in common: what the connector must describe, and our words in the system's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

from erpcrm_orchestration.clients.rest_record import word_at
from erpcrm_orchestration.domain.connection import Call, ConnectorEntity, Reading, Writing
from erpcrm_orchestration.domain.errors import PermanentFailure
from erpcrm_orchestration.domain.received import Change, Written
from erpcrm_orchestration.domain.values import shown


class ClientFrame(ABC):
    """A session that is closed at its end; `where` begins every error."""

    where: str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """End the session."""

    def _reading(self, entity: ConnectorEntity) -> Reading:
        if entity.read is None:
            raise PermanentFailure("E-SRC-053", self._at(entity), "is not read", "give `read` in the connector")
        return entity.read

    def _one(self, entity: ConnectorEntity) -> tuple[Reading, Call]:
        """Return how an entity is read, and the call for one record of it."""
        reading = self._reading(entity)
        if reading.one is None:
            raise PermanentFailure("E-SRC-053", self._at(entity), "no call for one record", "give read.one in the connector")
        return reading, reading.one

    def _writing(self, entity: ConnectorEntity) -> Writing:
        if entity.write is None:
            raise PermanentFailure("E-SRC-053", self._at(entity), "is not written", "give `write` in the connector")
        return entity.write

    def _at(self, entity: ConnectorEntity) -> str:
        return f"{self.where} {entity.name}"


class WriterFrame(ABC):
    """Writes to one entity of a system: creates what the system does not have, updates what it has."""

    def __init__(self, writing: Writing, where: str) -> None:
        self._writing, self._where = writing, where

    def write(self, change: Change) -> Written:
        """Create or update; raise UnknownOutcome when it was sent and its answer was lost, or the SourceError of a refusal."""
        values = self._values(change)
        if change.external_id is None:
            return self._create(self._required(self._writing.create, "create"), change, values)
        return self._update(self._required(self._writing.update, "update"), change, values)

    def look(self, change: Change) -> str | None:
        """Return the id of the record that an earlier attempt to create it made, None when there is none."""
        return self._sought(self._values(change))

    def _values(self, change: Change) -> dict[str, object]:
        return {**told(self._writing, change.values), "key": change.idempotency_key, "id": self._id(change)}

    @abstractmethod
    def _sought(self, values: Mapping[str, object]) -> str | None: ...

    @abstractmethod
    def _create(self, call: Call, change: Change, values: Mapping[str, object]) -> Written: ...

    @abstractmethod
    def _update(self, call: Call, change: Change, values: Mapping[str, object]) -> Written: ...

    def _id(self, change: Change) -> object:
        """Return the system's id of the record as a request holds it."""
        return change.external_id

    def _refusal(self, held: object | None) -> str | None:
        """Return why what the system holds is not overwritten, None when it may be."""
        for path, words in self._writing.refuse_when.items():
            if (word := word_at(held, path, words)) is not None:
                return f"{path} is {shown(word)} there"
        return None

    def _required(self, call: Call | None, name: str) -> Call:
        if call is None:
            raise PermanentFailure("E-SRC-053", self._where, f"no call to {name}", f"give write.{name} in the connector")
        return call

    def _blind(self) -> PermanentFailure:
        """Return what a doubtful create is that nothing can be known of."""
        found = "an earlier attempt may have created it, and there is no way to look"
        remedy = "look in the system; if it is not there: erpcrm work requeue WORK --dossier CODE --not-done --reason '...'"
        return PermanentFailure("E-SRC-057", self._where, found, remedy)


def several(where: str, count: str) -> PermanentFailure:
    """Return what it is when a look finds more than one record."""
    found = f"{count} where one is looked for"
    return PermanentFailure("E-SRC-057", where, found, "make `find` of the connector exact, or make one of them")


def told(writing: Writing, ours: Mapping[str, object]) -> dict[str, object]:
    """Return our values in the system's words; a word that it has no word for is not sent.

    A field is told by its own words. A name that is no field is made from the first of the fields whose word it has.
    """
    values = dict(ours)
    for name, words in writing.values.items():
        of = [name] if name in writing.fields else writing.fields
        meaning = next((words[str(ours[field])] for field in of if str(ours.get(field)) in words), None)
        values.pop(name, None)
        if meaning is not None:
            values[name] = meaning
    return values
