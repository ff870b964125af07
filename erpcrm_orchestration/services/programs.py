"""The routines that this installation knows: the five of the product, and those that a company added."""

from __future__ import annotations

from collections.abc import Mapping

from erpcrm_orchestration.domain.routine import PROGRAMS, Program


def known_programs() -> Mapping[str, Program]:
    """Return every program by its code."""
    return PROGRAMS
