"""A mail and what became of it, as values: drafts, answers per recipient, when to try again and when to give up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from erpcrm_orchestration.domain.configuration import OnUncertain

INTERACTIONS_ALERT = "interactions_alert"
"""The cause of mails that tell an anomaly; their delivery is noted in the interaction state."""

RETRY_DELAYS_MIN = (1, 2, 5, 10, 20, 40)
LONGEST_DELAY_MIN = 60
GIVE_UP_AFTER = 54
"""Attempts; with the delays above this is two days, in which a mail server should be back."""

RESENT_AT_MOST = 1
"""How often an uncertain mail is sent again by itself: so that there is at most one extra."""


RECIPIENTS_PER_ATTEMPT = 100
"""What every server must take at once (RFC 5321, 4.5.3.1.8); more are asked in further attempts, without waiting."""


class MailState(StrEnum):
    """PENDING -> SENDING -> SENT, or back, or UNCERTAIN (the answer was lost), FAILED or SKIPPED."""

    PENDING = "PENDING"
    SENDING = "SENDING"
    SENT = "SENT"
    UNCERTAIN = "UNCERTAIN"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


class RecipientState(StrEnum):
    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    REFUSED = "REFUSED"


@dataclass(frozen=True)
class Answer:
    """What the server said about one recipient. PENDING asks for another attempt."""

    address: str
    state: RecipientState
    text: str


@dataclass(frozen=True)
class MailDraft:
    """A mail before it is stored. `idempotency_key` names the effect: a second draft with the same key is not stored.

    `refused` are recipients that no server is asked about, with the reason; `held` is why a person must release the mail first.
    """

    dossier_code: str | None
    cause: str
    idempotency_key: str
    subject: str
    text: str
    html: str | None
    recipients: tuple[str, ...]
    on_uncertain: OnUncertain
    test_mode: bool
    not_before: datetime
    refused: tuple[Answer, ...] = ()
    held: str | None = None


@dataclass(frozen=True)
class ClaimedMail:
    """A mail that this process alone may send now. `attempts` counts this one; `pending` are asked in it, `left` come after."""

    mail_id: int
    idempotency_key: str
    subject: str
    text: str
    html: str | None
    on_uncertain: OnUncertain
    attempts: int
    uncertain_attempts: int
    recipients: tuple[str, ...]
    pending: tuple[str, ...]
    accepted_before: bool
    left: int = 0


@dataclass(frozen=True)
class Transmission:
    """What one attempt brought. `uncertain`: the whole message was handed over and no answer came back."""

    answers: tuple[Answer, ...]
    uncertain: bool = False
    reason: str | None = None


@dataclass(frozen=True)
class Settlement:
    """What is written after an attempt: the next state, per-recipient answers, and when to try again if at all."""

    state: MailState
    answers: tuple[Answer, ...]
    retry_after: timedelta | None
    reason: str | None

    @property
    def accepted(self) -> bool:
        return any(answer.state is RecipientState.ACCEPTED for answer in self.answers)

    @property
    def refused(self) -> int:
        return sum(answer.state is RecipientState.REFUSED for answer in self.answers)


@dataclass(frozen=True)
class DeliveryReport:
    """Mails: `sent`, `spooled` until the calendar opens, `uncertain`, `failed`, `retried` later. `refused`: recipients."""

    sent: int = 0
    spooled: int = 0
    refused: int = 0
    uncertain: int = 0
    failed: int = 0
    retried: int = 0


def retry_delay(attempts: int) -> timedelta | None:
    """Return how long to wait after this many attempts, or None to give up."""
    if attempts >= GIVE_UP_AFTER:
        return None
    position = max(attempts, 1) - 1
    minutes = RETRY_DELAYS_MIN[position] if position < len(RETRY_DELAYS_MIN) else LONGEST_DELAY_MIN
    return timedelta(minutes=minutes)


def is_resent(on_uncertain: OnUncertain, uncertain_attempts: int) -> bool:
    """True when a mail whose answer was lost this often is sent again without a person."""
    return on_uncertain is OnUncertain.RESEND and uncertain_attempts <= RESENT_AT_MOST


def settle(mail: ClaimedMail, sent: Transmission) -> Settlement:
    """Return what an attempt means for the mail.

    SENT as soon as nobody is left to be asked and somebody has it; FAILED when nobody has it; UNCERTAIN when the answer was
    lost; otherwise PENDING for the rest, until the attempts are used up.
    """
    if sent.uncertain:
        return Settlement(MailState.UNCERTAIN, sent.answers, None, sent.reason)
    answers = sent.answers
    delay = retry_delay(mail.attempts)
    if delay is None:
        answers = tuple(_given_up(answer, mail.attempts) for answer in answers)
    if any(answer.state is RecipientState.PENDING for answer in answers):
        return Settlement(MailState.PENDING, answers, delay, sent.reason or _first_text(answers, RecipientState.PENDING))
    if mail.left:
        return Settlement(MailState.PENDING, answers, timedelta(0), None)
    if mail.accepted_before or any(answer.state is RecipientState.ACCEPTED for answer in answers):
        return Settlement(MailState.SENT, answers, None, _first_text(answers, RecipientState.REFUSED))
    reason = sent.reason or _first_text(answers, RecipientState.REFUSED) or "no recipient left"
    return Settlement(MailState.FAILED, answers, None, reason)


def merged(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses without those that only differ in case: one person gets one mail (89)."""
    first: dict[str, str] = {}
    for address in addresses:
        first.setdefault(address.casefold(), address)
    return tuple(first.values())


def _given_up(answer: Answer, attempts: int) -> Answer:
    if answer.state is not RecipientState.PENDING:
        return answer
    return Answer(answer.address, RecipientState.REFUSED, f"gave up after {attempts} attempts: {answer.text}")


def _first_text(answers: Sequence[Answer], state: RecipientState) -> str | None:
    return next((f"{answer.address}: {answer.text}" for answer in answers if answer.state is state), None)
