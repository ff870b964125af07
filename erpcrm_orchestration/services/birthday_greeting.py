"""Birthday greetings: a mail to every account whose birthday the run date is, once in a year (crm304rp).

The greeting and its mail are one transaction: an account is greeted exactly when its mail stands in the outbox. A mail whose
answer was lost is held for a person, because nobody is congratulated twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

import sqlalchemy as sa

from erpcrm_orchestration.domain.birthday import birthdays_on
from erpcrm_orchestration.domain.configuration import GeneralParameters, MailTemplate, OnUncertain
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.mail import MailDraft
from erpcrm_orchestration.domain.routine import Counts, Order, Outcome
from erpcrm_orchestration.domain.template import ACCOUNT_PLACEHOLDERS
from erpcrm_orchestration.languages import day_in_words
from erpcrm_orchestration.services.mail import checked, closed_days, compose_alert
from erpcrm_orchestration.services.order_parameters import require_subject, require_template
from erpcrm_orchestration.services.routine import RoutineRun
from erpcrm_orchestration.store import birthday as store
from erpcrm_orchestration.store.birthday import Celebrant
from erpcrm_orchestration.store.configuration import load_general
from erpcrm_orchestration.store.mail import enqueue
from erpcrm_orchestration.store.routine import Result, write_results

CAUSE = "birthday_greeting"
AT_ONCE = 1_000
"""So many mails are composed and stored at a time: many accounts share the day that stands for an unknown one."""


@dataclass(frozen=True)
class Greeting:
    """What the mails of an order have in common."""

    order: Order
    template: MailTemplate
    general: GeneralParameters
    now: datetime

    def mail_to(self, one: Celebrant) -> MailDraft | Result:
        """Return the mail to an account, or why it gets none."""
        if not one.email:
            return Result(one.customer_id, Outcome.SKIPPED, f"E-ORD-030 account {one.customer_id}: no mail address")
        people, refused = checked([one.email])
        if not people:
            return Result(one.customer_id, Outcome.SKIPPED, f"E-ORD-030 account {one.customer_id}: {refused[0].text}")
        try:
            return self._composed(one, people)
        except InputError as error:
            return Result(one.customer_id, Outcome.ERROR, f"E-ORD-031 account {one.customer_id}: {error}")

    def _composed(self, one: Celebrant, people: Sequence[str]) -> MailDraft:
        day = self.order.run_date
        values = {
            "account.name": one.name,
            "account.first_name": one.first_name,
            "today": day_in_words(day, one.language, self.general.language),
            "responsible.name": one.responsible_name,
        }
        return compose_alert(
            self.template,
            values,
            dossier_code=self.order.dossier_code,
            cause=CAUSE,
            idempotency_key=key_of(self.order, one.customer_id),
            recipients=people,
            on_uncertain=OnUncertain.HOLD,
            test_mode=False,
            settings=self.general.mail,
            now=self.now,
        )


class BirthdayGreeting:
    """Writes automation.birthday_greeting and the mails."""

    def prepare(self, connection: sa.Connection, order: Order) -> None:
        """Raise InputError when the template is not there any more (E-ORD-005), or a text cannot be rendered (E-MAIL)."""
        _template_of(connection, order)
        require_subject(order.parameters["subject"])
        closed_days(load_general(connection).mail.calendar.holidays_of)

    def work(self, connection: sa.Connection, order: Order, run: RoutineRun) -> Counts:
        """Greet the accounts in `scope` whose birthday it is; the others are unchanged. A dry run lists them."""
        found, others = store.celebrants(connection, order, birthdays_on(order.run_date))
        if not found:
            return Counts(unchanged=others)
        greeting = Greeting(order, _template_of(connection, order), load_general(connection), run.clock.now())
        counts, left = Counts(unchanged=others), iter(found)
        while some := list(islice(left, AT_ONCE)):
            counts += _greet(connection, greeting, some)
        return counts

    def finish(self, connection: sa.Connection, order: Order, run: RoutineRun) -> None:
        """Nothing follows: the mails leave with the next delivery."""


def key_of(order: Order, customer_id: int) -> str:
    """Return the idempotency key of the greeting of an account in the year of the run date."""
    return f"birthday:{order.dossier_code}:{customer_id}:{order.run_date.year}"


def _template_of(connection: sa.Connection, order: Order) -> MailTemplate:
    found = require_template(connection, order.parameters["template"], ACCOUNT_PLACEHOLDERS)
    return replace(found, subject=order.parameters["subject"])


def _greet(connection: sa.Connection, greeting: Greeting, celebrants: Sequence[Celebrant]) -> Counts:
    order = greeting.order
    composed = {one.customer_id: greeting.mail_to(one) for one in celebrants}
    drafts = {account: one for account, one in composed.items() if isinstance(one, MailDraft)}
    results = [one for one in composed.values() if isinstance(one, Result)]
    if order.dry_run:
        listed = [Result(account, Outcome.CHANGED, None, {"email": one.recipients[0]}) for account, one in drafts.items()]
        write_results(connection, order, [*results, *listed])
    else:
        write_results(connection, order, results)
        enqueue(connection, list(drafts.values()), now=greeting.now)
        keys = {account: one.idempotency_key for account, one in drafts.items()}
        store.keep_greetings(connection, order, keys, now=greeting.now)
    errors = sum(one.outcome is Outcome.ERROR for one in results)
    return Counts(changed=len(drafts), skipped=len(results) - errors, errors=errors)
