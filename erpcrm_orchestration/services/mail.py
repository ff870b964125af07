"""Mails from their cause to their recipients: composed, spooled, sent once, and answered for.

A mail is marked SENDING, and that is committed, before the server sees it; what the server said is committed after. A
process that ends between both leaves a row that the next delivery finds: it is UNCERTAIN, and held or sent once more as its
process says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from functools import cache
from time import monotonic

import sqlalchemy as sa

from erpcrm_orchestration.clients import smtp
from erpcrm_orchestration.domain import secret, template
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.configuration import MailSettings, MailTemplate, OnUncertain
from erpcrm_orchestration.domain.errors import ErpcrmError, InputError
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.mail import (
    Answer,
    ClaimedMail,
    DeliveryReport,
    MailDraft,
    MailState,
    RecipientState,
    Settlement,
    Transmission,
    merged,
    settle,
)
from erpcrm_orchestration.domain.mail_calendar import next_opening
from erpcrm_orchestration.store import mail as outbox
from erpcrm_orchestration.store.configuration import load_general

TEST_MARK = "[TEST] "
LONGEST_DELIVERY_S = 120.0


def compose_alert(  # noqa: PLR0913 - a mail has this many parts, and each is named by its caller
    mail_template: MailTemplate,
    values: Mapping[str, template.Value],
    *,
    dossier_code: str | None,
    cause: str,
    idempotency_key: str,
    recipients: Iterable[str],
    on_uncertain: OnUncertain,
    test_mode: bool,
    settings: MailSettings,
    now: datetime,
) -> MailDraft:
    """Return the mail of a process: rendered, its addresses checked, and not before the calendar is open.

    In test mode it goes to the administrator alone and says so in its subject. Addresses that are none are refused one by
    one; more than `settings.max_recipients` hold the mail for a person. Raises InputError when the texts cannot be rendered.
    """
    wanted = [settings.administrator] if test_mode else merged(recipients)
    people, refused = checked(wanted)
    where = f"mail template {mail_template.template_code}"
    subject = template.render(mail_template.subject, values, part="subject", where=f"{where} subject")
    html = mail_template.html
    return MailDraft(
        dossier_code=dossier_code,
        cause=cause,
        idempotency_key=idempotency_key,
        subject=f"{TEST_MARK}{subject}" if test_mode else subject,
        text=template.render(mail_template.text, values, part="text", where=f"{where} text"),
        html=None if html is None else template.render(html, values, part="html", where=f"{where} html"),
        recipients=people,
        on_uncertain=on_uncertain,
        test_mode=test_mode,
        not_before=next_opening(settings.calendar, now, closed_days(settings.calendar.holidays_of)),
        refused=refused,
        held=_too_many(len(people), settings.max_recipients),
    )


def checked(addresses: Iterable[str]) -> tuple[tuple[str, ...], tuple[Answer, ...]]:
    """Return the addresses that are one, each person once, and those that are refused with the reason."""
    people = []
    refused: list[Answer] = []
    for address in addresses:
        try:
            people.append(smtp.parse_address(address, where="recipient").shown)
        except InputError as error:
            refused.append(Answer(address, RecipientState.REFUSED, str(error)))
    return merged(people), tuple(refused)


def due(connection: sa.Connection, now: datetime) -> int:
    """Return how many mails a delivery would handle now."""
    settings = load_general(connection).mail
    return outbox.count_due(connection, now=now, dead_before=_dead_before(settings, now))


def deliver_due(
    engine: sa.Engine, *, clock: Clock, environment: Mapping[str, str], longest_s: float = LONGEST_DELIVERY_S
) -> DeliveryReport:
    """Send every mail that is due through one connection, and return what became of them.

    A server that is down, refuses or answers slowly is no exception: the rows say it and are tried again. No new mail is
    begun after `longest_s` seconds, so that a slow server delays nobody; the rest leaves with the next delivery.
    """
    patience = Patience(longest_s)
    with engine.begin() as connection:
        settings = load_general(connection).mail
        now = clock.now()
        uncertain = len(outbox.recover_dead(connection, now=now, dead_before=_dead_before(settings, now)))
        waiting = outbox.count_due(connection, now=now, dead_before=_dead_before(settings, now))
    if not waiting:
        return DeliveryReport(uncertain=uncertain)
    try:
        report = _deliver(engine, settings, clock, environment, patience)
    except ErpcrmError as error:
        report = _defer(engine, clock, str(error))
    return _sum(report, DeliveryReport(uncertain=uncertain))


class Patience:
    """Seconds that a delivery may take, by the machine's own steady clock."""

    def __init__(self, seconds: float) -> None:
        self._until = monotonic() + seconds

    @property
    def is_left(self) -> bool:
        return monotonic() < self._until


