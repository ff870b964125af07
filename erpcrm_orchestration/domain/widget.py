"""The ten values of the supervision widget, as they were stored, and how old they are for the one who reads them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from erpcrm_orchestration.domain.clock import require_aware

WIDGET_FIELDS = (
    "crm_project_code",
    "last_sync_at",
    "sync_state_label",
    "last_refreshed_at",
    "syncs_today",
    "interventions_today_not_ok",
    "interventions_not_ok",
    "times_not_ok",
    "documents_not_ok",
    "syncs_with_rejects",
)
"""The ten values in the order of the original."""


@dataclass(frozen=True)
class Widget:
    """One stored row: what is displayed is this and nothing that is computed from other tables."""

    dossier_code: str
    crm_project_code: str
    last_sync_at: datetime | None
    sync_state: str
    sync_state_label: str
    alert_delay_min: int
    elapsed_min: int
    never_synced: bool
    last_refreshed_at: datetime
    syncs_today: int
    interventions_today_not_ok: int
    interventions_not_ok: int
    times_not_ok: int
    documents_not_ok: int
    syncs_with_rejects: int

    @property
    def is_alert(self) -> bool:
        return self.sync_state == "ALERT"

    def age(self, now: datetime) -> timedelta:
        """Return how long ago the values were computed; a row from the future is new."""
        return max(require_aware(now) - self.last_refreshed_at, timedelta(0))

    def age_min(self, now: datetime) -> int:
        """Return the age in whole minutes."""
        return self.age(now) // timedelta(minutes=1)
