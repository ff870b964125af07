"""The mail that tells the requester how an order ended: counts that add up, the first errors, links."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from erpcrm_orchestration.domain.configuration import GeneralParameters, OnUncertain
from erpcrm_orchestration.domain.errors import one_line
from erpcrm_orchestration.domain.mail import MailDraft
from erpcrm_orchestration.domain.mail_calendar import next_opening
from erpcrm_orchestration.domain.routine import Order
from erpcrm_orchestration.languages import Language, Translator, known
from erpcrm_orchestration.routine_words import accounts_of_order, program_label, state_of_order
from erpcrm_orchestration.services.mail import checked, closed_days
from erpcrm_orchestration.services.programs import program_named
from erpcrm_orchestration.store import mail as outbox
from erpcrm_orchestration.store.configuration import load_general
from erpcrm_orchestration.store.order_remarks import remarks
from erpcrm_orchestration.store.person import contact_of

CAUSE = "order_summary"
MOST_SHOWN = 20
"""So many errors are shown, and so many remarks."""
BOARD_URL = "ERPCRM_BOARD_URL"


@dataclass(frozen=True)
class Told:
    """What a summary says: facts with their labels, then headed lists, then links with their labels."""

    facts: Sequence[tuple[str, str]]
    lists: Sequence[tuple[str, Sequence[str]]] = ()
    links: Sequence[tuple[str, str]] = ()
    language: str = field(default="en", kw_only=True)

    @property
    def text(self) -> str:
        lines = [f"{label}: {value}" for label, value in self.facts]
        for head, items in self.lists:
            lines += ["", head, *(f"- {item}" for item in items)]
        if self.links:
            lines += ["", *(f"{label}: {url}" for label, url in self.links)]
        return "\n".join(lines) + "\n"

    @property
    def html(self) -> str:
        rows = (f'<tr><th align="left">{escape(label)}</th><td>{escape(value)}</td></tr>' for label, value in self.facts)
        lists = (
            f"<h3>{escape(head)}</h3>\n<ul>\n" + "".join(f"<li>{escape(item)}</li>\n" for item in items) + "</ul>"
            for head, items in self.lists
        )
        links = (f'<p><a href="{escape(url)}">{escape(label)}</a></p>' for label, url in self.links)
        body = "\n".join(("<table>", *rows, "</table>", *lists, *links))
        return f'<html lang="{self.language}">\n<body>\n{body}\n</body>\n</html>\n'


def summarise(connection: sa.Connection, order: Order, environment: Mapping[str, str], *, now: datetime) -> None:
    """Store the summary of an order that ended, in the transaction that ends it; once for each attempt that came to an end.

    It goes to the address of the order, else to the requester's; without any it is kept as SKIPPED, with its text. One that
    cannot be composed is kept as FAILED with the reason: the order has ended whatever is said of it.
    """
    if not order.summary:
        return
    try:
        with connection.begin_nested():
            draft = _composed(connection, order, environment, now)
    except Exception as error:  # a lost connection meets the next statement
        draft = _not_composed(order, error, now)
    outbox.enqueue(connection, [draft], now=now)


def _composed(connection: sa.Connection, order: Order, environment: Mapping[str, str], now: datetime) -> MailDraft:
    general = load_general(connection)
    address, language = contact_of(connection, order.requested_by)
    say = Translator(known(language or "") or known(general.language) or Language.EN)
    found = told(order, say, environment, _lists(connection, order, say))
    people, refused = checked([one for one in (order.email or address,) if one])
    return MailDraft(
        dossier_code=order.dossier_code,
        cause=CAUSE,
        idempotency_key=_key(order),
        subject=_subject(order, say),
        text=found.text,
        html=found.html,
        recipients=people,
        on_uncertain=OnUncertain.RESEND,
        test_mode=False,
        not_before=_opening(general, now),
        refused=refused,
    )


def _not_composed(order: Order, error: Exception, now: datetime) -> MailDraft:
    reason = f"the summary of {order.label} cannot be composed: {one_line(str(error))}"
    return MailDraft(
        dossier_code=order.dossier_code,
        cause=CAUSE,
        idempotency_key=_key(order),
        subject=order.label,
        text=reason,
        html=None,
        recipients=(),
        on_uncertain=OnUncertain.RESEND,
        test_mode=False,
        not_before=now,
        held=reason,
    )


def _key(order: Order) -> str:
    return f"{CAUSE}:{order.order_number}:{order.attempt}"


def _opening(general: GeneralParameters, now: datetime) -> datetime:
    calendar = general.mail.calendar
    return next_opening(calendar, now, closed_days(calendar.holidays_of))


def _subject(order: Order, say: Translator) -> str:
    _ = say.gettext
    program = program_label(program_named(order.program), say)
    state = state_of_order(order.state, say)
    return _("Order {number}, {program}: {state}", number=order.order_number, program=one_line(program), state=state)


def told(order: Order, say: Translator, environment: Mapping[str, str], lists: Sequence[tuple[str, Sequence[str]]]) -> Told:
    """Return what the summary of an order says; times are those of the dossier."""
    facts = tuple((label, one_line(value)) for label, value in (*_facts(order, say), *_counts(order, say)))
    return Told(facts, lists, tuple(_links(order, say, environment)), language=say.language.value)


def _facts(order: Order, say: Translator) -> Iterator[tuple[str, str]]:
    _ = say.gettext
    program = program_named(order.program)
    zone = ZoneInfo(order.time_zone)
    yield _("Program"), f"{program_label(program, say)} ({program.original})"
    yield _("Order"), str(order.order_number)
    yield _("Dossier"), order.dossier_code
    yield _("State"), state_of_order(order.state, say)
    yield _("Requested by"), order.requested_by
    yield _("Server"), order.server_code or _("none")
    for label, at in ((_("Scheduled"), order.scheduled_at), (_("Started"), order.started_at), (_("Ended"), order.ended_at)):
        yield label, say.instant(at, zone) if at else "-"
    yield _("Accounts"), accounts_of_order(order, say)
    if order.dry_run:
        yield _("Dry run"), _("what would be done is listed; nothing was written, and nobody was mailed")
    if order.failure:
        yield _("Reason"), order.failure


def _counts(order: Order, say: Translator) -> Iterator[tuple[str, str]]:
    _ = say.gettext
    counts = order.counts
    yield _("Considered"), say.number(counts.considered)
    yield _("Changed"), say.number(counts.changed)
    yield _("Unchanged"), say.number(counts.unchanged)
    yield _("Skipped"), say.number(counts.skipped)
    yield _("Errors"), say.number(counts.errors)


def _lists(connection: sa.Connection, order: Order, say: Translator) -> list[tuple[str, Sequence[str]]]:
    """Return the first errors and the first remarks on accounts, each with a head that says how many there are."""
    _ = say.gettext
    lists: list[tuple[str, Sequence[str]]] = []
    for name, is_error in ((_("Errors"), True), (_("Remarks"), False)):
        first, count = remarks(connection, order, errors=is_error, limit=MOST_SHOWN)
        of = _("{name}, {first} of {number}", name=name, first=say.number(len(first)), number=say.number(count))
        if first:
            lists.append((of if count > len(first) else name, [one_line(each) for each in first]))
    return lists


def _links(order: Order, say: Translator, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield where people find the order on the board and its run in Dagster; nothing when nobody said where the board is."""
    _ = say.gettext
    board = environment.get(BOARD_URL, "").rstrip("/")
    if board.startswith(("http://", "https://")):
        yield _("Order on the board"), f"{board}/orders/{order.order_number}"
        if order.run_id:
            yield _("Run in Dagster"), f"{board}/dagster/runs/{order.run_id}"
