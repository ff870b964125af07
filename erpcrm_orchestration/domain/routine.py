"""Background routines: which programs there are, what an order to execute one says, and the states it goes through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from erpcrm_orchestration.domain.checks import Verdict
from erpcrm_orchestration.domain.errors import InputError, did_you_mean


class OrderState(StrEnum):
    """PENDING -> RUNNING -> DONE or FAILED; PENDING -> CANCELLED; FAILED -> PENDING when somebody retries it.

    RUNNING -> PENDING when its run was lost: the next run goes on with a new attempt.
    """

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Origin(StrEnum):
    """Who made an order: a person, the agenda of its program, or a backfill of an asset."""

    PERSON = "PERSON"
    AGENDA = "AGENDA"
    BACKFILL = "BACKFILL"


class Outcome(StrEnum):
    """What a routine did with one account."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    ERROR = "error"


@dataclass(frozen=True)
class Program:
    """A routine that can be ordered. `original` is its program code in the original product.

    `table` is in schema automation and holds what it made; `parameters` are names with True where one must be given.
    """

    code: str
    original: str
    table: str
    description: str
    parameters: Mapping[str, bool] = field(default_factory=dict)
    summary: bool = True
    """Whether a summary is mailed without being asked for."""
    dry_run: bool = True
    label: str = ""
    """What people call a routine that a company added; the five have words in every language."""


BIRTHDAY_GREETING = Program(
    "birthday_greeting", "crm304rp", "birthday_greeting",
    "A mail to every account whose birthday it is.",
    {"subject": True, "template": True}, summary=False,
)  # fmt: skip
ACCOUNT_COMPLEMENT = Program(
    "account_complement", "crm338", "account_complement",
    "First and last purchase, accumulated value and what else the invoices tell of each account.",
)  # fmt: skip
ACCOUNT_STATUS = Program(
    "account_status", "crm1003", "account_status",
    "Whether each account is active, inactive or not integrated in the ERP and in the health plan system.",
)  # fmt: skip
ACCOUNT_MONITOR = Program(
    "account_monitor", "crm00356", "responsible_transfer",
    "Finds accounts without movement, tells who is responsible, and hands them over when the preset says so.",
    {"monitor": True},
)  # fmt: skip
CLASS_TRANSITION = Program(
    "class_transition", "crm251", "class_transition",
    "Moves accounts to the class that their purchases give them.",
)  # fmt: skip

PROGRAMS: Mapping[str, Program] = {
    one.code: one for one in (BIRTHDAY_GREETING, ACCOUNT_COMPLEMENT, ACCOUNT_STATUS, ACCOUNT_MONITOR, CLASS_TRANSITION)
}
"""The five routines by their codes."""


def program_of(name: str, known: Mapping[str, Program] = PROGRAMS) -> Program:
    """Return a program by its code or its original one; raise InputError E-ORD-002 when there is none."""
    for one in known.values():
        if name in {one.code, one.original}:
            return one
    raise InputError("E-ORD-002", "program", f"no program {name!a}", did_you_mean(name, known))


@dataclass(frozen=True)
class NewOrder:
    """What a person wants executed, and when. `email`: who gets the summary, None for the requester.

    `summary`: True or False to mail a summary or none, None as the program does. `agenda` follows the agenda of the program;
    `at` is then ignored.
    """

    dossier_code: str
    program: str
    requested_by: str
    at: datetime | None = None
    agenda: bool = False
    server_code: str | None = None
    audience: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    depends_on: int | None = None
    dry_run: bool = False
    email: str | None = None
    summary: bool | None = None


@dataclass(frozen=True)
class Counts:
    """What became of the accounts that were considered; the four add up to it."""

    changed: int = 0
    unchanged: int = 0
    skipped: int = 0
    errors: int = 0

    @property
    def considered(self) -> int:
        return self.changed + self.unchanged + self.skipped + self.errors

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.changed + other.changed,
            self.unchanged + other.unchanged,
            self.skipped + other.skipped,
            self.errors + other.errors,
        )


@dataclass(frozen=True)
class Order:
    """An execution order as it stands. `account_after`: every account up to this id was handled, in whichever attempt."""

    dossier_code: str
    order_number: int
    program: str
    requested_by: str
    email: str | None
    summary: bool
    scheduled_at: datetime
    time_zone: str
    server_code: str | None
    auto_agenda: bool
    origin: Origin
    audience_code: str | None
    parameters: Mapping[str, Any]
    depends_on: int | None
    dry_run: bool
    state: OrderState
    attempt: int
    batch: str | None
    run_id: str | None
    started_at: datetime | None
    ended_at: datetime | None
    failure: str | None
    account_after: int
    counts: Counts

    @property
    def label(self) -> str:
        """Return how messages name it."""
        return f"order {self.order_number} of dossier {self.dossier_code}"

    @property
    def run_date(self) -> date:
        """Return the local date of the scheduled time: what every rule takes for today."""
        return self.scheduled_at.astimezone(ZoneInfo(self.time_zone)).date()


def missing_parameters(program: Program, given: Mapping[str, str]) -> Sequence[str]:
    """Return the parameters that must be given and are not."""
    return [name for name, required in program.parameters.items() if required and not given.get(name, "").strip()]


EVERY_ACCOUNT_IS_HANDLED = "every_account_is_handled"
HANDLED_DESCRIPTION = "The latest order of the routine ended well, considered accounts, and met no error."
HANDLED_RECOVERY = (
    "Read the order (erpcrm order show NUMBER): correct the accounts it names, or what made it fail, and retry or reorder."
)


def handled(order: Order) -> Verdict:
    """Return whether an order that ended needs a person: FAILED is an error, errors or no accounts at all a warning."""
    return Verdict(
        order.state is OrderState.DONE and order.counts.errors == 0 and order.counts.considered > 0,
        severity="ERROR" if order.state is OrderState.FAILED else "WARN",
        metadata={
            "order": order.order_number,
            "considered": order.counts.considered,
            "errors": order.counts.errors,
            "failure": order.failure,
        },
    )
