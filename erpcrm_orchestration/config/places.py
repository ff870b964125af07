"""Where things stand in the files: what every complaint starts with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from erpcrm_orchestration.domain.errors import InputError

Path = tuple[str | int, ...]
"""The way to a value: keys of mappings and positions in lists."""


@dataclass(frozen=True, order=True)
class Place:
    """A position in a file; line and column count from 1. Line 0 is for what comes from no file."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Fault:
    """An error or a warning with its place, so that all of them can be told in the order of the text."""

    place: Place
    error: InputError

    @property
    def sort_key(self) -> tuple[Place, str]:
        return self.place, str(self.error)


@dataclass
class Document:
    """The plain data of a text, with the place of every value and of every key.

    `distrusted` holds the ways to values that were refused already: what is wrong below them needs no second complaint.
    """

    data: dict[str | int, Any] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    distrusted: set[Path] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    readable: bool = True
    """False when the text could not be read to its end."""

    def place_of(self, path: Path) -> Place | None:
        """Return the place of the value, else that of the nearest thing around it."""
        for length in range(len(path), -1, -1):
            found = self.values.get(path[:length]) or self.keys.get(path[:length])
            if found:
                return found
        return None

    def is_distrusted(self, path: Path) -> bool:
        """True when the value or anything around it was refused already."""
        return any(path[:length] in self.distrusted for length in range(len(path) + 1))


def fault(code: str, place: Place, path: Path, found: str, remedy: str) -> Fault:
    """Return the complaint in our form: `E-CFG-nnn file:line:column field: what was found; what to do`."""
    return Fault(place, InputError(code, " ".join(filter(None, (str(place), dotted(path)))), found, remedy))


def dotted(path: Path) -> str:
    """Return the way as people write it: `dossiers.998.process.days[2]`."""
    text = ""
    for step in path:
        text += (
            f"[{step}]" if isinstance(step, int) and text and not _is_state(path, step) else f".{step}" if text else str(step)
        )
    return text


def _is_state(path: Path, step: int) -> bool:
    return path[:1] == ("dataset_types",) and path[3:4] == (step,) and path[2:3] == ("states",)


def shown(value: object) -> str:
    """Return a value as it may stand in a message: short, texts in quotes, mappings and lists by their name."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value if len(value) <= 60 else value[:57] + "..."}"'
        case Mapping():
            return "a mapping"
        case list() | tuple():
            text = ", ".join(str(one) for one in value)
            return f"[{text}]" if value and len(text) <= 60 and all(isinstance(one, str | int) for one in value) else "a list"
    return str(value)
