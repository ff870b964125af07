"""The ten values of the widget in words, in the reader's language: the same on the command line and on the board."""

from __future__ import annotations

from datetime import datetime

from erpcrm_orchestration.domain.errors import one_line
from erpcrm_orchestration.domain.widget import WIDGET_FIELDS, Widget
from erpcrm_orchestration.languages import Translator


def labels(say: Translator) -> dict[str, str]:
    """Return the label of each of the ten values, in their order."""
    _ = say.gettext
    texts = (
        _("CRM project"),
        _("Last synchronisation"),
        _("State of the synchronisation"),
        _("Last refreshed"),
        _("Synchronisations today"),
        _("Interventions of today not OK"),
        _("Interventions not OK, total"),
        _("Times of today not OK"),
        _("Documents of today not OK"),
        _("Synchronisations with rejects today"),
    )
    return dict(zip(WIDGET_FIELDS, texts, strict=True))


def state_in_words(widget: Widget, say: Translator) -> str:
    """Return Normal, or Alert with the delay that was exceeded: the delay, never the time that went by."""
    _ = say.gettext
    return _("Alert > {delay}", delay=say.number(widget.alert_delay_min)) if widget.is_alert else _("Normal")


def shown(widget: Widget, say: Translator) -> dict[str, str]:
    """Return the ten values in words, in their order."""
    return {name: word_of(widget, name, say) for name in WIDGET_FIELDS}


def word_of(widget: Widget, name: str, say: Translator) -> str:
    """Return one of the ten values in words."""
    _ = say.gettext
    value = getattr(widget, name)
    if name == "sync_state_label":
        return state_in_words(widget, say)
    if name == "last_sync_at" and widget.never_synced:
        return _("never")
    match value:
        case datetime():
            return say.instant(value)
        case int():
            return say.number(value)
        case _:
            return one_line(str(value))
