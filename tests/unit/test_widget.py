"""The widget as a value: ten of its fields are displayed, its age is computed by the reader."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest

from erpcrm_orchestration.domain.widget import WIDGET_FIELDS, Widget

REFRESHED = datetime(2026, 11, 18, 12, tzinfo=UTC)


def widget(sync_state: str = "NORMAL") -> Widget:
    return Widget("998", "P", None, sync_state, "Normal", 30, 0, True, REFRESHED, 1, 2, 3, 4, 5, 6)


def test_the_ten_values_are_fields_of_the_stored_row_in_the_order_of_the_specification() -> None:
    assert len(WIDGET_FIELDS) == 10
    names = [field.name for field in fields(Widget)]
    assert [name for name in names if name in WIDGET_FIELDS] == list(WIDGET_FIELDS)


@pytest.mark.parametrize(("seconds", "minutes"), [(0, 0), (59.999, 0), (60, 1), (179, 2), (-300, 0), (86_400 * 400, 576_000)])
def test_the_age_counts_whole_minutes_and_is_never_negative(seconds: float, minutes: int) -> None:
    now = REFRESHED + timedelta(seconds=seconds)
    assert widget().age_min(now) == minutes
    assert widget().age(now) >= timedelta(0)


def test_the_age_needs_an_aware_instant() -> None:
    with pytest.raises(ValueError, match="naive datetime"):
        widget().age(datetime(2026, 11, 18, 12))  # noqa: DTZ001


def test_a_widget_knows_whether_it_alerts() -> None:
    assert [widget(state).is_alert for state in ("NORMAL", "ALERT")] == [False, True]
