"""The routines that this installation knows: the five of the product, and those that a company added.

`ERPCRM_ROUTINES` names the folder of the company's own; it is read once in a process. One that is refused is left out, so that
its fault stops nothing else: `require_sound` tells of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from erpcrm_orchestration.config.custom_routine import CustomRoutines, read_custom_routines
from erpcrm_orchestration.domain.custom_routine import CustomRoutine, CustomStatement
from erpcrm_orchestration.domain.errors import Findings, InputError
from erpcrm_orchestration.domain.routine import PROGRAMS, Program, program_of

VARIABLE = "ERPCRM_ROUTINES"
_TAKEN = frozenset(name for one in PROGRAMS.values() for name in (one.code, one.original, one.table))


def known_programs() -> Mapping[str, Program]:
    """Return every program by its code."""
    return {**PROGRAMS, **{code: one.program for code, (one, _) in _own().routines.items()}}


def require_program(name: str) -> Program:
    """Return a program by its code or its original one; raise InputError E-ORD-002, and what is wrong with the company's."""
    try:
        return program_of(name, known_programs())
    except InputError as error:
        faults = _own().faults
        if faults:
            raise Findings([error, *(one.error for one in faults)]) from error
        raise


def program_named(code: str) -> Program:
    """Return a program by its code, also one that orders name and that is not there any more."""
    return known_programs().get(code) or Program(code, code, code, "A program that is not there any more.")


def custom_routine(code: str) -> tuple[CustomRoutine, CustomStatement] | None:
    """Return a routine of the company and its statement, None when there is none of the code that can be executed."""
    return _own().routines.get(code)


def require_sound() -> None:
    """Raise Findings for what is wrong with the routines of the company."""
    faults = _own().faults
    if faults:
        raise Findings([one.error for one in faults])


def _own() -> CustomRoutines:
    folder = os.environ.get(VARIABLE, "")
    return _read(folder) if folder else CustomRoutines()


@cache
def _read(folder: str) -> CustomRoutines:
    return read_custom_routines(Path(folder), _TAKEN)
