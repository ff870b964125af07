"""Child processes that are started together, watched, and stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from erpcrm_orchestration.domain.errors import ErpcrmError

STOP_PATIENCE_S = 10
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
    process: subprocess.Popen[bytes] | None = None
    deaths: list[float] = field(default_factory=list)
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
        )

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the program and all it started."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def stop(self, patience_s: float = STOP_PATIENCE_S) -> None:
        """End it and all it started: first kindly, then surely."""
        if self.process is not None:
            self.signal_group(signal.SIGTERM)
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.signal_group(signal.SIGKILL)
                self.process.wait(patience_s)
            self.signal_group(signal.SIGKILL)
        if self._log is not None:
            self._log.close()
            self._log = None

    def last_line(self) -> str:
        """Return the last line of the log, for an error message."""
        text = self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""
        lines = text.strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"


class Group:
    """Children that live and die together; one that dies is started again, in the order given."""

    def __init__(self, children: Sequence[Child]) -> None:
        self.children = list(children)

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
        died = [child for child in self.children if not child.is_running]
        for child in died:
            now = time.monotonic()
            child.deaths = [*(at for at in child.deaths if now - at < 60), now]
            if len(child.deaths) > RESTART_LIMIT:
                raise ProcessError("E-RUN-003", child.name, f"it keeps ending: {child.last_line()}", f"read {child.log_file}")
            child.start()
        return [child.name for child in died]

    def stop(self) -> None:
        """Stop all, the last started first."""
        for child in reversed(self.children):
            child.stop()
