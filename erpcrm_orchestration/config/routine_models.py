"""The YAML of the background routines: servers, agendas, audiences, presets of the monitor, class transition rules."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from erpcrm_orchestration.config.kinds import WORD, Address, Day, Days, Identifier, Name, Text, TimeOfDay, refused
from erpcrm_orchestration.config.part import Part, given
from erpcrm_orchestration.domain import routine_settings as settings


def _decimal(found: object) -> Decimal:
    """Take whole numbers and texts: a number with a point is a binary fraction before anybody can ask."""
    try:
        number = Decimal(found) if isinstance(found, str | int) and not isinstance(found, bool) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number) >= Decimal(10) ** 18:
        raise refused('a number, quoted when it has a point: "10000.00"')
    return number


Number = Annotated[Decimal, BeforeValidator(_decimal), WithJsonSchema({"type": ["string", "integer"]})]


class ServerPart(Part):
    value_type = settings.Server
    supervisor: Text | None = Field(None, description="who looks after it")
    state: Annotated[settings.ServerState, WORD] = Field(
        settings.ServerState.ACTIVE, description="ACTIVE, INACTIVE or BLOCKED; only an ACTIVE one starts orders"
    )
    capacity: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="how many runs of orders work on it at once")
    tags: dict[Identifier, Text] = Field(
        {}, description="the tags that take its runs to an engine, as dagster-celery/queue: night"
    )


class AgendaPart(Part):
    value_type = settings.Agenda
    times: list[TimeOfDay] = Field(min_length=1, description='the times of a day, as "06:00"')
    days: Days = Field(given(settings.Agenda, "days"), description="the days")


class FilterPart(Part):
    value_type = settings.Filter
    field: Annotated[settings.AccountField, WORD] | None = Field(
        None, description="what of the account: type, class, region, responsible or status"
    )
    op: Annotated[settings.Comparison, WORD] = Field(
        settings.Comparison.EQUAL, description="=, <>, <, <=, >, >=, in, contains or is_null"
    )
    values: list[Text] = Field([], description="what it is compared with: one, several for in, none for is_null")
    all: list[FilterPart] = Field([], description="filters that must all hold")
    any: list[FilterPart] = Field([], description="filters of which one must hold")


class AudiencePart(Part):
    value_type = settings.Audience
    name: Name = Field("", description="what people call it")
    kind: Annotated[settings.AudienceKind, WORD] = Field(
        settings.AudienceKind.DYNAMIC, description="STATIC for a list of accounts, DYNAMIC for a filter"
    )
    accounts: list[Text] = Field([], description="the ERP codes of the accounts of a STATIC audience")
    where: FilterPart = Field(FilterPart(), description="the filter of a DYNAMIC audience; without one every account is in it")


class MonitorPart(Part):
    value_type = settings.MonitorParameter
    period_days: Annotated[int, Field(ge=1, le=3650)] = Field(description="days without movement that are looked for")
    processes: list[Annotated[settings.MovementProcess, WORD]] = Field(
        list(settings.MovementProcess),
        min_length=1,
        description="what counts: ACCOUNT_CHANGE, ACTION, TASK, OPPORTUNITY, OCCURRENCE, CAMPAIGN, ORDER",
    )
    include_related: bool = Field(
        True, description="true to count what belongs to the contacts, opportunities and occurrences of the account"
    )
    transfer: bool = Field(False, description="true to hand the account over to transfer_user")
    transfer_user: Text | None = Field(None, description="the code of the employee who gets the accounts")
    notify: list[Annotated[settings.Notified, WORD]] = Field(
        [settings.Notified.RESPONSIBLE], description="who is told: RESPONSIBLE, NEW_RESPONSIBLE, LIST"
    )
    notify_list: list[Address] = Field([], description="the addresses of LIST")
    template: Identifier = Field(given(settings.MonitorParameter, "template"), description="the text of the mail")
    audience: Identifier | None = Field(None, description="the accounts that are watched, all of them without it")
    notify_when: Annotated[settings.NotifyWhen, WORD] = Field(
        settings.NotifyWhen.NO_MOVEMENT, description="NO_MOVEMENT, or ALWAYS to tell also that there is none"
    )


class ClassRulePart(Part):
    value_type = settings.ClassRule
    to_class: Text = Field(description="the class that the account gets")
    from_class: Text | None = Field(None, description="the class it must have, any without it")
    metric: Annotated[settings.ClassMetric, WORD] = Field(
        description="accumulated_value, value_in_window, purchase_count, count_in_window, days_since_last_purchase "
        "or days_in_class"
    )
    operator: Annotated[settings.ClassOperator, WORD] = Field(description=">=, <= or between")
    threshold: Number = Field(description="the number it is compared with; the lower one of between")
    threshold_to: Number | None = Field(None, description="the upper number of between")
    window_days: Annotated[int, Field(ge=1, le=36500)] | None = Field(
        None, description="the days up to the run date that the metrics in_window look at"
    )
    priority: Annotated[int, Field(ge=1, le=100000)] = Field(100, description="1 comes first; one rule moves an account")
    active: bool = Field(True, description="false to leave it out")
    valid_from: Day | None = Field(None, description="the first run date it holds for")
    valid_to: Day | None = Field(None, description="the last run date it holds for")


class RoutineSettingsPart(Part):
    value_type = settings.RoutineSettings
    erp_system: Identifier | None = Field(None, description="the system whose active connection makes the ERP integrated")
    gp_system: Identifier | None = Field(None, description="the same for the health plan system")
    inactive_months: Annotated[int, Field(ge=0, le=1200)] = Field(
        0, description="months without purchase after which an account is inactive, 0 for never"
    )
    server: Identifier | None = Field(None, description="the server of orders that name none")
