"""The background routines in words, in the reader's language: programs, states, and what their mails say."""

from __future__ import annotations

from erpcrm_orchestration.domain.routine import Order, OrderState, Program
from erpcrm_orchestration.languages import Translator


def program_label(program: Program, say: Translator) -> str:
    """Return what people call a program; one that a company added has its own words."""
    _ = say.gettext
    labels = {
        "birthday_greeting": _("Birthday greetings"),
        "account_complement": _("Complementary data of accounts"),
        "account_status": _("Status of accounts"),
        "account_monitor": _("Account movement monitor"),
        "class_transition": _("Class transition"),
    }
    return labels.get(program.code, program.label or program.code)


def state_of_order(state: OrderState, say: Translator) -> str:
    """Return the state of an order in words."""
    _ = say.gettext
    return {
        OrderState.PENDING: _("waiting"),
        OrderState.RUNNING: _("running"),
        OrderState.DONE: _("done"),
        OrderState.FAILED: _("failed"),
        OrderState.CANCELLED: _("cancelled"),
    }[state]


def accounts_of_order(order: Order, say: Translator) -> str:
    """Return which accounts an order considers."""
    return order.audience_code or say.gettext("all accounts")


def no_account(say: Translator) -> str:
    """Return what stands in place of a list of accounts without movement."""
    return say.gettext("no account is without movement")


def and_more(say: Translator, accounts: int, order_number: int) -> str:
    """Return the last line of a list that is longer than a mail."""
    _ = say.gettext
    return _("and {number} more, see order {order}", number=say.number(accounts), order=order_number)
