"""Subscriptions of the simulated shop: their dates, and what a transition does that setting the status does not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from erpcrm_orchestration.demo.message import Json, Refused
from erpcrm_orchestration.demo.shop_payload import stamp

STATUSES = frozenset({"pending", "active", "on-hold", "expired", "pending-cancel", "cancelled"})
ALLOWED: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"active", "on-hold", "cancelled"}),
    "active": frozenset({"on-hold", "pending-cancel", "cancelled", "expired"}),
    "on-hold": frozenset({"active", "pending-cancel", "cancelled", "expired"}),
    "pending-cancel": frozenset({"active", "cancelled", "expired"}),
    "cancelled": frozenset(),
    "expired": frozenset(),
}
DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
"""Lengths that are near enough for a simulation."""
DATES = ("start_date", "trial_end_date", "next_payment_date", "last_payment_date", "cancelled_date", "end_date")


def created_subscription(record: Json, now: datetime, zone: ZoneInfo) -> Json:
    """Return an order-like record as a subscription that begins now."""
    settings = {"billing_period": "month", "billing_interval": "1", "suspension_count": 0, "requires_manual_renewal": False}
    whole = {**settings, "resubscribed_from": "", "resubscribed_subscription": "", "removed_line_items": [], **record}
    dates: dict[str, datetime | None] = dict.fromkeys(DATES)
    dates |= {"start_date": now, "last_payment_date": now, "next_payment_date": now + period(whole)}
    return {**_stamps(dates, zone), **whole}


def period(record: Json) -> timedelta:
    """Return the length of a billing period."""
    return timedelta(days=DAYS[record["billing_period"]] * int(record["billing_interval"]))


def transitioned(record: Json, changes: Json, now: datetime, zone: ZoneInfo) -> Json:
    """Return the changes with their consequences: `status` has none, `transition_status` moves the dates."""
    changes = dict(changes)
    status = changes.pop("transition_status", None)
    asked = status or changes.get("status", record["status"])
    if asked not in STATUSES:
        raise Refused(400, "rest_invalid_param", "Invalid parameter(s): status")
    if status is None or status == record["status"]:
        return changes
    if status not in ALLOWED.get(record["status"], frozenset()):
        found = f"Unable to change subscription status from {record['status']} to {status}."
        raise Refused(400, "woocommerce_rest_cannot_update_subscription", found)
    more: Json = {"suspension_count": record["suspension_count"] + 1} if status == "on-hold" else {}
    return {**changes, **_stamps(_dates(record, status, now), zone), **more, "status": status}


def _dates(record: Json, status: str, now: datetime) -> dict[str, datetime | None]:
    match status:
        case "active":
            return {"next_payment_date": now + period(record), "cancelled_date": None, "end_date": None}
        case "pending-cancel":
            ends = record["next_payment_date_gmt"]
            end = now if ends is None else datetime.fromisoformat(ends).replace(tzinfo=UTC)
            return {"next_payment_date": None, "cancelled_date": now, "end_date": end}
        case "cancelled":
            return {"next_payment_date": None, "cancelled_date": now, "end_date": now}
        case "expired":
            return {"next_payment_date": None, "end_date": now}
        case _:
            return {"next_payment_date": None}


def _stamps(dates: Mapping[str, datetime | None], zone: ZoneInfo) -> Json:
    return {name: value for date, at in dates.items() for name, value in stamp(date, at, zone).items()}
