"""The interaction state of a dossier, as values; the counting is done in store/sql/refresh_interaction_state.sql."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from erpcrm_orchestration.domain.errors import ErpcrmError
from erpcrm_orchestration.domain.template import STATE_FIELDS

PROCESS_CODE = "interactions_erpcrm"
WORK = "interaction_state"
"""The kind of work that a lease protects."""
SYNCHRONISATION_ACTION = "WEAVY_URL_FILE"
ALERT_CAUSE = "interactions_alert"
RECOVERY_CAUSE = "interactions_recovery"


class SyncState(StrEnum):
    NORMAL = "NORMAL"
    ALERT = "ALERT"


@dataclass(frozen=True, slots=True)
class InteractionState:
    """One evaluation of one dossier, as it was written. Counts are datasets or synchronisations, `*_min` are whole minutes."""

    dossier_code: str
    crm_project_code: str
    last_sync_at: datetime | None
    sync_state: SyncState
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
    interventions_in_error: int
    times_in_error: int
    documents_in_error: int
    anomaly_started_at: datetime | None
    last_alert_mail_at: datetime | None
    changed: bool
    """Something a person sees differs from the previous evaluation."""
    report_due: bool
    """Dagster has not been told of the row as it stands, or not for an hour."""
    mail_due: bool
    """An alert mail is due: in ALERT, not throttled, none waiting to be sent."""
    recovered: bool
    """This evaluation ended an anomaly."""
    time_zone: str
    mail_group: str
    mail_template: str
    recovery_template: str | None
    test_mode: bool
    on_uncertain: str
    has_recipients: bool

    def for_people(self) -> dict[str, str]:
        """Return the fields that a mail may show, instants in the dossier's own zone, nothing as an empty text."""
        zone = ZoneInfo(self.time_zone)
        return {name: shown_to_people(getattr(self, name), zone) for name in STATE_FIELDS}


def shown_to_people(value: object, zone: ZoneInfo) -> str:
    """Return a value of the state as a mail shows it: an instant in this zone, nothing as an empty text."""
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone(zone).strftime("%Y-%m-%d %H:%M")
        case _:
            return str(value)


@dataclass(frozen=True)
class Evaluations:
    """What one evaluation of many dossiers did. Every requested dossier is in exactly one of the three."""

    states: dict[str, InteractionState]
    skipped: dict[str, str]
    """Dossier -> reason: inactive, held by another run."""
    failures: dict[str, ErpcrmError]
    """Dossier -> why its row was left untouched."""
