"""Status of accounts in the ERP and the health plan system: informative, no rule reads it (crm1003)."""

from __future__ import annotations

import sqlalchemy as sa

from erpcrm_orchestration.domain.routine import Counts, Order
from erpcrm_orchestration.services.routine import RoutineRun
from erpcrm_orchestration.store.connection_state import is_integrated
from erpcrm_orchestration.store.dossier import require_dossier
from erpcrm_orchestration.store.routine import work_set_based


class AccountStatus:
    """Writes automation.account_status."""

    def prepare(self, connection: sa.Connection, order: Order) -> None:
        """Nothing is required: without an active integration no account is integrated, and that is said."""

    def work(self, connection: sa.Connection, order: Order, run: RoutineRun) -> Counts:
        """Write the status of each account in `scope` whose status differs from what stands."""
        settings = require_dossier(connection, order.dossier_code).routines
        return work_set_based(
            connection,
            "routine_account_status",
            order,
            now=run.clock.now(),
            erp_is_active=is_integrated(connection, order.dossier_code, settings.erp_system),
            gp_is_active=is_integrated(connection, order.dossier_code, settings.gp_system),
            gp_system=settings.gp_system,
            inactive_months=settings.inactive_months,
        )

    def finish(self, connection: sa.Connection, order: Order, run: RoutineRun) -> None:
        """Nothing follows."""
