"""Which class executes which program."""

from __future__ import annotations

from erpcrm_orchestration.domain.errors import InputError
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
from erpcrm_orchestration.services.custom_routine import CustomExecution
from erpcrm_orchestration.services.programs import custom_routine
from erpcrm_orchestration.services.routine import Routine

_ROUTINES: dict[str, type[Routine]] = {
    ACCOUNT_COMPLEMENT.code: AccountComplement,
    ACCOUNT_MONITOR.code: AccountMonitor,
    ACCOUNT_STATUS.code: AccountStatus,
    BIRTHDAY_GREETING.code: BirthdayGreeting,
    CLASS_TRANSITION.code: ClassTransition,
}


def routine_of(program: str) -> Routine:
    """Return what executes a program; raise InputError E-ORD-002 for one that is not there any more."""
    if program in _ROUTINES:
        return _ROUTINES[program]()
    own = custom_routine(program)
    if own is None:
        raise InputError("E-ORD-002", "program", f"no program {program!a}", "bring it back below ERPCRM_ROUTINES, and retry")
    return CustomExecution(*own)
