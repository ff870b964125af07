"""Account movement monitor: accounts that did not move are listed, handed over if wished, and told to people (crm00356).

Each person gets one mail for an order, with all accounts that concern the person, when every account was looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from erpcrm_orchestration.domain.configuration import GeneralParameters, MailTemplate, OnUncertain
from erpcrm_orchestration.domain.errors import InputError, one_line
from erpcrm_orchestration.domain.mail import MailDraft, merged
from erpcrm_orchestration.domain.routine import Counts, Order
from erpcrm_orchestration.domain.routine_settings import MonitorParameter, Notified, NotifyWhen
from erpcrm_orchestration.domain.template import MONITOR_PLACEHOLDERS
from erpcrm_orchestration.languages import Language, Translator, day_in_words, known
from erpcrm_orchestration.routine_words import and_more, no_account
from erpcrm_orchestration.services.mail import closed_days, compose_alert
from erpcrm_orchestration.services.order_parameters import require_monitor, require_template
from erpcrm_orchestration.services.routine import RoutineRun
from erpcrm_orchestration.services.routine_outbound import tell_of_accounts
from erpcrm_orchestration.store import account_monitor as store
from erpcrm_orchestration.store.account_monitor import Digest, Watch
from erpcrm_orchestration.store.configuration import load_general
from erpcrm_orchestration.store.mail import enqueue

CAUSE = "account_monitor"
MOST_SHOWN = 1_000
"""So many accounts stand in one mail; how many more there are is said."""
MAILS_AT_ONCE = 100
PARTS = ("subject", "text", "html")


class AccountMonitor:
    """Writes order_result, automation.responsible_transfer, who is responsible for the accounts, and the mails."""

    def prepare(self, connection: sa.Connection, order: Order) -> None:
        """Raise InputError: preset or template are not there (E-ORD-005), cannot be rendered, or nobody gets accounts (033)."""
        monitor = _monitor(connection, order)
        _template(connection, monitor)
        _transfer_to(connection, order, monitor)
        closed_days(load_general(connection).mail.calendar.holidays_of)

    def work(self, connection: sa.Connection, order: Order, run: RoutineRun) -> Counts:
        """List the accounts in `scope` without movement, and hand them over; a dry run lists them alone."""
        monitor, now = _monitor(connection, order), run.clock.now()
        counts = store.watch_scope(connection, order, _watch(connection, order, monitor), now=now)
        if counts.changed and not order.dry_run:
            tell_of_accounts(connection, order, store.handed_over(connection, order), now=now)
        return counts

    def finish(self, connection: sa.Connection, order: Order, run: RoutineRun) -> None:
        """Store the mails, one for each person; a dry run mails nobody."""
        if order.dry_run:
            return
        monitor = _monitor(connection, order)
        letter = Letter(order, monitor, _template(connection, monitor), load_general(connection), run.clock.now())
        drafts = (letter.to(one) for one in _digests(connection, order, monitor))
        while some := list(islice(drafts, MAILS_AT_ONCE)):
            enqueue(connection, some, now=letter.now)


@dataclass(frozen=True)
class Letter:
    """What the mails of an order have in common."""

    order: Order
    monitor: MonitorParameter
    template: MailTemplate
    general: GeneralParameters
    now: datetime

    def to(self, digest: Digest) -> MailDraft:
        """Return the mail to one person."""
        say = Translator(known(self.general.language) or Language.EN)
        accounts = [one_line(each) for each in digest.shown] or [no_account(say)]
        if digest.accounts > len(digest.shown):
            accounts.append(and_more(say, digest.accounts - len(digest.shown), self.order.order_number))
        values = {
            "accounts": accounts,
            "period_days": str(self.monitor.period_days),
            "today": day_in_words(self.order.run_date, self.general.language),
            "responsible.name": one_line(digest.name or digest.address),
        }
        return compose_alert(
            self.template,
            values,
            dossier_code=self.order.dossier_code,
            cause=CAUSE,
            idempotency_key=f"monitor:{self.order.order_number}:{digest.address.casefold()}",
            recipients=(digest.address,),
            on_uncertain=OnUncertain.RESEND,
            test_mode=False,
            settings=self.general.mail,
            now=self.now,
        )


def _monitor(connection: sa.Connection, order: Order) -> MonitorParameter:
    return require_monitor(connection, order.parameters["monitor"])


def _template(connection: sa.Connection, monitor: MonitorParameter) -> MailTemplate:
    return require_template(connection, monitor.template, MONITOR_PLACEHOLDERS, parts=PARTS)


def _watch(connection: sa.Connection, order: Order, monitor: MonitorParameter) -> Watch:
    day = order.run_date
    return Watch(
        processes=monitor.processes,
        include_related=monitor.include_related,
        since=_begins(day - timedelta(days=monitor.period_days), order.time_zone),
        until=_begins(day + timedelta(days=1), order.time_zone),
        transfer_to=_transfer_to(connection, order, monitor),
        tells_responsible=Notified.RESPONSIBLE in monitor.notify,
    )


def _begins(day: date, time_zone: str) -> datetime:
    """Return the first instant of a local day: the end of a gap, and the first of two midnights."""
    return datetime.combine(day, time.min, ZoneInfo(time_zone)).astimezone(UTC)


def _transfer_to(connection: sa.Connection, order: Order, monitor: MonitorParameter) -> int | None:
    """Return who gets the accounts, None for nobody; raise InputError E-ORD-033 when that is not one active employee."""
    if not monitor.transfer:
        return None
    code = monitor.transfer_user or ""
    found = store.employees_of_code(connection, order.dossier_code, code)
    if len(found) != 1:
        what = f"transfer_user {code!a} is {len(found) or 'no'} active employee{'s' if len(found) > 1 else ''} of the dossier"
        raise InputError("E-ORD-033", order.label, what, f"correct monitors.{monitor.parameter_code} and retry")
    return found[0]


def _digests(connection: sa.Connection, order: Order, monitor: MonitorParameter) -> Iterator[Digest]:
    """Yield what each person is told. Who is told of all accounts gets no second mail on some of them."""
    all_of_them = merged(monitor.notify_list) if Notified.LIST in monitor.notify else ()
    found = store.digests(
        connection,
        order,
        tells_responsible=Notified.RESPONSIBLE in monitor.notify,
        tells_new=Notified.NEW_RESPONSIBLE in monitor.notify,
        told_of_all=all_of_them,
        most=MOST_SHOWN,
    )
    whole = Digest("*", None, 0, ())
    for one in found:
        if one.address == "*":
            whole = replace(one, accounts=store.count_listed(connection, order))
        else:
            yield one
    if whole.accounts or monitor.notify_when is NotifyWhen.ALWAYS:
        yield from (replace(whole, address=address) for address in all_of_them)
