"""The healthy facts that are checked for every dossier, each as a pure rule on its interaction state.

A check's name is its runbook page (docs/runbooks/<name>.md). What a verdict carries as metadata is what a person needs to act.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from erpcrm_orchestration.domain.supervision import InteractionState, SyncState

Severity = Literal["WARN", "ERROR"]
Metadata = dict[str, str | int | float | bool | None]

SYNCHRONISATION_IS_ON_TIME = "synchronisation_is_on_time"
"""The check whose failure is mailed: the alert of the interactions."""


@dataclass(frozen=True)
class Verdict:
    """The result of one check: `severity` counts only when it did not pass."""

    passed: bool
    severity: Severity = "ERROR"
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True)
class DossierCheck:
    """`recovery` tells a person what to do when the fact does not hold."""

    name: str
    description: str
    recovery: str
    judge: Callable[[InteractionState], Verdict]


def _synchronisation_is_on_time(state: InteractionState) -> Verdict:
    return Verdict(
        state.sync_state is SyncState.NORMAL,
        metadata={
            "delay": state.alert_delay_min,
            "elapsed": state.elapsed_min,
            "last_sync_at": state.last_sync_at.isoformat() if state.last_sync_at else None,
            "never_synced": state.never_synced,
            "anomaly_started_at": state.anomaly_started_at.isoformat() if state.anomaly_started_at else None,
            "last_alert_mail_at": state.last_alert_mail_at.isoformat() if state.last_alert_mail_at else None,
        },
    )


def _last_synchronisation_is_not_in_the_future(state: InteractionState) -> Verdict:
    future = state.last_sync_at is not None and state.last_sync_at > state.last_refreshed_at
    return Verdict(
        not future,
        "WARN",
        {
            "last_sync_at": state.last_sync_at.isoformat() if state.last_sync_at else None,
            "now": state.last_refreshed_at.isoformat(),
        },
    )


def _counted(not_ok: int, in_error: int) -> Verdict:
    return Verdict(not_ok == 0, "ERROR" if in_error else "WARN", {"not_ok": not_ok, "in_error": in_error})


def _mail_group_has_recipients(state: InteractionState) -> Verdict:
    return Verdict(
        state.has_recipients or state.test_mode,
        "WARN",
        {"mail_group": state.mail_group, "reason": None if state.has_recipients else "no recipients"},
    )


DOSSIER_CHECKS: tuple[DossierCheck, ...] = (
    DossierCheck(
        SYNCHRONISATION_IS_ON_TIME,
        "The last synchronisation CRM -> ERP is not older than the dossier's alert delay.",
        "Look at the agent's last export and the source's logbook; synchronise by hand if the agent stands still.",
        _synchronisation_is_on_time,
    ),
    DossierCheck(
        "last_synchronisation_is_not_in_the_future",
        "No synchronisation is dated later than now.",
        "Compare the clock and the time zone of the source with the dossier's; a wrong zone hides a late synchronisation.",
        _last_synchronisation_is_not_in_the_future,
    ),
    DossierCheck(
        "interventions_are_ok",
        "No intervention waits or failed, of whatever day.",
        "List them: erpcrm inbox list --dossier CODE --entity intervention; "
        "erpcrm datasets list --dossier CODE --category INTERVENTION; correct and relaunch those in error.",
        lambda state: _counted(state.interventions_not_ok, state.interventions_in_error),
    ),
    DossierCheck(
        "times_are_ok",
        "No time entry of today waits or failed.",
        "List them: erpcrm inbox list --dossier CODE --entity time_entry; "
        "erpcrm datasets list --dossier CODE --category TIME; correct and relaunch those in error.",
        lambda state: _counted(state.times_not_ok, state.times_in_error),
    ),
    DossierCheck(
        "documents_are_ok",
        "No document of today from the CRM waits or failed.",
        "List them: erpcrm inbox list --dossier CODE --entity document; "
        "erpcrm datasets list --dossier CODE --category DOCUMENT; correct and relaunch those in error.",
        lambda state: _counted(state.documents_not_ok, state.documents_in_error),
    ),
    DossierCheck(
        "synchronisations_are_without_rejects",
        "No synchronisation of today rejected a record.",
        "Read the rejected lines in mart.logbook; correct the records in the CRM: they come with the next export.",
        lambda state: Verdict(
            state.syncs_with_rejects == 0, "WARN", {"synchronisations_with_rejects": state.syncs_with_rejects}
        ),
    ),
    DossierCheck(
        "mail_group_has_recipients",
        "The group that alerts of this dossier go to is not empty.",
        "Add a member to the mail group in the configuration folder and apply it: erpcrm config apply.",
        _mail_group_has_recipients,
    ),
)

SOURCE_IS_REACHABLE = "source_is_reachable"
"""Checked by every evaluation, also by one that could not read the source and left the state untouched."""
SOURCE_RECOVERY = "Try the source from this machine: erpcrm doctor. The dossier is evaluated again at its next tick."
