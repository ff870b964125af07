"""Secrets stand in the configuration as `${env:NAME}` only, and are resolved at the moment of use."""

from __future__ import annotations

import re
from collections.abc import Mapping

from erpcrm_orchestration.domain.errors import InputError

REFERENCE = re.compile(r"\$\{env:([A-Z][A-Z0-9_]*)\}")


def references(text: str) -> tuple[str, ...]:
    """Return the names of the environment variables that the text refers to."""
    return tuple(REFERENCE.findall(text))


def resolve(text: str, environment: Mapping[str, str], *, where: str) -> str:
    """Return the text with every `${env:NAME}` replaced; raise InputError E-CFG-046 for a missing or empty variable."""
    for name in references(text):
        if not environment.get(name):
            raise InputError(
                "E-CFG-046", where, f"environment variable {name} is not set or empty", f"set {name} where this process starts"
            )
    return REFERENCE.sub(lambda found: environment[found[1]], text)
