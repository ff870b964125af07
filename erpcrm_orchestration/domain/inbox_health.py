"""How the inbox of an entity and its changes for other systems stand in a dossier, and the healthy facts of both.

A check's name is its runbook page (docs/runbooks/<name>.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from erpcrm_orchestration.domain.checks import Verdict

OLDEST_ALLOWED = timedelta(minutes=5)


@dataclass(frozen=True)
class InboxHealth:
    """`open` messages are NEW or WAITING, the oldest received at `oldest_at`. `warned`: integrated with a warning.

    `rivals`: refused because other content came with the same version. `drift`: fields that nobody mapped or accepted.
    `conflicts`: fields that two systems changed and nobody decided. Of the changes for other systems, `undelivered` are open,
    the oldest planned at `planned_at`; `given_up` are DEAD, and `forbidden` are the newest of their records and in CONFLICT.
    """

    dossier_code: str
    entity: str
    open: int = 0
    oldest_at: datetime | None = None
    waiting: int = 0
    rejected: int = 0
    dead: int = 0
    rivals: int = 0
    warned: int = 0
    totals_differ: int = 0
    sample: str | None = None
    drift: str | None = None
    conflicts: int = 0
    undelivered: int = 0
    planned_at: datetime | None = None
    given_up: int = 0
    forbidden: int = 0
    delivery_sample: str | None = None
    rows: int | None = None


@dataclass(frozen=True)
class InboxCheck:
    """`recovery` tells a person what to do when the fact does not hold. `only_for` None is every entity."""

    name: str
    description: str
    recovery: str
    judge: Callable[[InboxHealth, datetime], Verdict]
    only_for: str | None = None


def _are_integrated_in_time(health: InboxHealth, now: datetime) -> Verdict:
    age = now - health.oldest_at if health.oldest_at else timedelta(0)
    details = {"open": health.open, "waiting": health.waiting, "oldest_s": int(age.total_seconds())}
    return Verdict(age <= OLDEST_ALLOWED, "WARN", dict(details))


def _are_not_refused(health: InboxHealth, now: datetime) -> Verdict:
    details = {"rejected": health.rejected, "dead": health.dead, "conflicts": health.conflicts, "sample": health.sample}
    refused = health.rejected + health.dead + health.conflicts
    return Verdict(refused == 0, "ERROR" if health.dead else "WARN", dict(details))


def _are_delivered(health: InboxHealth, now: datetime) -> Verdict:
    age = now - health.planned_at if health.planned_at else timedelta(0)
    counts = {"open": health.undelivered, "given_up": health.given_up, "forbidden": health.forbidden}
    is_well = not (health.given_up or health.forbidden) and age <= OLDEST_ALLOWED
    details = {**counts, "oldest_s": int(age.total_seconds()), "sample": health.delivery_sample}
    return Verdict(is_well, "ERROR" if health.given_up else "WARN", dict(details))


def _keep_their_contract(health: InboxHealth, now: datetime) -> Verdict:
    unknown = health.warned - health.totals_differ
    details = {"unknown_words": unknown, "same_version_different_content": health.rivals, "new_fields": health.drift}
    details["sample"] = health.sample
    return Verdict(not (unknown or health.rivals or health.drift), "WARN", dict(details))


def _totals_reconcile(health: InboxHealth, now: datetime) -> Verdict:
    return Verdict(not health.totals_differ, "WARN", {"orders": health.totals_differ, "sample": health.sample})


INBOX_CHECKS: tuple[InboxCheck, ...] = (
    InboxCheck(
        "records_are_integrated_in_time",
        "No received record waits for more than five minutes.",
        "See what they wait for: erpcrm inbox list --dossier CODE --state WAITING; map the value or fetch the parent.",
        _are_integrated_in_time,
    ),
    InboxCheck(
        "records_are_not_refused",
        "No received record was rejected or given up, and no field of one waits for a decision.",
        "List them: erpcrm inbox list --dossier CODE --state REJECTED; then erpcrm inbox fix or erpcrm inbox relaunch. "
        "Conflicts: erpcrm conflicts list --dossier CODE.",
        _are_not_refused,
    ),
    InboxCheck(
        "changes_are_delivered",
        "Every change was told to the other systems: none was given up or forbidden, or waits for more than five minutes.",
        "List them: erpcrm work list --dossier CODE --event outbound; then erpcrm work requeue, "
        "or erpcrm work drop what is not to be told.",
        _are_delivered,
    ),
    InboxCheck(
        "records_keep_their_contract",
        "What the systems send has the fields, words and versions that the mapping knows.",
        "Map or accept the new field, add the word to the mapping, then erpcrm config apply.",
        _keep_their_contract,
    ),
    InboxCheck(
        "order_totals_reconcile",
        "The total of every order is the sum of its lines, taxes, shipping and fees.",
        "Compare the order with the shop: erpcrm inbox show MESSAGE --dossier CODE; correct it at the source.",
        _totals_reconcile,
        only_for="order",
    ),
)


def checks_of(entity: str) -> tuple[InboxCheck, ...]:
    """Return the checks of an entity."""
    return tuple(check for check in INBOX_CHECKS if check.only_for in (None, entity))
