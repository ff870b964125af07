"""Refresh the interaction state of dossiers: bring the input up to date, evaluate, record alerts, queue and send mails."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from erpcrm_orchestration.domain.checks import (
    DOSSIER_CHECKS,
    SOURCE_IS_REACHABLE,
    SOURCE_RECOVERY,
    SYNCHRONISATION_IS_ON_TIME,
    Verdict,
)
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.configuration import MailGroup, MailSettings, MailTemplate, OnUncertain
from erpcrm_orchestration.domain.errors import ErpcrmError, FenceError
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.ledger import TickState
from erpcrm_orchestration.domain.mail import MailDraft
from erpcrm_orchestration.domain.supervision import (
    ALERT_CAUSE,
    PROCESS_CODE,
    RECOVERY_CAUSE,
    WORK,
    Evaluations,
    InteractionState,
)
from erpcrm_orchestration.services.intake import take_in
from erpcrm_orchestration.services.leases import Held, hold
from erpcrm_orchestration.services.mail import compose_alert, deliver_due
from erpcrm_orchestration.store import alert, configuration, lease, ledger, mail, supervision

CHECK_NAMES = (*(check.name for check in DOSSIER_CHECKS), SOURCE_IS_REACHABLE)


@dataclass(frozen=True)
class Refresh:
    """`notify` False evaluates without mailing (a person asked); `run_id` stands in every row written."""

    clock: Clock
    environment: Mapping[str, str]
    run_id: str = field(default_factory=lambda: f"cli-{uuid.uuid4()}")
    notify: bool = True


def refresh(engine: sa.Engine, dossier_codes: Iterable[str], job: Refresh) -> Evaluations:
    """Refresh these dossiers, then send the mails that are due; one that fails or is held elsewhere stops no other."""
    codes = sorted(set(dossier_codes))
    failpoint("refresh_before_lease")
    skipped = _not_evaluated(engine, codes)
    with hold(engine, [code for code in codes if code not in skipped], WORK, holder=job.run_id, clock=job.clock) as held:
        skipped |= {code: f"held by {holder}" for code, holder in held.refused.items()}
        failpoint("refresh_after_lease")
        failures = {
            code: result.failure
            for code, result in take_in(
                engine, sorted(held.epochs), clock=job.clock, environment=job.environment, run_id=job.run_id
            ).items()
            if result.failure
        }
        failpoint("refresh_after_intake")
        result = _evaluate(engine, held, skipped, failures, job)
    failpoint("refresh_before_mail")
    deliver_due(engine, clock=job.clock, environment=job.environment)
    return result


def _not_evaluated(engine: sa.Engine, codes: Sequence[str]) -> dict[str, str]:
    with engine.connect() as connection:
        activity = supervision.activity_of(connection, codes)
    return {
        code: "the dossier is inactive" if code in activity else "no such dossier" for code in codes if not activity.get(code)
    }


def _evaluate(
    engine: sa.Engine, held: Held, skipped: dict[str, str], failures: dict[str, ErpcrmError], job: Refresh
) -> Evaluations:
    """Write states, history, alerts, mails and ledger of all dossiers in one transaction under the fence."""
    now = job.clock.now()
    with engine.begin() as connection:
        ours = lease.lock_held(connection, held.epochs, WORK, holder=job.run_id)
        failures |= {code: lease.fenced(code, WORK) for code in held.epochs if code not in ours}
        epochs = {code: epoch for code, epoch in held.epochs.items() if code not in failures}
        states = supervision.evaluate(connection, epochs, now=now, run_id=job.run_id)
        failpoint("refresh_after_state")
        _record_alerts(connection, states, failures, ours, now=now)
        if job.notify:
            _queue_mails(connection, states, now=now)
        failpoint("refresh_before_commit")
        _close_ledger(connection, Evaluations(states, skipped, failures), job, now=now)
    failpoint("refresh_after_commit")
    return Evaluations(states, skipped, failures)


def verdicts(state: InteractionState) -> dict[str, Verdict]:
    """Return the result of every check of a dossier that was evaluated."""
    found = {check.name: check.judge(state) for check in DOSSIER_CHECKS}
    found[SOURCE_IS_REACHABLE] = Verdict(True)
    return found


def failure_verdict(error: ErpcrmError) -> Verdict:
    """Return the result of `source_is_reachable` for a dossier whose row was left untouched."""
    return Verdict(False, "ERROR", {"error": str(error)})


def _record_alerts(
    connection: sa.Connection,
    states: Mapping[str, InteractionState],
    failures: Mapping[str, ErpcrmError],
    ours: set[str],
    *,
    now: datetime,
) -> None:
    failing = [
        alert.Failing(code, check.name, verdict.severity, verdict.metadata, check.recovery)
        for code, state in states.items()
        for check in DOSSIER_CHECKS
        if not (verdict := check.judge(state)).passed
    ]
    alert.record(connection, failing, dossier_codes=states, check_names=CHECK_NAMES, now=now)
    down = [
        alert.Failing(code, SOURCE_IS_REACHABLE, "ERROR", failure_verdict(error).metadata, SOURCE_RECOVERY)
        for code, error in failures.items()
        if code in ours
    ]
    if down:
        alert.record(
            connection, down, dossier_codes=[one.dossier_code or "" for one in down], check_names=[SOURCE_IS_REACHABLE], now=now
        )


def _queue_mails(connection: sa.Connection, states: Mapping[str, InteractionState], *, now: datetime) -> None:
    due = [state for state in states.values() if state.mail_due and (state.has_recipients or state.test_mode)]
    quiet = alert.snoozed(connection, [state.dossier_code for state in due], SYNCHRONISATION_IS_ON_TIME, now=now)
    due = [state for state in due if state.dossier_code not in quiet]
    recovered = [state for state in states.values() if state.recovered and state.recovery_template]
    if not due and not recovered:
        return
    settings = configuration.load_general(connection).mail
    groups = configuration.load_mail_groups(connection)
    templates = configuration.load_mail_templates(connection)
    drafts = [_draft(state, ALERT_CAUSE, state.mail_template, groups, templates, settings, now) for state in due]
    drafts += [
        _draft(state, RECOVERY_CAUSE, state.recovery_template or "", groups, templates, settings, now) for state in recovered
    ]
    mail.enqueue(connection, drafts, now=now)


def _draft(
    state: InteractionState,
    cause: str,
    template_code: str,
    groups: Mapping[str, MailGroup],
    templates: Mapping[str, MailTemplate],
    settings: MailSettings,
    now: datetime,
) -> MailDraft:
    group = groups.get(state.mail_group, MailGroup(state.mail_group))
    return compose_alert(
        templates[template_code],
        state.for_people(),
        dossier_code=state.dossier_code,
        cause=cause,
        idempotency_key=f"{cause}/{state.dossier_code}/{now.isoformat()}",
        recipients=tuple(member.address for member in group.members),
        on_uncertain=OnUncertain(state.on_uncertain),
        test_mode=state.test_mode,
        settings=settings,
        now=now,
    )


def _close_ledger(connection: sa.Connection, result: Evaluations, job: Refresh, *, now: datetime) -> None:
    """Close the ticks and requests of every dossier that was asked for, in the transaction that wrote the states."""
    # Whoever took a lease over closes its ticks: a fenced writer says nothing.
    failed = {code: str(error) for code, error in result.failures.items() if not isinstance(error, FenceError)}
    ran = [*result.states, *failed]
    ledger.close_ticks(connection, ran, PROCESS_CODE, state=TickState.RAN, run_id=job.run_id, now=now, reasons=failed)
    ledger.close_ticks(
        connection,
        list(result.skipped),
        PROCESS_CODE,
        state=TickState.SKIPPED,
        run_id=job.run_id,
        now=now,
        reasons=result.skipped,
    )
    ledger.close_requests(connection, [*ran, *result.skipped], run_id=job.run_id, now=now, failures=failed | result.skipped)


def mark_reported(engine: sa.Engine, dossier_codes: Sequence[str], job: Refresh) -> None:
    """Remember that Dagster was told of these rows as this refresh wrote them."""
    with engine.begin() as connection:
        supervision.mark_reported(connection, dossier_codes, now=job.clock.now(), run_id=job.run_id)
