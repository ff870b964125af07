"""Who may do what with which dossier: four rights, each of which contains the ones before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

EVERY_DOSSIER = "*"
"""Stands for all dossiers and for the installation itself where a dossier code is granted."""


class Access(StrEnum):
    """`view` reads, `refresh` asks for new numbers, `operate` corrects and relaunches, `admin` configures."""

    VIEW = "view"
    REFRESH = "refresh"
    OPERATE = "operate"
    ADMIN = "admin"

    @property
    def level(self) -> int:
        """Return the place in the order of the rights, 0 for `view`."""
        return list(Access).index(self)

    def includes(self, other: Access) -> bool:
        """True when whoever has this right may do what needs the other one."""
        return self.level >= other.level


@dataclass(frozen=True)
class Person:
    """Somebody who uses the board; `grants` tells the right for each dossier code, or for EVERY_DOSSIER."""

    person_id: int
    login: str
    display_name: str
    language: str | None = None
    theme: str | None = None
    default_dossier_code: str | None = None
    grants: Mapping[str, Access] = field(default_factory=dict)

    def may(self, access: Access, dossier_code: str) -> bool:
        """True when the person has the right for this dossier; EVERY_DOSSIER asks for the whole installation."""
        codes = {dossier_code, EVERY_DOSSIER}
        return any(self.grants[code].includes(access) for code in codes & self.grants.keys())

    def may_somewhere(self, access: Access) -> bool:
        """True when the person has the right for one dossier at least."""
        return any(granted.includes(access) for granted in self.grants.values())
