"""Moves of accounts from class to class: judged by rules, applied by an order, or only simulated."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import sqlalchemy as sa

from erpcrm_orchestration.domain.routine import Counts, Order
from erpcrm_orchestration.domain.routine_settings import ClassRule
from erpcrm_orchestration.store.configuration import adapter
from erpcrm_orchestration.store.engine import load_sql, run_script
from erpcrm_orchestration.store.routine import in_parts, scope_bounds, work_set_based

LAST_ID = 2**63 - 1

class_move = sa.table(
    "class_move",
    *(sa.column(name) for name in ("customer_id", "from_class", "to_class", "rule_code", "metric_value", "fault")),
)


@dataclass(frozen=True)
class Move:
    """An account that a rule moves on a day."""

    on_date: date
    customer_id: int
    from_class: str | None
    to_class: str
    rule_code: str
    metric_value: Decimal


def judge_scope(connection: sa.Connection, order: Order, rules: Sequence[ClassRule]) -> None:
    """Put into `class_move` what the rules do with the accounts in `scope` on the order's run date."""
    run_script(connection, "class_tables")
    bounds = scope_bounds(connection, order)
    of_order = {"dossier_code": order.dossier_code, "run_date": order.run_date, "time_zone": order.time_zone}
    connection.execute(load_sql("fill_class_now"), of_order | bounds)
    _judge(connection, order.dossier_code, order.run_date, rules, bounds)


def apply_moves(connection: sa.Connection, order: Order, *, now: datetime) -> Counts:
    """Write what stands in `class_move`; return the counts of the accounts in `scope`."""
    return work_set_based(connection, "apply_class_moves", order, now=now)


def moved_accounts(connection: sa.Connection) -> Iterator[list[int]]:
    """Yield the accounts that move, in parts, each once."""
    return in_parts(connection, sa.select(class_move.c.customer_id).where(class_move.c.fault.is_(None)))


def simulate(
    connection: sa.Connection, dossier_code: str, time_zone: str, rules: Sequence[ClassRule], days: Sequence[date]
) -> Iterator[Move]:
    """Yield the moves that the rules would have made had they been applied on each of these days, ascending; write nothing.

    The classes are those of the first day; a move on one day holds on the next. The caller rolls the transaction back.
    """
    run_script(connection, "class_tables")
    connection.execute(
        load_sql("classes_on_a_day"), {"dossier_code": dossier_code, "run_date": days[0], "time_zone": time_zone}
    )
    for day in days:
        valid = [one for one in rules if one.holds_on(day)]
        _judge(connection, dossier_code, day, valid, {"first": 0, "last": LAST_ID})
        moves = connection.execute(sa.select(class_move).where(class_move.c.fault.is_(None)).order_by(class_move.c.customer_id))
        yield from (Move(day, row.customer_id, row.from_class, row.to_class, row.rule_code, row.metric_value) for row in moves)
        connection.execute(load_sql("carry_class_moves"), {"run_date": day})
        connection.execute(sa.delete(class_move))


def _judge(
    connection: sa.Connection, dossier_code: str, day: date, rules: Sequence[ClassRule], bounds: Mapping[str, int]
) -> None:
    connection.execute(sa.text("ANALYZE class_now"))
    dump = adapter(ClassRule).dump_python
    told = json.dumps([dump(one, mode="json") for one in rules])
    of_day = {"dossier_code": dossier_code, "run_date": day, "rules": told}
    connection.execute(load_sql("judge_class_moves"), {**of_day, **bounds})
