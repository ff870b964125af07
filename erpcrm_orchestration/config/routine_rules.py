"""What must be right in the values of the background routines, beyond their kinds."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from erpcrm_orchestration.config.folder import Reading
from erpcrm_orchestration.config.places import Fault, Path
from erpcrm_orchestration.domain.errors import did_you_mean
from erpcrm_orchestration.domain.routine_settings import (
    Audience,
    AudienceKind,
    ClassMetric,
    ClassOperator,
    ClassRule,
    Comparison,
    Filter,
    MonitorParameter,
    Notified,
)

IMPOSSIBLE = "E-CFG-041"
_WINDOWED = frozenset({ClassMetric.VALUE_IN_WINDOW, ClassMetric.COUNT_IN_WINDOW})


def routine_faults(reading: Reading, programs: Collection[str]) -> Iterator[Fault]:
    """Yield what is wrong in audiences, presets and rules, at the place where it is written."""
    for audience in reading.configuration.audiences:
        yield from _audience_faults(reading, audience)
    for monitor in reading.configuration.monitors:
        yield from _monitor_faults(reading, monitor)
    for rule in reading.configuration.class_rules:
        yield from _rule_faults(reading, rule)
    for agenda in reading.configuration.agendas:
        if agenda.program not in programs:
            remedy = did_you_mean(agenda.program, programs)
            yield reading.refuse("E-CFG-003", ("agendas", agenda.program), f"no program {agenda.program}", remedy)


def _audience_faults(reading: Reading, audience: Audience) -> Iterator[Fault]:
    path: Path = ("audiences", audience.audience_code)
    if audience.kind is AudienceKind.STATIC and audience.where != Filter():
        yield reading.refuse(IMPOSSIBLE, (*path, "where"), "a filter in a STATIC audience", "write kind: DYNAMIC, or remove it")
    if audience.kind is AudienceKind.DYNAMIC and audience.accounts:
        yield reading.refuse(
            IMPOSSIBLE, (*path, "accounts"), "accounts in a DYNAMIC audience", "write kind: STATIC, or remove them"
        )
    yield from _filter_faults(reading, audience.where, (*path, "where"))


def _filter_faults(reading: Reading, one: Filter, path: Path) -> Iterator[Fault]:
    if sum((one.field is not None, bool(one.all), bool(one.any))) > 1:
        yield reading.refuse(IMPOSSIBLE, path, "more than one of field, all and any", "nest them below all or any")
    if one.field is None and one.values:
        yield reading.refuse(IMPOSSIBLE, path, "a value without a field", "say which field is compared")
    if one.field is not None:
        wanted = {Comparison.IS_NULL: len(one.values) == 0, Comparison.IN: len(one.values) >= 1}
        if not wanted.get(one.op, len(one.values) == 1):
            remedy = "give one value, several for in, none for is_null"
            yield reading.refuse(IMPOSSIBLE, path, f"{one.op.value} with {len(one.values)} values", remedy)
    for name, below in (("all", one.all), ("any", one.any)):
        for position, each in enumerate(below):
            yield from _filter_faults(reading, each, (*path, name, position))


def _monitor_faults(reading: Reading, monitor: MonitorParameter) -> Iterator[Fault]:
    path: Path = ("monitors", monitor.parameter_code)
    if monitor.transfer and not monitor.transfer_user:
        yield reading.refuse(IMPOSSIBLE, (*path, "transfer"), "transfer without transfer_user", "say who gets the accounts")
    if Notified.LIST in monitor.notify and not monitor.notify_list:
        yield reading.refuse(IMPOSSIBLE, (*path, "notify"), "LIST without notify_list", "give the addresses")
    if Notified.NEW_RESPONSIBLE in monitor.notify and not monitor.transfer:
        yield reading.refuse(
            IMPOSSIBLE, (*path, "notify"), "NEW_RESPONSIBLE without transfer", "nobody new is responsible then"
        )


def _rule_faults(reading: Reading, rule: ClassRule) -> Iterator[Fault]:
    path: Path = ("class_rules", rule.rule_code)
    if (rule.operator is ClassOperator.BETWEEN) != (rule.threshold_to is not None):
        yield reading.refuse(IMPOSSIBLE, (*path, "operator"), "threshold_to belongs to between", "give both, or neither")
    elif rule.threshold_to is not None and rule.threshold_to < rule.threshold:
        found = f"{rule.threshold_to} is less than the threshold {rule.threshold}"
        yield reading.refuse(IMPOSSIBLE, (*path, "threshold_to"), found, "nothing is between")
    if (rule.metric in _WINDOWED) != (rule.window_days is not None):
        yield reading.refuse(
            IMPOSSIBLE,
            (*path, "metric"),
            f"window_days and {rule.metric.value}",
            "give it for the metrics in_window only",
        )
    if rule.from_class == rule.to_class:
        yield reading.refuse(IMPOSSIBLE, (*path, "to_class"), f"{rule.to_class} is from_class too", "name another class")
    if rule.valid_from and rule.valid_to and rule.valid_to < rule.valid_from:
        yield reading.refuse(IMPOSSIBLE, (*path, "valid_to"), "ends before it begins", "correct one of both")
