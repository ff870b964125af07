"""The lines that the integration writes into the logbook of a dossier; the supervision counts their rejects.

All lines of a round have its run as `sync_id`: one round is one synchronisation, however many records it refuses. A record that
cannot be read when it comes has its line from receive.sql.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from erpcrm_orchestration.domain.integration import Tally
from erpcrm_orchestration.store.logbook import LogbookLine

ACTION = "INTEGRATION"


@dataclass(frozen=True)
class RoundLog:
    """Makes the lines of one connection in one round."""

    dossier_code: str
    connection_code: str
    now: datetime
    run_id: str | None

    def rejected(self, message_id: int, error: str) -> LogbookLine:
        """Return the line of a message that was rejected or given up."""
        return self._line(str(message_id), "REJECT", error)

    def done(self, stream: str, tally: Tally) -> LogbookLine:
        """Return the line of a batch in which something was integrated."""
        done = tally.transformed + tally.deleted
        text = f"{stream}: {done} integrated, {tally.rejected} rejected, {tally.waiting} waiting"
        return self._line(f"{stream}-{self.run_id}", "OK", text)

    def _line(self, entry_key: str, outcome: str, message: str) -> LogbookLine:
        origin = f"connection:{self.connection_code}"
        return LogbookLine(
            self.dossier_code, self.now, origin, entry_key, ACTION, outcome, message, self.run_id, sync_id=self.run_id
        )