def _deliver(
    engine: sa.Engine, settings: MailSettings, clock: Clock, environment: Mapping[str, str], patience: Patience
) -> DeliveryReport:
    now = clock.now()
    opening = next_opening(settings.calendar, now, closed_days(settings.calendar.holidays_of))
    if opening > now:
        with engine.begin() as connection:
            return DeliveryReport(spooled=outbox.spool(connection, now=now, opening=opening))
    server = server_of(settings, environment)
    report = DeliveryReport()
    goes_on = True
    while goes_on:
        try:
            with smtp.connect(server) as session:
                batch, goes_on = _send_through(engine, session, settings, clock, patience)
        except ErpcrmError as error:
            return _sum(report, _defer(engine, clock, str(error)))
        report = _sum(report, batch)
    return report


def _send_through(
    engine: sa.Engine, session: smtp.SmtpSession, settings: MailSettings, clock: Clock, patience: Patience
) -> tuple[DeliveryReport, bool]:
    """Send what is due until nothing is left or the connection ends; True when another connection should be made."""
    report = DeliveryReport()
    while session.is_open and patience.is_left:
        claimed = _claim(engine, clock)
        if claimed is None:
            return report, False
        report = _sum(report, _send_one(engine, session, settings, claimed, clock))
    return report, patience.is_left


def server_of(settings: MailSettings, environment: Mapping[str, str]) -> smtp.SmtpServer:
    """Return the server of the settings with its secrets resolved; raise InputError E-CFG-046 or E-MAIL-097 for the port."""
    host = secret.resolve(settings.host, environment, where="general.mail.host")
    port = secret.resolve(settings.port, environment, where="general.mail.port")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise InputError("E-MAIL-097", "general.mail.port", f"{port!r} is not a port", "give a number from 1 to 65535")
    user, password = (
        None if value is None else secret.resolve(value, environment, where=f"general.mail.{name}")
        for name, value in (("user", settings.user), ("password", settings.password))
    )
    return smtp.SmtpServer(host, int(port), settings.security, settings.timeout_s, user, password)


@cache
def closed_days(country: str | None) -> Container[date]:
    """Return the public holidays of a country; raise InputError E-MAIL-098 when they are not known."""
    if country is None:
        return frozenset()
    import holidays  # noqa: PLC0415 - a tenth of a second in every process that sends no mail

    try:
        return holidays.country_holidays(country)
    except NotImplementedError as error:
        raise InputError(
            "E-MAIL-098", "mail calendar", f"no public holidays are known for {country!r}", "give an ISO 3166 country code"
        ) from error


def message_of(claimed: ClaimedMail, sender: smtp.Address, at: datetime) -> EmailMessage:
    """Return the message with a Message-ID made of its idempotency key, by which a second copy is recognised."""
    message = EmailMessage(policy=SMTP)
    message["From"] = _in_header(sender)
    people, _ = _addressed(claimed.recipients)
    message["To"] = [_in_header(person) for person in people]
    message["Subject"] = claimed.subject
    message["Date"] = format_datetime(at)
    digest = hashlib.sha256(claimed.idempotency_key.encode()).hexdigest()[:40]
    message["Message-ID"] = f"<{digest}@{sender.envelope.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(claimed.text)
    if claimed.html is not None:
        message.add_alternative(claimed.html, subtype="html")
    return message


