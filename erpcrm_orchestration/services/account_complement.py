"""Complementary data of accounts: what the invoices and quotations of the ERP tell of each, up to the run date (crm338)."""

from __future__ import annotations

import sqlalchemy as sa

from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.routine import Counts, Order
from erpcrm_orchestration.services.routine import RoutineRun
from erpcrm_orchestration.store.connection_state import is_integrated
from erpcrm_orchestration.store.dossier import require_dossier
from erpcrm_orchestration.store.routine import work_set_based


class AccountComplement:
    """Writes automation.account_complement."""

    def prepare(self, connection: sa.Connection, order: Order) -> None:
        """Raise InputError E-ORD-021 when the dossier has no active integration of an ERP."""
        system = require_dossier(connection, order.dossier_code).routines.erp_system
        if not is_integrated(connection, order.dossier_code, system):
            raise InputError(
                "E-ORD-021",
                order.label,
                "the integration of the ERP is not active",
                "activate its connection, name it in routines.erp_system of the dossier, and retry",
            )

    def work(self, connection: sa.Connection, order: Order, run: RoutineRun) -> Counts:
        """Write the nine fields of each account in `scope` that differ from what stands."""
        return work_set_based(connection, "routine_account_complement", order, now=run.clock.now())

    def finish(self, connection: sa.Connection, order: Order, run: RoutineRun) -> None:
        """Nothing follows."""
