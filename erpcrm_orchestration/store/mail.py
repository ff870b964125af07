"""The mail outbox: rows are written with their cause, claimed by one sender, and closed with what the server said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.configuration import OnUncertain
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.mail import (
    GIVE_UP_AFTER,
    INTERACTIONS_ALERT,
    LONGEST_DELAY_MIN,
    RECIPIENTS_PER_ATTEMPT,
    RESENT_AT_MOST,
    RETRY_DELAYS_MIN,
    Answer,
    ClaimedMail,
    MailDraft,
    MailState,
    RecipientState,
    Settlement,
    retry_delay,
)
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.audit import AuditRow, record_changes
from erpcrm_orchestration.store.engine import load_sql

NO_RECIPIENTS = "no recipients"
SENDER_ENDED = "the process that was sending it ended before an answer was written"

mail = schema.mail
recipient = schema.mail_recipient

_resent = sa.and_(
    mail.c.state == MailState.UNCERTAIN,
    mail.c.on_uncertain == OnUncertain.RESEND,
    mail.c.uncertain_attempts <= RESENT_AT_MOST,
)
_leaves = sa.or_(mail.c.state == MailState.PENDING, _resent)


def enqueue(connection: sa.Connection, drafts: Sequence[MailDraft], *, now: datetime) -> list[int]:
    """Store the drafts whose idempotency key is new, and return the ids of these, in the caller's transaction.

    A draft without recipients is stored as SKIPPED, one that is held or has only refused recipients as FAILED, each with
    its reason.
    """
    first = {draft.idempotency_key: draft for draft in reversed(drafts)}
    unique = [draft for draft in drafts if first[draft.idempotency_key] is draft]
    if not unique:
        return []
    parameters = _mail_columns(unique) | _recipient_columns(unique) | {"now": now}
    return list(connection.scalars(load_sql("enqueue_mails"), parameters))


def has_open(connection: sa.Connection, dossier_codes: Sequence[str], cause: str) -> set[str]:
    """Return the dossiers that have a mail of this cause which will still leave by itself and has reached nobody yet."""
    waiting = sa.or_(_leaves, mail.c.state == MailState.SENDING)
    statement = (
        sa.select(mail.c.dossier_code)
        .distinct()
        .where(mail.c.dossier_code == sa.any_(sa.literal(list(dossier_codes), sa.ARRAY(sa.Text))))
        .where(mail.c.cause == cause, waiting, mail.c.sent_at.is_(None))
    )
    return set(connection.scalars(statement))


def count_due(connection: sa.Connection, *, now: datetime, dead_before: datetime) -> int:
    """Return how many mails a delivery at `now` would handle, those of a sender that ended included."""
    dead = sa.and_(mail.c.state == MailState.SENDING, mail.c.claimed_at < dead_before)
    statement = sa.select(sa.func.count()).select_from(mail).where(sa.or_(sa.and_(_leaves, mail.c.not_before <= now), dead))
    return connection.scalar(statement) or 0


def recover_dead(connection: sa.Connection, *, now: datetime, dead_before: datetime) -> list[int]:
    """Mark what a sender that ended left behind as UNCERTAIN: whether it was accepted is not known."""
    statement = (
        sa.update(mail)
        .where(mail.c.state == MailState.SENDING, mail.c.claimed_at < dead_before)
        .values(
            state=MailState.UNCERTAIN,
            claimed_at=None,
            uncertain_attempts=mail.c.uncertain_attempts + 1,
            not_before=now,
            last_error=SENDER_ENDED,
        )
        .returning(mail.c.mail_id)
    )
    return list(connection.scalars(statement))


def spool(connection: sa.Connection, *, now: datetime, opening: datetime) -> int:
    """Let everything that is due wait until the calendar opens, and return how many that are."""
    statement = sa.update(mail).where(_leaves, mail.c.not_before <= now).values(not_before=opening)
    return connection.execute(statement).rowcount


def claim(connection: sa.Connection, *, now: datetime) -> ClaimedMail | None:
    """Mark the next due mail as SENDING and return it; None when nothing is due."""
    row = connection.execute(load_sql("claim_mail"), {"now": now, "resent_at_most": RESENT_AT_MOST}).one_or_none()
    if row is None:
        return None
    people = connection.execute(
        sa.select(recipient.c.address, recipient.c.state)
        .where(recipient.c.mail_id == row.mail_id)
        .order_by(recipient.c.address)
    ).all()
    pending = tuple(person.address for person in people if person.state == RecipientState.PENDING)
    return ClaimedMail(
        mail_id=row.mail_id,
        idempotency_key=row.idempotency_key,
        subject=row.subject,
        text=row.text,
        html=row.html,
        on_uncertain=OnUncertain(row.on_uncertain),
        attempts=row.attempts,
        uncertain_attempts=row.uncertain_attempts,
        recipients=tuple(person.address for person in people if person.state != RecipientState.REFUSED),
        pending=pending[:RECIPIENTS_PER_ATTEMPT],
        accepted_before=row.sent_at is not None,
        left=len(pending[RECIPIENTS_PER_ATTEMPT:]),
    )


def close_attempt(connection: sa.Connection, claimed: ClaimedMail, outcome: Settlement, *, now: datetime) -> bool:
    """Write what an attempt brought, in one transaction with the throttle of the anomaly.

    False, and nothing written, when another sender has taken the mail over since.
    """
    uncertain = outcome.state is MailState.UNCERTAIN
    wait = outcome.retry_after or (retry_delay(claimed.attempts) if uncertain else None) or timedelta(0)
    values: dict[str, Any] = {
        "state": outcome.state,
        "claimed_at": None,
        "not_before": now + wait,
        "last_error": outcome.reason,
        "uncertain_attempts": claimed.uncertain_attempts + (1 if uncertain else 0),
    }
    if outcome.accepted:
        values["sent_at"] = sa.func.coalesce(mail.c.sent_at, now)
    ours = sa.and_(mail.c.mail_id == claimed.mail_id, mail.c.attempts == claimed.attempts)
    still_ours = mail.c.state.in_([MailState.SENDING, MailState.UNCERTAIN])
    if connection.execute(sa.update(mail).where(ours, still_ours).values(values)).rowcount == 0:
        return False
    _answer(connection, claimed.mail_id, outcome.answers, now)
    if outcome.accepted and not claimed.accepted_before:
        connection.execute(load_sql("note_alert_mail"), {"mail_id": claimed.mail_id, "cause": INTERACTIONS_ALERT, "at": now})
    return True


def defer_due(connection: sa.Connection, *, now: datetime, reason: str) -> tuple[int, int]:
    """Let every due mail wait because no server can be reached; return how many wait and how many were given up."""
    rows = connection.execute(
        load_sql("defer_mails"),
        {
            "now": now,
            "reason": reason,
            "resent_at_most": RESENT_AT_MOST,
            "give_up_after": GIVE_UP_AFTER,
            "delays_min": list(RETRY_DELAYS_MIN),
            "longest_delay_min": LONGEST_DELAY_MIN,
        },
    ).all()
    given_up = sum(row.given_up for row in rows)
    return len(rows) - given_up, given_up


def list_mails(
    connection: sa.Connection, *, dossier_code: str | None = None, state: MailState | None = None, limit: int = 100
) -> list[dict[str, object]]:
    """Return the newest mails first, without their texts."""
    shown = (column for column in mail.c if column.name not in {"text", "html"})
    statement = sa.select(*shown).order_by(mail.c.mail_id.desc()).limit(limit)
    if dossier_code is not None:
        statement = statement.where(mail.c.dossier_code == dossier_code)
    if state is not None:
        statement = statement.where(mail.c.state == state)
    return [{name: row[name] for name in row} for row in connection.execute(statement).mappings()]


def read_mail(connection: sa.Connection, mail_id: int) -> tuple[sa.RowMapping, list[sa.RowMapping]]:
    """Return a mail and its recipients; raise InputError E-MAIL-091 when there is none of this number."""
    row = connection.execute(sa.select(mail).where(mail.c.mail_id == mail_id)).mappings().one_or_none()
    if row is None:
        raise InputError("E-MAIL-091", f"mail {mail_id}", "there is none of this number", "see `erpcrm mails list`")
    people = sa.select(recipient).where(recipient.c.mail_id == mail_id).order_by(recipient.c.address)
    return row, list(connection.execute(people).mappings())


def release(connection: sa.Connection, mail_id: int, *, now: datetime, actor: str) -> None:
    """Let a mail that was held or given up leave once more, to those who do not have it, and write who decided that.

    Raises InputError E-MAIL-091 (no such mail), 092 (not in a state that waits for a person), 093 (nobody left to send to).
    """
    row, people = read_mail(connection, mail_id)
    connection.execute(sa.select(mail.c.mail_id).where(mail.c.mail_id == mail_id).with_for_update())
    held = mail.c.state.in_([MailState.FAILED, MailState.UNCERTAIN])
    released = connection.execute(
        sa.update(mail)
        .where(mail.c.mail_id == mail_id, held)
        .values(state=MailState.PENDING, attempts=0, uncertain_attempts=0, not_before=now, last_error=None)
    )
    if released.rowcount == 0:
        raise InputError("E-MAIL-092", f"mail {mail_id}", f"is {row['state']}", "only FAILED and UNCERTAIN mails are released")
    if all(person["state"] == RecipientState.ACCEPTED for person in people):
        raise InputError("E-MAIL-093", f"mail {mail_id}", "has nobody left to be sent to", "correct the group for the next one")
    connection.execute(
        sa.update(recipient)
        .where(recipient.c.mail_id == mail_id, recipient.c.state == RecipientState.REFUSED)
        .values(state=RecipientState.PENDING)
    )
    before = {"state": row["state"], "attempts": row["attempts"], "last_error": row["last_error"]}
    change = AuditRow("mail", str(mail_id), "release", before, {"state": MailState.PENDING.value})
    record_changes(connection, [change], now=now, actor=actor)


def _answer(connection: sa.Connection, mail_id: int, answers: Sequence[Answer], now: datetime) -> None:
    connection.execute(
        load_sql("answer_recipients"),
        {
            "mail_id": mail_id,
            "at": now,
            "addresses": [answer.address for answer in answers],
            "states": [answer.state.value for answer in answers],
            "answers": [answer.text for answer in answers],
        },
    )


def _mail_columns(drafts: Sequence[MailDraft]) -> dict[str, list[Any]]:
    firsts = [_first_state(draft) for draft in drafts]
    return {
        "dossier_codes": [draft.dossier_code for draft in drafts],
        "causes": [draft.cause for draft in drafts],
        "keys": [draft.idempotency_key for draft in drafts],
        "subjects": [draft.subject for draft in drafts],
        "texts": [draft.text for draft in drafts],
        "htmls": [draft.html for draft in drafts],
        "states": [state.value for state, _ in firsts],
        "policies": [draft.on_uncertain.value for draft in drafts],
        "test_modes": [draft.test_mode for draft in drafts],
        "not_befores": [draft.not_before for draft in drafts],
        "reasons": [reason for _, reason in firsts],
    }


def _first_state(draft: MailDraft) -> tuple[MailState, str | None]:
    if draft.held:
        return MailState.FAILED, draft.held
    if draft.recipients:
        return MailState.PENDING, None
    if draft.refused:
        return MailState.FAILED, f"no recipient left: {draft.refused[0].text}"
    return MailState.SKIPPED, NO_RECIPIENTS


def _recipient_columns(drafts: Sequence[MailDraft]) -> dict[str, list[Any]]:
    waiting = [
        (draft.idempotency_key, address, RecipientState.PENDING.value, None) for draft in drafts for address in draft.recipients
    ]
    refused = [
        (draft.idempotency_key, answer.address, answer.state.value, answer.text) for draft in drafts for answer in draft.refused
    ]
    names = ("recipient_keys", "addresses", "recipient_states", "answers")
    rows = waiting + refused
    return {name: [row[position] for row in rows] for position, name in enumerate(names)}
