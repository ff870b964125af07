"""Which class executes which program."""

from __future__ import annotations

from erpcrm_orchestration.domain.routine import (
    ACCOUNT_COMPLEMENT,
    ACCOUNT_MONITOR,
    ACCOUNT_STATUS,
    BIRTHDAY_GREETING,
    CLASS_TRANSITION,
)
from erpcrm_orchestration.services.account_complement import AccountComplement
from erpcrm_orchestration.services.account_monitor import AccountMonitor
from erpcrm_orchestration.services.account_status import AccountStatus
from erpcrm_orchestration.services.birthday_greeting import BirthdayGreeting
from erpcrm_orchestration.services.class_transition import ClassTransition
from erpcrm_orchestration.services.routine import Routine

_ROUTINES: dict[str, type[Routine]] = {
    ACCOUNT_COMPLEMENT.code: AccountComplement,
    ACCOUNT_MONITOR.code: AccountMonitor,
    ACCOUNT_STATUS.code: AccountStatus,
    BIRTHDAY_GREETING.code: BirthdayGreeting,
    CLASS_TRANSITION.code: ClassTransition,
}


def routine_of(program: str) -> Routine:
    """Return what executes a program."""
    return _ROUTINES[program]()
