"""What a company configures for its background routines: servers, agendas, audiences, presets and rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from enum import StrEnum


class ServerState(StrEnum):
    """Only an ACTIVE server starts orders; those of the others wait."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    BLOCKED = "BLOCKED"


@dataclass(frozen=True)
class Server:
    """A run queue of an existing engine. `tags` stand on its runs, for instance `dagster-celery/queue: night`.

    `capacity`: how many runs of orders work on it at once.
    """

    server_code: str
    supervisor: str | None = None
    state: ServerState = ServerState.ACTIVE
    capacity: int = 1
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Agenda:
    """When orders that follow the agenda of their program are due: local times of the dossier, on ISO weekdays."""

    program: str
    times: tuple[time, ...]
    days: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)


class AudienceKind(StrEnum):
    """STATIC names accounts; DYNAMIC is a filter, evaluated when a run begins."""

    STATIC = "STATIC"
    DYNAMIC = "DYNAMIC"


class AccountField(StrEnum):
    """What of an account a filter may ask."""

    TYPE = "type"
    CLASS = "class"
    REGION = "region"
    RESPONSIBLE = "responsible"
    STATUS = "status"


class Comparison(StrEnum):
    EQUAL = "="
    NOT_EQUAL = "<>"
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="
    IN = "in"
    CONTAINS = "contains"
    IS_NULL = "is_null"


@dataclass(frozen=True)
class Filter:
    """Either a comparison, or several filters that must `all` hold, or of which `any` must.

    `values` are what IN compares with, one alone for the others, none for IS_NULL.
    """

    field: AccountField | None = None
    op: Comparison = Comparison.EQUAL
    values: tuple[str, ...] = ()
    all: tuple[Filter, ...] = ()
    any: tuple[Filter, ...] = ()


@dataclass(frozen=True)
class Audience:
    """Which accounts a routine considers. `accounts` are account codes of the ERP (STATIC), `where` is a filter (DYNAMIC)."""

    audience_code: str
    name: str = ""
    kind: AudienceKind = AudienceKind.DYNAMIC
    accounts: tuple[str, ...] = ()
    where: Filter = Filter()


class MovementProcess(StrEnum):
    """What counts as a movement of an account."""

    ACCOUNT_CHANGE = "ACCOUNT_CHANGE"
    ACTION = "ACTION"
    TASK = "TASK"
    OPPORTUNITY = "OPPORTUNITY"
    OCCURRENCE = "OCCURRENCE"
    CAMPAIGN = "CAMPAIGN"
    ORDER = "ORDER"


class Notified(StrEnum):
    """Who is told of accounts without movement."""

    RESPONSIBLE = "RESPONSIBLE"
    NEW_RESPONSIBLE = "NEW_RESPONSIBLE"
    LIST = "LIST"


class NotifyWhen(StrEnum):
    NO_MOVEMENT = "NO_MOVEMENT"
    ALWAYS = "ALWAYS"


@dataclass(frozen=True)
class MonitorParameter:
    """A preset of the account movement monitor. An account has moved when something happened in the last `period_days`.

    `include_related`: what belongs to its contacts, opportunities and occurrences counts too. `transfer_user` is the code of
    an employee.
    """

    parameter_code: str
    period_days: int
    processes: tuple[MovementProcess, ...] = tuple(MovementProcess)
    include_related: bool = True
    transfer: bool = False
    transfer_user: str | None = None
    notify: tuple[Notified, ...] = (Notified.RESPONSIBLE,)
    notify_list: tuple[str, ...] = ()
    template: str = "account_without_movement"
    audience: str | None = None
    notify_when: NotifyWhen = NotifyWhen.NO_MOVEMENT


class ClassMetric(StrEnum):
    """What a class transition rule measures of an account."""

    ACCUMULATED_VALUE = "accumulated_value"
    VALUE_IN_WINDOW = "value_in_window"
    PURCHASE_COUNT = "purchase_count"
    COUNT_IN_WINDOW = "count_in_window"
    DAYS_SINCE_LAST_PURCHASE = "days_since_last_purchase"
    DAYS_IN_CLASS = "days_in_class"


class ClassOperator(StrEnum):
    AT_LEAST = ">="
    AT_MOST = "<="
    BETWEEN = "between"


@dataclass(frozen=True)
class ClassRule:
    """An account of `from_class` (None: any) whose metric meets the threshold moves to `to_class`.

    Of several rules that match, the lowest `priority` wins. `threshold_to` is the upper bound of BETWEEN, both inclusive.
    """

    rule_code: str
    to_class: str
    metric: ClassMetric
    operator: ClassOperator
    threshold: Decimal
    from_class: str | None = None
    threshold_to: Decimal | None = None
    window_days: int | None = None
    priority: int = 100
    active: bool = True
    valid_from: date | None = None
    valid_to: date | None = None

    def holds_on(self, day: date) -> bool:
        """True when the rule is active on a run date."""
        return (
            self.active
            and (self.valid_from is None or self.valid_from <= day)
            and (self.valid_to is None or day <= self.valid_to)
        )


@dataclass(frozen=True)
class RoutineSettings:
    """What the routines have to know of a dossier.

    `erp_system` and `gp_system` are the systems whose active connection makes the integration active; GP is the health plan
    system. `inactive_months`: calendar months without purchase after which an account is inactive, 0 for never.
    """

    erp_system: str | None = None
    gp_system: str | None = None
    inactive_months: int = 0
    server: str | None = None
