"""What became of a batch: its messages are closed, what waited for them is woken, and the logbook is told."""

from __future__ import annotations

import sqlalchemy as sa

from erpcrm_orchestration.domain.integration import Tally
from erpcrm_orchestration.services.batch_message import Merged, Pending, Stream
from erpcrm_orchestration.services.integration_log import RoundLog
from erpcrm_orchestration.store import inbox
from erpcrm_orchestration.store.logbook import write_lines


def close_batch(connection: sa.Connection, stream: Stream, merged: Merged) -> tuple[Tally, bool]:
    """Write what became of the messages; return how many became what, and whether messages that waited for them go on."""
    _close(connection, stream, merged)
    source_ids = [one.message.source_id for one in merged.ready]
    woken = inbox.wake_after(connection, stream.dossier_code, stream.system, stream.mapping.entity.name, source_ids)
    tally = tally_of(merged)
    log = RoundLog(stream.dossier_code, stream.connection.connection_code, stream.now, stream.run_id)
    lines = [log.rejected(one.message.message_id, one.error or "") for one in merged.rejected]
    if tally.transformed + tally.deleted:
        lines.append(log.done(stream.entity.name, tally))
    write_lines(connection, lines)
    return tally, bool(woken)


def _close(connection: sa.Connection, stream: Stream, merged: Merged) -> None:
    code, now, run_id = stream.dossier_code, stream.now, stream.run_id
    plain = [one.message.message_id for one in merged.ready if not one.warnings]
    plain += [one.message_id for one in merged.gone]
    inbox.close(connection, code, plain, "TRANSFORMED", now=now, run_id=run_id)
    inbox.close(connection, code, sorted(merged.ignored), "IGNORED", now=now, run_id=run_id)
    explained = [
        {"message_id": one.message.message_id, **_outcome(one)}
        for one in merged.pending
        if one.message.message_id not in merged.ignored and (one.error or one.waiting_for or one.left_out or one.warnings)
    ]
    inbox.explain(connection, code, explained, now=now, run_id=run_id)


def _outcome(one: Pending) -> dict[str, str | None]:
    if one.error:
        return {"state": "REJECTED", "error": one.error}
    if one.left_out:
        return {"state": "IGNORED", "error": one.left_out}
    if one.waiting_for:
        return {"state": "WAITING", "waiting_for": one.waiting_for}
    return {"state": "TRANSFORMED", "warning": "; ".join(one.warnings)}


def tally_of(merged: Merged) -> Tally:
    """Return how many of the messages became what."""
    return Tally(
        transformed=len(merged.ready), changed=len(merged.changed), rejected=len(merged.rejected),
        waiting=len(merged.waiting), ignored=len(merged.ignored) + len(merged.left_out), deleted=len(merged.gone),
        warned=sum(bool(one.warnings) for one in merged.ready),
    )  # fmt: skip
