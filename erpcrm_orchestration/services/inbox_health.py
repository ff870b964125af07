"""The checks of the inboxes: judged after every round, kept as alerts, told to Dagster when something changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.checks import Verdict
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.inbox_health import INBOX_CHECKS, InboxHealth, checks_of
from erpcrm_orchestration.store import alert
from erpcrm_orchestration.store.inbox_health import count_rows, load_health, open_alerts


@dataclass(frozen=True)
class Judged:
    """How an entity of a dossier stands, with the verdict of each of its checks."""

    health: InboxHealth
    verdicts: dict[str, Verdict]


def alert_name(entity: str, check: str) -> str:
    """Return the name of a check's alert; the same check of two entities has two alerts."""
    return f"{entity}/{check}"


ALERT_NAMES = tuple(alert_name(entity, check.name) for entity in ENTITIES for check in checks_of(entity))
RECOVERY = {check.name: check.recovery for check in INBOX_CHECKS}


def judge(
    engine: sa.Engine, dossier_codes: Sequence[str], worked: Collection[tuple[str, str]], *, clock: Clock
) -> dict[tuple[str, str], Judged]:
    """Judge all entities of these dossiers and keep the alerts; return those to be told of.

    Told is of what was `worked` on, (dossier, entity), and of whose verdicts changed.
    """
    now = clock.now()
    with engine.begin() as connection:
        found = load_health(connection, dossier_codes)
        judged = {
            (code, entity): _judged(found.get((code, entity), InboxHealth(code, entity)), now)
            for code in dossier_codes
            for entity in ENTITIES
        }
        before = open_alerts(connection, dossier_codes, ALERT_NAMES)
        failing = [
            alert.Failing(code, alert_name(entity, name), verdict.severity, verdict.metadata, RECOVERY[name])
            for (code, entity), one in judged.items()
            for name, verdict in one.verdicts.items()
            if not verdict.passed
        ]
        alert.record(connection, failing, dossier_codes=dossier_codes, check_names=ALERT_NAMES, now=now)
        after = {(one.dossier_code or "", one.check_name) for one in failing}
        changed = {(code, name.partition("/")[0]) for code, name in before ^ after}
        told = {key: judged[key] for key in judged if key in worked or key in changed}
        return {key: replace(one, health=replace(one.health, rows=count_rows(connection, *key))) for key, one in told.items()}


def _judged(health: InboxHealth, now: datetime) -> Judged:
    return Judged(health, {check.name: check.judge(health, now) for check in checks_of(health.entity)})
