"""The installation as a whole: is the state fresh, do the watchers run, was every tick accounted for, does it fit together.

Everything is computed when it is read, so that it alarms also when what it watches is dead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.checks import Metadata, Severity, Verdict
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.configuration import OnUncertain
from erpcrm_orchestration.domain.ledger import TickState
from erpcrm_orchestration.domain.mail import MailDraft
from erpcrm_orchestration.domain.watcher import WatcherState
from erpcrm_orchestration.services.webhook_status import faults_of
from erpcrm_orchestration.store import alert, configuration, ledger, mail, watcher
from erpcrm_orchestration.store.connection_state import stopped_connections, stopped_streams
from erpcrm_orchestration.store.engine import load_sql

SAMPLE = 20
MISSED_CAUSE = "ticks_missed"


@dataclass(frozen=True)
class InstallationCheck:
    """A fact about the whole installation; `recovery` tells a person what to do when it does not hold."""

    name: str
    description: str
    recovery: str
    judge: Callable[[sa.Connection, datetime], Verdict]


def _state_is_fresh(connection: sa.Connection, now: datetime) -> Verdict:
    rows = connection.execute(load_sql("stale_states"), {"now": now}).all()
    sample: Metadata = {
        row.dossier_code: row.last_refreshed_at.isoformat() if row.last_refreshed_at else "never" for row in rows[:SAMPLE]
    }
    return Verdict(not rows, "ERROR", {"stale": len(rows), **sample})


def _watchers_are_running(connection: sa.Connection, now: datetime) -> Verdict:
    found = [one for one in watcher.load(connection) if one.enabled]
    states: Metadata = {one.watcher_code: one.state(now).value for one in found}
    return Verdict(bool(found) and all(state == WatcherState.ON for state in states.values()), "ERROR", states)


def _ticks_are_accounted_for(connection: sa.Connection, now: datetime) -> Verdict:
    row = connection.execute(load_sql("tick_account"), {"now": now}).one()
    return Verdict(
        row.missed == 0 and row.overdue == 0,
        "ERROR" if row.overdue else "WARN",
        {
            "missed_last_day": row.missed,
            "unclosed_for_ten_minutes": row.overdue,
            "ran_last_day": row.ran,
            "skipped_last_day": row.skipped,
        },
    )


def _mails_have_left(connection: sa.Connection, now: datetime) -> Verdict:
    row = connection.execute(load_sql("mail_account"), {"now": now}).one()
    return Verdict(
        row.uncertain == 0 and row.failed == 0 and row.waiting == 0,
        "WARN",
        {"uncertain": row.uncertain, "failed_last_week": row.failed, "waiting_for_an_hour": row.waiting},
    )


def _configuration_is_consistent(connection: sa.Connection, _now: datetime) -> Verdict:
    problems = [row.problem for row in connection.execute(load_sql("configuration_problems"))]
    return Verdict(
        not problems, "ERROR", {"problems": len(problems), **{str(i): text for i, text in enumerate(problems[:SAMPLE], 1)}}
    )


def _webhooks_are_active(connection: sa.Connection, now: datetime) -> Verdict:
    faults = [one for found in faults_of(connection, now).values() for one in found]
    is_error = any(one.is_error for one in faults)
    sample: Metadata = {one.connection_code: one.found for one in faults[:SAMPLE]}
    return Verdict(not faults, "ERROR" if is_error else "WARN", {"connections": len(faults), **sample})


def _connections_are_open(connection: sa.Connection, _now: datetime) -> Verdict:
    connections, streams = stopped_connections(connection), stopped_streams(connection)
    stopped = connections | {f"{code} {stream}": why for (code, stream), why in streams.items()}
    counts: Metadata = {"connections": len(connections), "streams": len(streams)}
    return Verdict(not stopped, "ERROR", {**counts, **dict(sorted(stopped.items())[:SAMPLE])})


INSTALLATION_CHECKS: tuple[InstallationCheck, ...] = (
    InstallationCheck(
        "interaction_state_is_fresh",
        "Every active dossier inside its window was refreshed within two of its periods.",
        "See that the daemon runs and the schedule is on: erpcrm doctor; then erpcrm refresh the stale dossiers.",
        _state_is_fresh,
    ),
    InstallationCheck(
        "watchers_are_running",
        "Every enabled watcher has looked within two of its poll intervals.",
        "Turn the sensor of the watcher on in the Dagster UI, or start the daemon: erpcrm up.",
        _watchers_are_running,
    ),
    InstallationCheck(
        "ticks_are_accounted_for",
        "No tick of the last day was missed, and none is open for longer than ten minutes.",
        "Look at mart.tick for the reasons; missed ticks are made up for by the process's policy or by erpcrm refresh.",
        _ticks_are_accounted_for,
    ),
    InstallationCheck(
        "mails_have_left",
        "No mail is in doubt, failed within a week, or waits for an hour beyond its time.",
        "List them: erpcrm mails list --state UNCERTAIN; release what should be sent again: erpcrm mails release ID.",
        _mails_have_left,
    ),
    InstallationCheck(
        "configuration_is_consistent",
        "What the tables hold fits together: groups, templates, delays, common dossier.",
        "Correct the configuration folder and apply it: erpcrm config check, then erpcrm config apply.",
        _configuration_is_consistent,
    ),
    InstallationCheck(
        "webhooks_are_active",
        "Every connection that expects webhooks is sent them, and its list of webhooks was read within an hour.",
        "See how they stand: erpcrm connections list; turn the webhook on again in the system.",
        _webhooks_are_active,
    ),
    InstallationCheck(
        "connections_are_open",
        "No connection and no stream is stopped.",
        "See why: erpcrm connections list; remove the cause, then erpcrm connections resume CODE --reason TEXT.",
        _connections_are_open,
    ),
)


def judge(engine: sa.Engine, name: str, *, clock: Clock) -> Verdict:
    """Return the verdict of one installation check, and keep its alert."""
    check = next(one for one in INSTALLATION_CHECKS if one.name == name)
    now = clock.now()
    with engine.begin() as connection:
        verdict = check.judge(connection, now)
        severity: Severity = verdict.severity
        failing = [] if verdict.passed else [alert.Failing(None, name, severity, verdict.metadata, check.recovery)]
        alert.record(connection, failing, dossier_codes=(), check_names=[name], now=now)
    return verdict


def alert_missed_ticks(engine: sa.Engine, *, clock: Clock) -> int:
    """Queue one mail to the administrator about every tick that was missed since the last one; return how many ticks."""
    now = clock.now()
    with engine.begin() as connection:
        missed = ledger.take_unalerted(connection, now=now)
        if not missed:
            return 0
        settings = configuration.load_general(connection).mail
        total = sum(one.count for one in missed)
        lines = [
            f"{one.dossier_code}: {one.count} ({one.first_due_at.isoformat()} - {one.last_due_at.isoformat()})"
            for one in missed[:SAMPLE]
        ]
        text = "\n".join([f"{total} ticks of {len(missed)} dossiers were due while nothing ran:", "", *lines])
        draft = MailDraft(
            dossier_code=None,
            cause=MISSED_CAUSE,
            idempotency_key=f"{MISSED_CAUSE}/{hashlib.sha256(f'{now.isoformat()}{text}'.encode()).hexdigest()[:32]}",
            subject=f"erpcrm: {total} {TickState.MISSED.lower()} ticks",
            text=text,
            html=None,
            recipients=(settings.administrator,),
            on_uncertain=OnUncertain.RESEND,
            test_mode=False,
            not_before=now,
        )
        mail.enqueue(connection, [draft], now=now)
        return total
