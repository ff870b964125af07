"""A folder of files, on this machine or behind any address that fsspec knows: which files are there, and which are complete.

Nothing in it is ever changed, moved or deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from fsspec.core import url_to_fs
from fsspec.utils import get_protocol

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.errors import PermanentFailure, TransientFailure
from erpcrm_orchestration.domain.values import shown

COMPLETE_AFTER = timedelta(seconds=10)
"""A file that was written less long ago may be unfinished."""


@dataclass(frozen=True)
class FoundFile:
    """A file of the folder; `modified_at` is None where the folder does not tell it. One being written is not complete."""

    name: str
    path: str
    size: int
    modified_at: datetime | None
    is_complete: bool = True


class FileFolder:
    """The folder at an address; `options` are what its file system needs to let us in."""

    def __init__(self, address: str, options: Mapping[str, str], where: str, clock: Clock) -> None:
        self.where, self._address, self._options, self._clock = where, address, options, clock
        self._opened: tuple[Any, str] | None = None

    def files(self, pattern: str, companion: str | None = None) -> list[FoundFile]:
        """Return the files whose name fits, the newest last; one that was written to in the last ten seconds is not complete.

        With a `companion` such as .ok only files are there that have one beside them, and all of them are complete.
        Raises TransientFailure E-FILE-001 or 002 when the folder cannot be read.
        """
        if not pattern or "/" in pattern or "\\" in pattern:
            raise PermanentFailure("E-FILE-003", self.where, f"{shown(pattern)} is no pattern of names", "write it as *.csv")
        found = self._listed()
        names = {one.name for one in found}
        fitting = [one for one in found if fnmatchcase(one.name, pattern)]
        if companion is not None:
            fitting = [one for one in fitting if not one.name.endswith(companion) and _beside(one.name, companion) & names]
        else:
            fitting = [replace(one, is_complete=self._is_old(one)) for one in fitting]
        return sorted(fitting, key=lambda one: (one.modified_at or datetime.min.replace(tzinfo=UTC), one.name))

    def read(self, one: FoundFile, largest: int) -> bytes | None:
        """Return the bytes of a file, None when it changed since it was listed or went away.

        Raises PermanentFailure E-FILE-004 for one that is larger than what is accepted.
        """
        if one.size > largest:
            found = f"{one.size} bytes, at most {largest} are accepted"
            raise PermanentFailure(
                "E-FILE-004", f"{self.where} file {shown(one.name)}", found, "raise max_answer_mb or split it"
            )
        system, _ = self._open()
        try:
            data: bytes = system.cat_file(one.path)
            size = int(system.info(one.path)["size"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unread(error) from None
        return data if size == len(data) == one.size else None

    def _listed(self) -> list[FoundFile]:
        system, path = self._open()
        try:
            system.invalidate_cache()
            entries = system.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            raise TransientFailure(
                "E-FILE-001", self.where, "no such folder", "create it or correct the option folder"
            ) from None
        except OSError as error:
            raise self._unread(error) from None
        return [_found(one) for one in entries if one["type"] == "file" and not one.get("islink")]

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            try:
                self._opened = url_to_fs(self._address, **self._options)
            except (ValueError, ImportError, TypeError) as error:
                kind = get_protocol(self._address)
                found = f"no file system {kind}" if isinstance(error, ImportError | ValueError) else f"{kind} is not set up"
                remedy = "install the package that fsspec names for it, and give its options as credentials"
                raise PermanentFailure("E-FILE-005", self.where, found, remedy) from None
        return self._opened

    def _is_old(self, one: FoundFile) -> bool:
        # One from the future is complete: a clock is wrong, and waiting would not end.
        return one.modified_at is None or not timedelta(0) <= self._clock.now() - one.modified_at < COMPLETE_AFTER

    def _unread(self, error: OSError) -> TransientFailure:
        found = error.strerror or type(error).__name__
        return TransientFailure("E-FILE-002", self.where, found, "check the rights and the disk of the folder")


def _beside(name: str, companion: str) -> set[str]:
    """Return the names that a companion may have: orders.csv.ok and orders.ok."""
    return {name + companion, name.rpartition(".")[0] + companion}


def _found(entry: Mapping[str, Any]) -> FoundFile:
    path = str(entry["name"])
    return FoundFile(path.rstrip("/").rpartition("/")[2], path, int(entry["size"] or 0), _modified(entry))


def _modified(entry: Mapping[str, Any]) -> datetime | None:
    """Return when a file was last written; file systems name it differently."""
    for key in ("mtime", "LastModified", "last_modified", "modified", "updated"):
        value = entry.get(key)
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
    return None
