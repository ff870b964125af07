"""The statement of a routine that a company added: run over `scope`, and what it returned looked at and written down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.custom_routine import CustomStatement
from erpcrm_orchestration.domain.routine import Counts, Order, Outcome
from erpcrm_orchestration.store.engine import load_sql
from erpcrm_orchestration.store.routine import in_parts, scope_bounds

_TYPES: Mapping[str, sa.types.TypeEngine[Any]] = {
    "order_number": sa.BigInteger(),
    "run_date": sa.Date(),
    "now": sa.DateTime(timezone=True),
    "dry_run": sa.Boolean(),
    "first": sa.BigInteger(),
    "last": sa.BigInteger(),
}
"""Every other parameter is a text."""

outcome = sa.table("routine_outcome", *(sa.column(name) for name in ("customer_id", "outcome")))


@dataclass(frozen=True)
class Misfit:
    """An account that cannot stand as a statement returned it: out of the slice, `times` times, or with another outcome."""

    customer_id: int | None
    outcome: str | None
    times: int
    in_scope: bool


def explain_custom(connection: sa.Connection, statement: CustomStatement, order: Order, given: Mapping[str, object]) -> None:
    """Let the database plan a statement and not run it: what it refuses, it refuses before anything was written."""
    connection.execute(load_sql("scope_table"))
    _execute(connection, f"EXPLAIN {statement.sql}", statement, order, given)


def run_custom(connection: sa.Connection, statement: CustomStatement, order: Order, given: Mapping[str, object]) -> None:
    """Run a statement over `scope`; what it returns stands in `routine_outcome`."""
    _execute(connection, statement.sql, statement, order, given)
    # Without it the planner takes a fresh table for a thousand rows, however many there are.
    connection.execute(sa.text("ANALYZE routine_outcome"))


def _execute(
    connection: sa.Connection, sql: str, statement: CustomStatement, order: Order, given: Mapping[str, object]
) -> None:
    """Execute with the parameters that the statement uses; one that was not given is NULL."""
    connection.execute(load_sql("custom_outcome_table"))
    values = {
        "dossier_code": order.dossier_code,
        "order_number": order.order_number,
        "run_date": order.run_date,
        "dry_run": order.dry_run,
        **scope_bounds(connection, order),
        **given,
    }
    typed = [sa.bindparam(name, type_=_TYPES.get(name, sa.Text())) for name in sorted(statement.uses)]
    connection.execute(sa.text(sql).bindparams(*typed), {name: values.get(name) for name in statement.uses})


def find_misfit(connection: sa.Connection) -> Misfit | None:
    """Return the first account that cannot stand as the statement returned it, None when all can."""
    row = connection.execute(load_sql("custom_outcome_misfit")).one_or_none()
    return None if row is None else Misfit(row.customer_id, row.outcome, row.times, row.in_scope)


def changed_accounts(connection: sa.Connection) -> Iterator[list[int]]:
    """Yield the accounts that the statement returned as changed, in parts, each once."""
    return in_parts(connection, sa.select(outcome.c.customer_id).where(outcome.c.outcome == Outcome.CHANGED))


def keep_outcome(connection: sa.Connection, order: Order) -> Counts:
    """Write a result for each account that was changed, skipped or refused; the others of the slice are unchanged."""
    row = connection.execute(
        load_sql("keep_custom_outcome"), {"dossier_code": order.dossier_code, "order_number": order.order_number}
    ).one()
    return Counts(row.changed, row.unchanged, row.skipped, row.errors)
