"""What a comparison found is repaired: theirs through the inbox, ours through the outbox, deletes only as agreed, with undo.

Nothing is written to the entities here: the next round integrates what was received and delivers what was queued.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.connection import ConnectorEntity
from erpcrm_orchestration.domain.correction import Change, Entry
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.errors import InputError, did_you_mean
from erpcrm_orchestration.domain.integration import BATCH, WORK
from erpcrm_orchestration.domain.received import ConnectorClient, Received, Span, Via
from erpcrm_orchestration.domain.reconciliation import Compared, Kind, delete_refusal
from erpcrm_orchestration.services.connectors import Connected
from erpcrm_orchestration.services.fetching import CONTRADICTED, request_missing
from erpcrm_orchestration.services.inbox_correction import Author
from erpcrm_orchestration.services.outbound import plan, targets_of
from erpcrm_orchestration.store import correction, inbox
from erpcrm_orchestration.store import reconciliation as store
from erpcrm_orchestration.store.engine import reported
from erpcrm_orchestration.store.inbox import Arrival
from erpcrm_orchestration.store.reconciliation import Undone

RECEIVED_KINDS = (Kind.ONLY_THERE, Kind.DIFFERENT)


@dataclass(frozen=True)
class Repair:
    """What a person agreed to: so many records that are gone in the system may be deleted here."""

    deletes: int = 0


class StreamRepair:
    """The repair of one stream, right after its comparison and in the same session."""

    def __init__(
        self, session: sa.Connection, one: Connected, stream: ConnectorEntity, repair: Repair, clock: Clock, run_id: str
    ) -> None:
        self.session, self.one, self.stream, self.repair = session, one, stream, repair
        self.clock, self.run_id, self.key = clock, run_id, one.key(stream)
        self.received = 0

    def run(self, client: ConnectorClient, found: Compared) -> Compared:
        """Return the result with what was done; raise what the system fails with, and then nothing is deleted."""
        counts, refused, deleted = found.counts, None, 0
        gone = self._gone(found)
        if counts.only_there or counts.different or gone:
            gone -= self._read_again(client, gone)
            deleted = self._delete(client, gone)
        if counts.only_here and not deleted and self.repair.deletes:
            refused = self._refusal(found) or "the system shows them again"
        done = {"received": self.received, "entered again": self._enter_again(), "deleted": deleted, "queued": self._tell()}
        return replace(found, repaired={name: count for name, count in done.items() if count}, refused=refused)

    # --- theirs -------------------------------------------------------------------------------------------------------

    def _read_again(self, client: ConnectorClient, gone: Collection[str]) -> set[str]:
        """Receive the records that differ; return which of those that seemed gone are there after all."""
        there: set[str] = set()
        for page in client.pages(self.stream, Span()):
            there |= {one.source_id for one in page.records if not one.deleted and one.source_id in gone}
            wanted = store.among(self.session, [one.source_id for one in page.records], RECEIVED_KINDS)
            self._receive([one for one in page.records if one.source_id in wanted])
            # No transaction stays open while the system makes up its next page.
            self.session.commit()
        return there

    def _receive(self, records: Sequence[Received]) -> None:
        if not records:
            return
        read, now = self.stream.read, self.clock.now()
        correction.lock_dossier(self.session, self.key.dossier_code, WORK)
        take_rivals = read is not None and read.one is None
        arrival = Arrival(Via.POLL, now, self.run_id, complete=True, take_rivals=take_rivals)
        receipt = inbox.receive(self.session, self.key, records, arrival)
        if receipt.rivals:
            missing = [(self.key.entity, source_id) for source_id in receipt.rivals]
            request_missing(self.session, self.one, missing, CONTRADICTED, now)
        self.session.commit()
        self.received += receipt.new + len(receipt.rivals)

    def _enter_again(self) -> int:
        """Let integrated messages whose rows are missing here enter again."""
        messages = store.missing_rows(self.session)
        if not messages:
            return 0
        code = self.key.dossier_code
        correction.lock_dossier(self.session, code, WORK)
        entered = correction.enter_again(self.session, code, states=["TRANSFORMED"], message_ids=messages)
        self.session.commit()
        return len(entered)

    # --- what is gone there -------------------------------------------------------------------------------------------

    def _refusal(self, found: Compared) -> str | None:
        if self.stream.map and not self.stream.map.creates:
            return "this system does not create these records: whoever created them deletes them"
        return delete_refusal(found.counts.only_here, found.counts.ours, self.repair.deletes)

    def _gone(self, found: Compared) -> set[str]:
        """Return what may be deleted as far as was agreed."""
        if not found.counts.only_here or not self.repair.deletes or self._refusal(found):
            return set()
        return {one.source_id for one in store.samples(self.session, Kind.ONLY_HERE, self.repair.deletes)}

    def _delete(self, client: ConnectorClient, gone: Collection[str]) -> int:
        """Receive tombstones for what two readings did not show and the system, asked for it alone, does not have."""
        if self.stream.read and self.stream.read.one:
            gone = [source_id for source_id in sorted(gone) if self._is_gone(client, source_id)]
        if not gone:
            return 0
        now = self.clock.now()
        tombstones = [Received(source_id, "", version_at=now, deleted=True) for source_id in sorted(gone)]
        correction.lock_dossier(self.session, self.key.dossier_code, WORK)
        inbox.receive(self.session, self.key, tombstones, Arrival(Via.POLL, now, self.run_id))
        self.session.commit()
        return len(tombstones)

    def _is_gone(self, client: ConnectorClient, source_id: str) -> bool:
        found = client.fetch(self.stream, source_id)
        return found is None or found.deleted

    # --- ours ---------------------------------------------------------------------------------------------------------

    def _tell(self) -> int:
        """Queue what the system has to be told; what is queued or told already is not queued again."""
        targets = [one for one in targets_of([self.one], self.key.entity) if one.stream.name == self.stream.name]
        queued = after = 0
        while ids := store.not_told_ids(self.session, after, BATCH):
            after = ids[-1]
            correction.lock_dossier(self.session, self.key.dossier_code, WORK)
            cause = f"reconciliation:{self.run_id}"
            queued += plan(self.session, targets, self.key.entity, ids, cause=cause, now=self.clock.now())
            if any(one.writing.find for one in targets):
                store.look_first(self.session, self.key, cause)
            self.session.commit()
        return queued


def undo_deletes(
    engine: sa.Engine,
    dossier_code: str,
    entity: str,
    author: Author,
    *,
    source_ids: Collection[str] = (),
    system_code: str | None = None,
    clock: Clock,
) -> list[Undone]:
    """Let deleted records live again as their newest message before the deletion tells them; without ids all of the entity.

    Raises InputError E-REC-002 to 004: no such entity, a record that is not deleted or was never integrated, no reason.
    """
    where = f"erpcrm reconcile {dossier_code} --undo-deletes"
    if entity not in ENTITIES:
        raise InputError("E-REC-002", where, f"no entity {entity!r}", did_you_mean(entity, ENTITIES))
    if not author.reason.strip():
        raise InputError("E-REC-004", where, "no reason", "say why with --reason, for the audit trail")
    now, wanted = clock.now(), set(source_ids)
    with reported(engine), engine.begin() as connection:
        correction.lock_dossier(connection, dossier_code, WORK)
        undone = store.undo_deletes(
            connection, dossier_code, entity, source_ids=wanted or None, system_code=system_code, now=now
        )
        missing = wanted - {one.source_id for one in undone}
        if missing:
            found = f"{entity} {', '.join(sorted(missing)[:5])} is not deleted, or was never integrated"
            raise InputError("E-REC-003", where, found, "leave it out")
        correction.append(connection, [_entry(dossier_code, author, one, now) for one in undone])
    return undone


def _entry(dossier_code: str, author: Author, one: Undone, now: datetime) -> Entry:
    change = (Change("state", one.state, "NEW"),)
    return Entry(
        now, author.actor, "undo delete", author.reason, dossier_code, one.tombstone_id, one.message_id, change
    )  # fmt: skip
