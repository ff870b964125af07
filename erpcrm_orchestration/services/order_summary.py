"""The mail that tells the requester how an order ended: counts that add up, the first errors, links."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from html import escape

import sqlalchemy as sa

from erpcrm_orchestration.domain.configuration import OnUncertain
from erpcrm_orchestration.domain.mail import MailDraft
from erpcrm_orchestration.domain.mail_calendar import next_opening
from erpcrm_orchestration.domain.routine import Order, Outcome
from erpcrm_orchestration.languages import Language, Translator, known
from erpcrm_orchestration.services.mail import checked, closed_days
from erpcrm_orchestration.store import mail as outbox
from erpcrm_orchestration.store.configuration import load_general
from erpcrm_orchestration.store.person import contact_of
from erpcrm_orchestration.store.routine import list_results

CAUSE = "order_summary"
MOST_ERRORS = 20


def summarise(connection: sa.Connection, order: Order, environment: Mapping[str, str], *, now: datetime) -> None:
    """Store the summary of an order that ended, in the transaction that ends it; once for each attempt that came to an end.

    It goes to the address of the order, else to the requester's; without any it is kept as SKIPPED, with its text.
    """
    if not order.summary:
        return
    general = load_general(connection)
    address, language = contact_of(connection, order.requested_by)
    say = Translator(known(language or general.language) or Language.EN)
    errors = [row["message"] for row in list_results(connection, order, limit=MOST_ERRORS, outcome=Outcome.ERROR)]
    lines = summary_lines(order, errors, say, environment)
    people, refused = checked([one for one in (order.email or address,) if one])
    _ = say.gettext
    draft = MailDraft(
        dossier_code=order.dossier_code,
        cause=CAUSE,
        idempotency_key=f"{CAUSE}:{order.order_number}:{order.attempt}",
        subject=_("Order {number}: {program}", number=order.order_number, program=order.program),
        text="\n".join(lines) + "\n",
        html="".join(f"<p>{escape(line)}</p>\n" for line in lines),
        recipients=people,
        on_uncertain=OnUncertain.RESEND,
        test_mode=False,
        not_before=next_opening(general.mail.calendar, now, closed_days(general.mail.calendar.holidays_of)),
        refused=refused,
    )
    outbox.enqueue(connection, [draft], now=now)


def summary_lines(order: Order, errors: list[str], say: Translator, environment: Mapping[str, str]) -> list[str]:
    """Return what the mail says, a line each."""
    _ = say.gettext
    counts = order.counts
    lines = [
        _("Considered: {number}", number=say.number(counts.considered)),
        _("Changed: {number}", number=say.number(counts.changed)),
        _("Unchanged: {number}", number=say.number(counts.unchanged)),
        _("Skipped: {number}", number=say.number(counts.skipped)),
        _("Errors: {number}", number=say.number(counts.errors)),
    ]
    if order.failure:
        lines.append(order.failure)
    return [*lines, *errors]
