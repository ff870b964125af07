"""What the parts of a batch share: where its messages come from, and each message on its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from erpcrm_orchestration.domain.connection import Connection, ConnectorEntity
from erpcrm_orchestration.domain.entity import Field, Kind
from erpcrm_orchestration.domain.integration import Tally
from erpcrm_orchestration.domain.mapping import CompiledMapping, MappedRecord
from erpcrm_orchestration.services.shared_fields import Sharing
from erpcrm_orchestration.store.inbox import Message

Reference = tuple[str, str]
"""Entity and the other system's id."""


@dataclass(frozen=True)
class Stream:
    """What a batch needs to know of where its messages come from."""

    connection: Connection
    entity: ConnectorEntity
    mapping: CompiledMapping
    now: datetime
    run_id: str | None
    sharing: Sharing = field(default_factory=Sharing)
    undecided: bool = False
    """True while a record of ours may just have been created in this system without our knowing its id."""

    @property
    def dossier_code(self) -> str:
        return self.connection.dossier

    @property
    def system(self) -> str:
        return self.connection.system

    def where(self, message: Message) -> str:
        """Return the place of a message for its errors."""
        return f"{self.connection.connection_code} {self.entity.name} {message.source_id}"


@dataclass
class Pending:
    """A message on its way: what it was mapped to, or why it is not integrated.

    `left_out` is the condition of its stream that the record does not meet.
    """

    message: Message
    mapped: MappedRecord | None = None
    record_id: int = 0
    error: str | None = None
    waiting_for: str | None = None
    left_out: str | None = None
    warnings: list[str] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        return self.mapped is not None and self.error is None and self.waiting_for is None


@dataclass
class Merged:
    """Messages after the merge: `ready` were integrated, `gone` are deletions, `ignored` are not ours."""

    gone: Sequence[Message]
    pending: list[Pending] = field(default_factory=list)
    ready: list[Pending] = field(default_factory=list)
    ignored: set[int] = field(default_factory=set)
    changed: set[int] = field(default_factory=set)

    @property
    def left_out(self) -> list[Pending]:
        return [one for one in self.pending if one.left_out and not one.error]

    @property
    def rejected(self) -> list[Pending]:
        return [one for one in self.pending if one.error]

    @property
    def waiting(self) -> list[Pending]:
        return [one for one in self.pending if one.waiting_for and not one.error and one.message.message_id not in self.ignored]


@dataclass
class BatchResult:
    """`changed`: our ids whose rows changed. `missing`: what has to be fetched for the messages that wait.

    `told_again`: records of which this system told what is not its to change. `woken`: messages that waited for these go on.
    """

    tally: Tally
    changed: set[int] = field(default_factory=set)
    missing: set[Reference] = field(default_factory=set)
    told_again: set[int] = field(default_factory=set)
    woken: bool = False


def positions(fields: Sequence[Field]) -> list[tuple[int, str]]:
    """Return where in a row references stand, with the entity that each refers to."""
    return [(at, one.refers_to) for at, one in enumerate(fields) if one.kind is Kind.REFERENCE and one.refers_to]
