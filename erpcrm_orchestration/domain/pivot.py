"""Pivot files of the data hub: `<name>.DHUB`, simple XML, written after their companions.

The extension counts in capitals only, and so do the tags: `TimeId` is not `timeid`. A companion has the same stem and
another extension; alone it means nothing yet. A faulty file becomes a dataset too, in ERROR, so that somebody sees it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from erpcrm_orchestration.domain.errors import ErpcrmError

EXTENSION = ".DHUB"
LARGEST_BYTES = 5_000_000
UNREADABLE_TYPE = "UNREADABLE"
"""The type of a dataset whose pivot file does not tell one."""
ORIGINS = ("CRM", "EDI", "MAIL", "OTHER")
LONGEST_TYPE = 64


@dataclass(frozen=True)
class PivotContent:
    """What a pivot file says. `fault` is the reason why it cannot be worked on, None for a good one."""

    type_code: str
    origin: str
    fields: Mapping[str, str]
    payload: str
    fault: str | None = None


@dataclass(frozen=True)
class PivotFile:
    """A pivot file as it was found, with its companions."""

    name: str
    content_hash: str
    companions: tuple[str, ...]
    content: PivotContent


@dataclass(frozen=True)
class HubResult:
    """What one look into the folder of a dossier did: datasets made, in error among them, files that must wait."""

    dossier_code: str
    datasets: int = 0
    faulty: int = 0
    conflicts: int = 0
    waiting: int = 0
    failure: ErpcrmError | None = field(default=None)


def stem(name: str) -> str:
    """Return the name without its last extension."""
    return name.rpartition(".")[0] or name


def is_pivot(name: str) -> bool:
    """True for a name that ends with .DHUB in capitals and has something before it."""
    return name.endswith(EXTENSION) and len(name) > len(EXTENSION) and not name.startswith(".")


def companions_of(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names with the same stem and another extension, sorted."""
    start = f"{stem(name)}."
    return tuple(
        sorted(other for other in names if other.startswith(start) and "." not in other[len(start) :] and other != name)
    )


def content_hash(data: bytes) -> str:
    """Return what identifies the bytes of a pivot file."""
    return hashlib.sha256(data).hexdigest()


def storable(text: str) -> str:
    """Return a text that PostgreSQL can keep: what is not UTF-8 and the NUL character are escaped."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\0")
