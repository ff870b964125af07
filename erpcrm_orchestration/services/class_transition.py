"""Class transition: accounts move to the class that the first matching rule gives them, once in a run (crm251)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import sqlalchemy as sa

from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.routine import Counts, Order
from erpcrm_orchestration.domain.routine_settings import ClassRule
from erpcrm_orchestration.services.routine import RoutineRun
from erpcrm_orchestration.services.routine_outbound import tell_of_accounts
from erpcrm_orchestration.store import class_move as store
from erpcrm_orchestration.store.class_move import Move
from erpcrm_orchestration.store.dossier import require_dossier
from erpcrm_orchestration.store.routine_settings import load

MOST_DAYS = 366
"""A simulation of more runs is made only for somebody who says that it may take long."""


class ClassTransition:
    """Writes automation.class_transition and the class of the accounts, and queues what other systems are told."""

    def prepare(self, connection: sa.Connection, order: Order) -> None:
        """Raise InputError E-ORD-024 when no rule holds on the run date."""
        if not rules_on(connection, order.run_date):
            raise InputError(
                "E-ORD-024", order.label, f"no active class rule holds on {order.run_date}", "configure one and retry"
            )

    def work(self, connection: sa.Connection, order: Order, run: RoutineRun) -> Counts:
        """Move the accounts in `scope`; a dry run lists the moves and makes none."""
        now = run.clock.now()
        store.judge_scope(connection, order, rules_on(connection, order.run_date))
        counts = store.apply_moves(connection, order, now=now)
        if not order.dry_run and counts.changed:
            tell_of_accounts(connection, order, store.moved_accounts(connection), now=now)
        return counts

    def finish(self, connection: sa.Connection, order: Order, run: RoutineRun) -> None:
        """Nothing follows."""


def rules_on(connection: sa.Connection, day: date) -> list[ClassRule]:
    """Return the active rules that hold on a day."""
    rules: Sequence[ClassRule] = list(load(connection, "class_rules").values())
    return [one for one in rules if one.holds_on(day)]


def simulate(
    engine: sa.Engine, dossier_code: str, first: date, last: date, *, step_days: int = 1, most: int | None = MOST_DAYS
) -> list[Move]:
    """Return who would have moved class, and when, had the rules been applied every `step_days` from first to last.

    Nothing is written. Raises InputError E-CLI-057 unknown dossier, E-CLI-054 days in the wrong order, E-CLI-056 more than
    `most` days; None takes any number.
    """
    if last < first:
        raise InputError("E-CLI-054", "days", f"{first} is after {last}", "exchange them")
    days = [first + timedelta(days=more) for more in range(0, (last - first).days + 1, step_days)]
    if most is not None and len(days) > most:
        raise InputError("E-CLI-056", "days", f"{len(days)} days, more than {most}", "take fewer, or larger steps")
    with engine.connect() as connection, connection.begin() as transaction:
        dossier = require_dossier(connection, dossier_code)
        rules = list(load(connection, "class_rules").values())
        found = list(store.simulate(connection, dossier_code, dossier.time_zone, rules, days))
        transaction.rollback()
    return found
