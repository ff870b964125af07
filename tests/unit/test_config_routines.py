"""The YAML of the routines: what it means, what is refused, and that it comes back as it was written."""

from __future__ import annotations

from datetime import time
from decimal import Decimal

import pytest

from erpcrm_orchestration.config.export import to_yaml
from erpcrm_orchestration.config.folder import read_text
from erpcrm_orchestration.config.rules import check
from erpcrm_orchestration.domain.routine_settings import AccountField, AudienceKind, Comparison, Filter, ServerState

WHOLE = """
servers:
  night: {supervisor: ops@example.com, capacity: 2, tags: {dagster-celery/queue: night}}
  day: {state: BLOCKED}
agendas:
  account_complement: {times: ["06:00", "18:00"], days: [mon, fri]}
audiences:
  few: {kind: STATIC, accounts: ["K1", "K2"]}
  vip:
    where:
      all:
        - {field: class, values: [GOLD]}
        - any:
            - {field: region, op: in, values: [Sul, Norte]}
            - {field: responsible, op: is_null}
mail_templates:
  asleep: {subject: Asleep, text: "{{accounts}}"}
monitors:
  quiet: {period_days: 30, processes: [TASK, ORDER], transfer: true, transfer_user: MS, template: asleep, audience: vip}
class_rules:
  SILVER: {from_class: BRONZE, to_class: SILVER, metric: accumulated_value, operator: ">=", threshold: "10000.00"}
  ASLEEP: {to_class: ASLEEP, metric: value_in_window, window_days: 90, operator: between, threshold: 0, threshold_to: "0.99"}
"""


def test_everything_is_read_as_it_is_meant() -> None:
    reading = read_text(WHOLE)
    assert check(reading).errors == ()
    found = reading.configuration
    assert {one.server_code: (one.state, one.capacity) for one in found.servers} == {
        "night": (ServerState.ACTIVE, 2),
        "day": (ServerState.BLOCKED, 1),
    }
    (agenda,) = found.agendas
    assert (agenda.program, agenda.times, agenda.days) == ("account_complement", (time(6), time(18)), (1, 5))
    few, vip = found.audiences
    assert (few.kind, few.accounts) == (AudienceKind.STATIC, ("K1", "K2"))
    gold, anywhere = vip.where.all
    assert gold == Filter(AccountField.CLASS, Comparison.EQUAL, ("GOLD",))
    assert [one.op for one in anywhere.any] == [Comparison.IN, Comparison.IS_NULL]
    asleep, silver = found.class_rules
    assert (silver.threshold, str(silver.threshold)) == (Decimal(10000), "10000.00")
    assert (asleep.window_days, asleep.threshold_to) == (90, Decimal("0.99"))


def test_what_is_exported_is_read_back_as_the_very_same() -> None:
    found = read_text(WHOLE).configuration
    assert read_text(to_yaml(found)).configuration == found


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("servers: {S: {capacity: 0}}", "servers.S.capacity: 0 is not a whole number"),
        ("agendas: {crm999: {times: ['06:00']}}", "agendas.crm999: no program crm999"),
        ("agendas: {account_status: {times: []}}", "agendas.account_status.times: "),
        ("audiences: {A: {kind: STATIC, where: {field: class, values: [X]}}}", "audiences.A.where: a filter in a STATIC"),
        ("audiences: {A: {accounts: [K1]}}", "audiences.A.accounts: accounts in a DYNAMIC"),
        ("audiences: {A: {where: {field: class}}}", "audiences.A.where: = with 0 values"),
        ("audiences: {A: {where: {field: class, op: is_null, values: [X]}}}", "audiences.A.where: is_null with 1 values"),
        ("audiences: {A: {where: {values: [X]}}}", "audiences.A.where: a value without a field"),
        ("audiences: {A: {where: {all: [{field: size, values: [X]}]}}}", "audiences.A.where.all[0].field: "),
        ("audiences: {A: {where: {field: class, values: [X], any: [{field: type, values: [Y]}]}}}", "more than one of field"),
        ("monitors: {M: {period_days: 0}}", "monitors.M.period_days: 0 is not a whole number"),
        ("monitors: {M: {period_days: 30, transfer: true}}", "monitors.M.transfer: transfer without transfer_user"),
        ("monitors: {M: {period_days: 30, notify: [LIST]}}", "monitors.M.notify: LIST without notify_list"),
        ("monitors: {M: {period_days: 30, notify: [NEW_RESPONSIBLE]}}", "monitors.M.notify: NEW_RESPONSIBLE without transfer"),
        (
            "class_rules: {R: {to_class: A, metric: purchase_count, operator: '>=', threshold: 1.5}}",
            "class_rules.R.threshold: ",
        ),
        ("class_rules: {R: {to_class: A, metric: purchase_count, operator: between, threshold: 1}}", "threshold_to belongs to"),
        (
            "class_rules: {R: {to_class: A, metric: purchase_count, operator: between, threshold: 2, threshold_to: 1}}",
            "1 is less than the threshold 2",
        ),
        (
            "class_rules: {R: {to_class: A, metric: count_in_window, operator: '>=', threshold: 1}}",
            "window_days and count_in_window",
        ),
        (
            "class_rules: {R: {to_class: A, from_class: A, metric: purchase_count, operator: '>=', threshold: 1}}",
            "A is from_class",
        ),
        (
            "class_rules: {R: {to_class: A, metric: purchase_count, operator: '>=', threshold: 1, "
            "valid_from: '2026-02-01', valid_to: '2026-01-01'}}",
            "ends before it begins",
        ),
    ],
)
def test_E36_what_cannot_be_meant_is_refused_at_its_place(text: str, complaint: str) -> None:
    errors = [str(one) for one in check(read_text(text)).errors]
    assert [one[:7] for one in errors if complaint in one] == ["E-CFG-0"]
