"""A routine that a company added: its one statement is run once for each slice, in the transaction of the slice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, NotSupportedError, ProgrammingError

from erpcrm_orchestration.domain.custom_routine import CustomRoutine, CustomStatement
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.routine import Counts, Order
from erpcrm_orchestration.services.routine import RoutineRun
from erpcrm_orchestration.services.routine_outbound import tell_of_accounts
from erpcrm_orchestration.store import custom_routine as store


@dataclass(frozen=True)
class CustomExecution:
    """Executes orders of a routine of the company."""

    routine: CustomRoutine
    statement: CustomStatement

    def prepare(self, connection: sa.Connection, order: Order) -> None:
        """Raise InputError E-ORD-045 for a dry run of what has none, E-ORD-044 for a statement that cannot be run."""
        if order.dry_run and not self.routine.dry_run:
            raise InputError("E-ORD-045", order.label, f"{order.program} has no dry run", "order it without")
        with self._refusals(order, ProgrammingError, DataError, NotSupportedError):
            store.explain_custom(connection, self.statement, order, {"now": order.scheduled_at, **self._parameters(order)})

    def work(self, connection: sa.Connection, order: Order, run: RoutineRun) -> Counts:
        """Run the statement over `scope`; what the database says of values stays the engine's, which finds the account.

        Raises InputError E-ORD-043 for accounts that it may not return so, E-ORD-044 when the statement is refused.
        """
        with self._refusals(order, ProgrammingError):
            store.run_custom(connection, self.statement, order, {"now": run.clock.now(), **self._parameters(order)})
        misfit = store.find_misfit(connection)
        if misfit is not None:
            raise InputError("E-ORD-043", self.statement.where, _of(misfit), f"correct it and retry {order.label}")
        counts = store.keep_outcome(connection, order)
        if self.routine.tells and counts.changed and not order.dry_run:
            tell_of_accounts(connection, order, store.changed_accounts(connection), now=run.clock.now())
        return counts

    def finish(self, connection: sa.Connection, order: Order, run: RoutineRun) -> None:
        """Nothing follows."""

    def _parameters(self, order: Order) -> dict[str, object]:
        return {name: order.parameters.get(name) for name in self.routine.parameters}

    @contextmanager
    def _refusals(self, order: Order, *kinds: type[DBAPIError]) -> Iterator[None]:
        try:
            yield
        except kinds as error:
            found = str(error.orig).partition("\n")[0]
            raise InputError("E-ORD-044", self.statement.where, found, f"correct it and retry {order.label}") from error


def _of(misfit: store.Misfit) -> str:
    if not misfit.in_scope:
        return f"it returned account {misfit.customer_id}, which is not in scope"
    if misfit.times > 1:
        return f"it returned account {misfit.customer_id} {misfit.times} times"
    return f"it returned {misfit.outcome!a} for account {misfit.customer_id}, not changed, unchanged, skipped or error"
