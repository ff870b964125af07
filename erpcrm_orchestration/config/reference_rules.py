"""References of a configuration that lead nowhere: errors when that is certain, warnings when only a database can tell."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from erpcrm_orchestration.config.folder import Reading
from erpcrm_orchestration.config.places import Fault, Path, Place
from erpcrm_orchestration.config.plain import CODES, entries
from erpcrm_orchestration.config.references import references_of
from erpcrm_orchestration.domain.configuration import Configuration
from erpcrm_orchestration.domain.connection import Connection, Connector
from erpcrm_orchestration.domain.errors import did_you_mean
from erpcrm_orchestration.domain.routine import PROGRAMS

UNKNOWN_REFERENCE = "E-CFG-003"
FEW = 20
"""Up to so many known codes are listed when none is near."""

_NOUNS = {
    "mail_groups": "mail group",
    "mail_templates": "mail template",
    "call_targets": "call target",
    "dataset_types": "dataset type",
    "sources": "source",
    "connectors": "connector",
    "servers": "server",
    "agendas": "agenda",
    "audiences": "audience",
    "monitors": "monitor parameter",
    "class_rules": "class rule",
    "dossiers": "dossier",
    "connections": "connection",
}


@dataclass(frozen=True)
class Known:
    """Codes that are there without the files, per section; `is_whole` is False when there may be more of them.

    With `tolerates_defaults` a code that nobody wrote, because it is the domain's default, may be missing.
    """

    codes: Mapping[str, frozenset[str]]
    is_whole: bool = True
    tolerates_defaults: bool = False
    connections: tuple[Connection, ...] = ()
    connectors: tuple[Connector, ...] = ()
    programs: Collection[str] = frozenset(PROGRAMS)
    """Those that a company added are known to who calls."""

    @classmethod
    def nothing(cls) -> Known:
        """What is known without a database."""
        return cls({section: frozenset() for section in CODES}, is_whole=False)

    @classmethod
    def of(cls, configuration: Configuration) -> Known:
        """What a configuration brings."""
        codes = {section: frozenset(entries(configuration, section)) for section in CODES}
        groups = {"mail_groups": codes["mail_groups"] | _aliases(configuration)}
        return cls(codes | groups, connections=configuration.connections, connectors=configuration.connectors)


def reference_faults(reading: Reading, known: Known) -> tuple[list[Fault], list[Fault]]:
    """Return errors and warnings; what many dossiers inherit from one place is told once."""
    codes = {section: reading.codes(section) | known.codes[section] for section in CODES}
    codes["mail_groups"] |= _aliases(reading.configuration)
    errors: list[Fault] = []
    warnings: list[Fault] = []

    @cache
    def near(section: str, code: str) -> str:
        remedy = did_you_mean(code, codes[section])
        return remedy if remedy.startswith("did") or len(codes[section]) <= FEW else "add it, or name another one"

    for path, section, code in _dangling(reading, codes):
        if _is_certain(reading, known, path, section):
            errors.append(reading.refuse(UNKNOWN_REFERENCE, path, f"no {_NOUNS[section]} {code}", near(section, code)))
        else:
            found = f"no {_NOUNS[section]} {code}" + ("" if known.is_whole else " in these files")
            remedy = "add it, or name another one" if known.is_whole else "plan and apply look for it in the database"
            warnings.append(reading.refuse(UNKNOWN_REFERENCE, path, found, remedy))
    return errors, warnings


def _dangling(reading: Reading, codes: Mapping[str, set[str]]) -> Iterator[tuple[Path, str, str]]:
    told: set[tuple[Place, Path, str]] = set()
    for path, section, code in references_of(reading.configuration):
        if code not in codes[section]:
            seen = (*reading.locate(path), code)
            if seen not in told:
                told.add(seen)
                yield path, section, code


def _is_certain(reading: Reading, known: Known, path: Path, section: str) -> bool:
    """True when the code cannot be anywhere else: the database was asked, or the files hold this section."""
    if known.tolerates_defaults and path not in reading.document.values:
        return False
    return reading.is_complete and (known.is_whole or bool(reading.codes(section)))


def _aliases(configuration: Configuration) -> frozenset[str]:
    return frozenset(alias for group in configuration.mail_groups for alias in group.aliases)
