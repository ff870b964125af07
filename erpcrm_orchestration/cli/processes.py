"""Child processes that are started together, watched, and stopped together."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from erpcrm_orchestration.domain.errors import ErpcrmError

STOP_PATIENCE_S = 10
TIDY_PATIENCE_S = 3
RESTART_LIMIT = 5
"""More deaths than this within a minute end the program: something is wrong that a restart does not mend."""


class ProcessError(ErpcrmError):
    """A process that we need does not stay alive."""


@dataclass
class Child:
    """One program; its output goes to `log_file`."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log_file: Path
    answers: bool = False
    """It only answers requests: nothing waits for its end."""
    process: subprocess.Popen[bytes] | None = None
    deaths: list[float] = field(default_factory=list)
    _groups: list[int] = field(default_factory=list)
    """Its process group, and those of earlier lives in which something still runs: a run outlives its code server."""
    _log: IO[bytes] | None = None

    def start(self) -> None:
        """Start it in a session of its own, so that the terminal's Ctrl-C reaches us first."""
        self._log = self._log or self.log_file.open("ab")
        self.process = subprocess.Popen(  # noqa: S603 - our own programs, no shell
            list(self.command),
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, prepared beforehand, touches no lock
        )
        # A group keeps its number as long as somebody is in it; an empty one is forgotten before it is given to others.
        self._groups = [*(group for group in self._groups if _signal(group, 0)), self.process.pid]

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal_groups(self, number: int) -> None:
        """Signal the program and all it started, in earlier lives too; forget the groups that are empty."""
        self._groups = [group for group in self._groups if _signal(group, number)]

    def stop(self, patience_s: float = STOP_PATIENCE_S) -> None:
        """End it and all it started: first kindly, then surely."""
        if self.process is not None:
            self.signal_groups(signal.SIGTERM)
            try:
                self.process.wait(patience_s)
                self._wait_for_groups()
            except subprocess.TimeoutExpired:
                self.signal_groups(signal.SIGKILL)
                self.process.wait(patience_s)
            self.signal_groups(signal.SIGKILL)
        if self._log is not None:
            self._log.close()
            self._log = None

    def _wait_for_groups(self) -> None:
        """Give what it started the time to tidy up, a run to free its leases; zombies that nobody reaps cost that time."""
        limit = time.monotonic() + TIDY_PATIENCE_S
        while self._groups and time.monotonic() < limit:
            self.signal_groups(0)
            time.sleep(0.05)

    def last_line(self) -> str:
        """Return the last line of the log, for an error message."""
        text = self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""
        lines = text.strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"


class Group:
    """Children that live and die together; one that dies is started again, in the order given."""

    def __init__(self, children: Sequence[Child], *, keep: Callable[[], None] | None = None) -> None:
        """`keep` is called at every look: what else must stay alive."""
        self.children = list(children)
        self._keep = keep

    def __enter__(self) -> Group:
        try:
            for child in self.children:
                child.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def tend(self) -> list[str]:
        """Start again what died, and return the names; raise ProcessError for one that keeps dying."""
        for child in self.children:
            child.signal_groups(0)
        if self._keep is not None:
            self._keep()
        died = [child for child in self.children if not child.is_running]
        for child in died:
            now = time.monotonic()
            child.deaths = [*(at for at in child.deaths if now - at < 60), now]
            if len(child.deaths) > RESTART_LIMIT:
                raise ProcessError("E-RUN-003", child.name, f"it keeps ending: {child.last_line()}", f"read {child.log_file}")
            child.start()
        return [child.name for child in died]

    def stop(self) -> None:
        """Stop all: what only answers people at once, then the others, the last started first."""
        with ThreadPoolExecutor(max(len(self.children), 1)) as threads:
            list(threads.map(Child.stop, [child for child in self.children if child.answers]))
        for child in reversed([child for child in self.children if not child.answers]):
            child.stop()


def _signal(group: int, number: int) -> bool:
    """Signal a process group; return whether anybody is in it. 0 only asks."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


_system = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1
"""Source: prctl(2)."""


def _end_with_parent() -> None:
    """Let the kernel end the program when we die, however we die: a second daemon would start everything twice."""
    if _system is not None:
        _system.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