def _in_header(address: smtp.Address) -> HeaderAddress:
    name, _, domain = address.envelope.rpartition("@")
    return HeaderAddress(username=name, domain=domain)


def _claim(engine: sa.Engine, clock: Clock) -> ClaimedMail | None:
    with engine.begin() as connection:
        claimed = outbox.claim(connection, now=clock.now())
        failpoint("mail_before_claim_commit")
    failpoint("mail_after_claim_commit")
    return claimed


def _send_one(
    engine: sa.Engine, session: smtp.SmtpSession, settings: MailSettings, claimed: ClaimedMail, clock: Clock
) -> DeliveryReport:
    failpoint("mail_before_send")
    sent = _transmit(session, settings, claimed, clock.now())
    failpoint("mail_after_send")
    outcome = settle(claimed, sent)
    with engine.begin() as connection:
        outbox.close_attempt(connection, claimed, outcome, now=clock.now())
        failpoint("mail_before_result_commit")
    failpoint("mail_after_result_commit")
    return _counted(outcome)


def _transmit(session: smtp.SmtpSession, settings: MailSettings, claimed: ClaimedMail, at: datetime) -> Transmission:
    """Send one mail; a mail that cannot be built is refused alone, so that the others go on."""
    try:
        sender = smtp.parse_address(settings.sender, where="general.mail.sender")
        people, refused = _addressed(claimed.pending)
        message = message_of(claimed, sender, at)

        def serialised(*, utf8: bool) -> bytes:
            return message.as_bytes(policy=SMTPUTF8 if utf8 else SMTP)

        if not people:
            return Transmission(refused)
        sent = session.send(sender, people, serialised)
        return replace(sent, answers=refused + sent.answers)
    except (ErpcrmError, ValueError) as error:
        reason = f"cannot be built: {error}"
        return Transmission(tuple(Answer(one, RecipientState.REFUSED, reason) for one in claimed.pending), reason=reason)


def _addressed(addresses: Iterable[str]) -> tuple[tuple[smtp.Address, ...], tuple[Answer, ...]]:
    """Return the parsed addresses, each under the name by which it is stored, and the refusals of those that are none."""
    people: list[smtp.Address] = []
    refused: list[Answer] = []
    for address in addresses:
        try:
            people.append(replace(smtp.parse_address(address, where="recipient"), shown=address))
        except InputError as error:
            refused.append(Answer(address, RecipientState.REFUSED, str(error)))
    return tuple(people), tuple(refused)


def _defer(engine: sa.Engine, clock: Clock, reason: str) -> DeliveryReport:
    with engine.begin() as connection:
        waiting, given_up = outbox.defer_due(connection, now=clock.now(), reason=reason)
    return DeliveryReport(retried=waiting, failed=given_up)


def _counted(outcome: Settlement) -> DeliveryReport:
    return DeliveryReport(
        sent=int(outcome.state is MailState.SENT),
        refused=outcome.refused,
        uncertain=int(outcome.state is MailState.UNCERTAIN),
        failed=int(outcome.state is MailState.FAILED),
        retried=int(outcome.state is MailState.PENDING and bool(outcome.retry_after)),
    )


def _sum(one: DeliveryReport, other: DeliveryReport) -> DeliveryReport:
    return DeliveryReport(
        one.sent + other.sent,
        one.spooled + other.spooled,
        one.refused + other.refused,
        one.uncertain + other.uncertain,
        one.failed + other.failed,
        one.retried + other.retried,
    )


def _dead_before(settings: MailSettings, now: datetime) -> datetime:
    return now - timedelta(seconds=2 * settings.timeout_s)


def _too_many(count: int, limit: int) -> str | None:
    if count <= limit:
        return None
    return str(
        InputError(
            "E-MAIL-088", "recipients", f"{count} where at most {limit} are allowed", "release the mail if this is meant"
        )
    )
