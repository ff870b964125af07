"""Routines that a company adds to the five: what is said of one, and its statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from erpcrm_orchestration.domain.routine import Program


class Need(StrEnum):
    """Whether an order has to give a parameter."""

    REQUIRED = "required"
    OPTIONAL = "optional"


@dataclass(frozen=True)
class CustomRoutine:
    """What the YAML of a routine says. `sql` is the name of its file, None for `<code>.sql`.

    `tells`: other systems are told of the accounts that it changes.
    """

    code: str
    label: str
    description: str = ""
    sql: str | None = None
    parameters: Mapping[str, Need] = field(default_factory=dict)
    dry_run: bool = False
    summary: bool = True
    tells: bool = False

    @property
    def program(self) -> Program:
        """Return the program that people order."""
        return Program(
            self.code,
            self.code,
            self.code,
            self.description or f"{self.label}.",
            {name: need is Need.REQUIRED for name, need in self.parameters.items()},
            summary=self.summary,
            dry_run=self.dry_run,
            label=self.label,
        )


@dataclass(frozen=True)
class CustomStatement:
    """The statement of a routine, which fills the temporary table `routine_outcome`; `where` names its file.

    `uses` are the parameters in it.
    """

    where: str
    sql: str
    uses: frozenset[str]
    writes: bool
