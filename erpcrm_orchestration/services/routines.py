"""Which class executes which program."""

from __future__ import annotations

from erpcrm_orchestration.domain.routine import ACCOUNT_COMPLEMENT, ACCOUNT_STATUS
from erpcrm_orchestration.services.account_complement import AccountComplement
from erpcrm_orchestration.services.account_status import AccountStatus
from erpcrm_orchestration.services.routine import Routine

_ROUTINES: dict[str, type[Routine]] = {
    ACCOUNT_COMPLEMENT.code: AccountComplement,
    ACCOUNT_STATUS.code: AccountStatus,
}


def routine_of(program: str) -> Routine:
    """Return what executes a program."""
    return _ROUTINES[program]()
