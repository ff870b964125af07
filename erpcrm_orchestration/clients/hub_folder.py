"""The folder into which pivot files are dropped: list, read, parse, and put away. Nothing in it is ever deleted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lxml import etree

from erpcrm_orchestration.clients.xml_root import NotXml, root_of
from erpcrm_orchestration.domain.errors import PermanentFailure, SourceError, TransientFailure
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.pivot import (
    EXTENSION,
    LARGEST_BYTES,
    LONGEST_TYPE,
    ORIGINS,
    UNREADABLE_TYPE,
    PivotContent,
    PivotFile,
    companions_of,
    content_hash,
    is_pivot,
    stem,
    storable,
)

TAKEN = "taken"
IN_ERROR = "in_error"
ROOT = "DataHub"


class FaultyPivot(ValueError):
    """The file is not a pivot file; the text is the reason."""


@dataclass(frozen=True)
class HubFolder:
    """The folder of one dossier. Taken files go to `taken`, faulty ones to `in_error` below it."""

    path: Path
    dossier_code: str

    def names(self) -> list[str]:
        """Return the regular files, sorted; raise SourceError E-HUB-001 or 002 when the folder cannot be read."""
        try:
            with os.scandir(self.path) as entries:
                return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            raise PermanentFailure(
                "E-HUB-001", self._where, f"no folder {self.path}", "create it or correct hub_folder"
            ) from None
        except OSError as error:
            raise _refused(error, self._where) from error

    def has_pivots(self) -> bool:
        """True as soon as one pivot file is seen; False also for a folder that cannot be read."""
        try:
            with os.scandir(self.path) as entries:
                return any(is_pivot(entry.name) for entry in entries)
        except OSError:
            return False

    def read(self, name: str, names: Sequence[str]) -> PivotFile:
        """Return a pivot file; raise FileNotFoundError when another pass put it away."""
        try:
            # Between listing and reading somebody may have put a link in the place of the file.
            with open(os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                data = file.read(LARGEST_BYTES + 1)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _refused(error, f"{self._where} file {storable(name)}") from error
        return PivotFile(name, content_hash(data), companions_of(name, names), parse(data))

    def is_young(self, name: str, now: datetime, seconds: float) -> bool:
        """True when the file was written less than so many seconds ago: it may be unfinished."""
        try:
            written = datetime.fromtimestamp((self.path / name).stat().st_mtime, UTC)
        except OSError:
            return False
        return abs((now - written).total_seconds()) < seconds

    def put_away(self, name: str, companions: Sequence[str], kind: str, digest: str) -> None:
        """Move the companions, then the pivot file, to a folder below; doing it again after a crash ends the same.

        The pivot file goes last: as long as it is there, the next pass does the rest.
        """
        target = self.path / kind
        try:
            target.mkdir(exist_ok=True)
            to = name if not (target / name).exists() else f"{stem(name)}.{digest[:8]}{EXTENSION}"
            for companion in companions:
                _move(self.path / companion, target / f"{stem(to)}{companion[len(stem(name)) :]}")
                failpoint("hub.companion_moved")
            _move(self.path / name, target / to)
        except OSError as error:
            raise _refused(error, f"{self._where} file {storable(name)}") from error

    @property
    def _where(self) -> str:
        return f"data hub of dossier {self.dossier_code}"


def parse(data: bytes) -> PivotContent:
    """Return what the bytes of a pivot file say; a faulty file comes back with its `fault`."""
    if len(data) > LARGEST_BYTES:
        return PivotContent(UNREADABLE_TYPE, "CRM", {}, "", f"larger than {LARGEST_BYTES} bytes")
    payload = storable(data.decode("utf-8", "backslashreplace"))
    try:
        root, payload = _root(data)
    except FaultyPivot as fault:
        return PivotContent(UNREADABLE_TYPE, "CRM", {}, payload, str(fault))
    type_code = root.get("DataSetType") or ""
    origin = root.get("Origin") or "CRM"
    known = origin if origin in ORIGINS else "OTHER"
    try:
        if root.tag != ROOT:
            raise FaultyPivot(f"the first element is {root.tag}, not {ROOT}")
        if not type_code.strip():
            raise FaultyPivot("attribute DataSetType is missing")
        if len(type_code) > LONGEST_TYPE:
            raise FaultyPivot(f"DataSetType has {len(type_code)} characters, at most {LONGEST_TYPE}")
        if origin not in ORIGINS:
            raise FaultyPivot(f"Origin is {origin!r}, not one of {', '.join(ORIGINS)}")
        return PivotContent(type_code, known, dict(_fields(root)), payload)
    except FaultyPivot as fault:
        return PivotContent(type_code.strip()[:LONGEST_TYPE] or UNREADABLE_TYPE, known, {}, payload, str(fault))


def _root(data: bytes) -> tuple[etree._Element, str]:
    """Return the root element and the text of the file."""
    try:
        root = root_of(data)
    except NotXml as error:
        raise FaultyPivot(str(error)) from error
    return root, storable(data.decode(root.getroottree().docinfo.encoding or "utf-8", "backslashreplace"))


def _fields(root: etree._Element) -> Iterator[tuple[str, str]]:
    """Yield name and value of every field: `Name`, or `Parent/Child`; a repeated element has its position as in XPath."""
    for name, element in _positioned(root):
        children = list(_positioned(element))
        if not children:
            yield name, (element.text or "").strip()
        for child_name, child in children:
            if len(child):
                raise FaultyPivot(f"{name}/{child_name} holds elements; one level below a field is allowed")
            yield f"{name}/{child_name}", (child.text or "").strip()


def _positioned(parent: etree._Element) -> Iterator[tuple[str, etree._Element]]:
    names = [str(child.tag) for child in parent]
    total, seen = Counter(names), Counter[str]()
    for child, name in zip(parent, names, strict=True):
        seen[name] += 1
        yield (name if total[name] == 1 else f"{name}[{seen[name]}]"), child


def _move(source: Path, target: Path) -> None:
    try:
        os.replace(source, target)
    except FileNotFoundError:
        return  # another pass, or this one before a crash, moved it


def _refused(error: OSError, where: str) -> SourceError:
    return TransientFailure("E-HUB-002", where, error.strerror or str(error), "check the rights and the disk of the folder")
