"""What to do about a check that fails, and how datasets and mails stand, in the reader's language.

The texts of the checks are those of the domain, which knows no languages; a test compares both.
"""

from __future__ import annotations

from collections.abc import Mapping

from erpcrm_orchestration.languages import Translator


def recoveries(say: Translator) -> tuple[str, ...]:
    """Return every recovery text in this language."""
    _ = say.gettext
    return (
        _("Look at the agent's last export and the source's logbook; synchronise by hand if the agent stands still."),
        _("Compare the clock and the time zone of the source with the dossier's; a wrong zone hides a late synchronisation."),
        _("Read the rejected lines in mart.logbook; correct the records in the CRM: they come with the next export."),
        _("Add a member to the mail group in the configuration folder and apply it: erpcrm config apply."),
        _("Try the source from this machine: erpcrm doctor. The dossier is evaluated again at its next tick."),
        _("See that the daemon runs and the schedule is on: erpcrm doctor; then erpcrm refresh the stale dossiers."),
        _("Turn the sensor of the watcher on in the Dagster UI, or start the daemon: erpcrm up."),
        _("Look at mart.tick for the reasons; missed ticks are made up for by the process's policy or by erpcrm refresh."),
        _("List them: erpcrm mails list --state UNCERTAIN; release what should be sent again: erpcrm mails release ID."),
        _("Correct the configuration folder and apply it: erpcrm config check, then erpcrm config apply."),
        _("See how they stand: erpcrm connections list; turn the webhook on again in the system."),
        _("See why: erpcrm connections list; remove the cause, then erpcrm connections resume CODE --reason TEXT."),
        _(
            "List them: erpcrm inbox list --dossier CODE --entity intervention; erpcrm datasets list --dossier CODE "
            "--category INTERVENTION; correct and relaunch those in error."
        ),
        _(
            "List them: erpcrm inbox list --dossier CODE --entity time_entry; erpcrm datasets list --dossier CODE "
            "--category TIME; correct and relaunch those in error."
        ),
        _(
            "List them: erpcrm inbox list --dossier CODE --entity document; erpcrm datasets list --dossier CODE "
            "--category DOCUMENT; correct and relaunch those in error."
        ),
        _("See what they wait for: erpcrm inbox list --dossier CODE --state WAITING; map the value or fetch the parent."),
        _(
            "List them: erpcrm inbox list --dossier CODE --state REJECTED; then erpcrm inbox fix or erpcrm inbox relaunch. "
            "Conflicts: erpcrm conflicts list --dossier CODE."
        ),
        _(
            "List them: erpcrm work list --dossier CODE --event outbound; then erpcrm work requeue, "
            "or erpcrm work drop what is not to be told."
        ),
        _("Map or accept the new field, add the word to the mapping, then erpcrm config apply."),
        _("Compare the order with the shop: erpcrm inbox show MESSAGE --dossier CODE; correct it at the source."),
    )


def group_of_dataset(say: Translator) -> Mapping[str, str]:
    """Return the groups of dataset states in words."""
    _ = say.gettext
    return {
        "RECEIVED": _("received"),
        "PENDING": _("pending"),
        "PROCESSING": _("in progress"),
        "WAITING": _("waits"),
        "ERROR": _("in error"),
        "CLOSED_OK": _("closed, OK"),
        "CLOSED_KO": _("closed, not OK"),
    }


def state_of_mail(say: Translator) -> Mapping[str, str]:
    """Return the states of mails in words."""
    _ = say.gettext
    return {
        "PENDING": _("waits"),
        "SENDING": _("being sent"),
        "SENT": _("sent"),
        "UNCERTAIN": _("uncertain"),
        "FAILED": _("failed"),
        "SKIPPED": _("skipped"),
    }
