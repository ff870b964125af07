"""A deployment that really runs: `erpcrm up` as a process of its own, and what a person sees of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

ERPCRM = (sys.executable, "-m", "erpcrm_orchestration.cli.main")
START_PATIENCE_S = 120
STOP_PATIENCE_S = 60
BUSY = 3
"""So many times slower than a quiet machine may one be on which everything else is tested at the same time."""
LOOK_EVERY_S = 0.2
Found = TypeVar("Found")


def clean_environment(home: Path, **added: str) -> dict[str, str]:
    """Return the environment of a person who uses this home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ERPCRM_", "DAGSTER_"))}
    return {**kept, "ERPCRM_HOME": str(home), **added}


def wait_for(look: Callable[[], Found | None], patience_s: float, what: str) -> Found:
    """Return what `look` finds; fail naming what was waited for. `patience_s` is that of a quiet machine."""
    limit = time.monotonic() + BUSY * patience_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > limit:
            raise AssertionError(f"not within {BUSY} times {patience_s} s: {what}")
        time.sleep(LOOK_EVERY_S)


@dataclass
class Process:
    """What the kernel tells of a process."""

    pid: int
    command: str

    @property
    def parent(self) -> int:
        return int(Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


def processes_of(home: Path) -> list[Process]:
    """Return every living process that was started for this home, whoever its parent is by now."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            state = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            continue
        ours = f"ERPCRM_HOME={home}".encode() in environment or str(home) in command
        if ours and state not in {"Z", "X"}:
            found.append(Process(int(folder.name), command))
    return found


class RunningDeployment:
    """`erpcrm up` on a home of its own."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.environment = dict(environment)
        self.output = home.parent / f"{home.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.board_url = ""

    def start(self, **added: str) -> None:
        """Start it and wait until it says where its UI is."""
        with self.output.open("wb") as log:
            self.process = subprocess.Popen(
                [*ERPCRM, "up", "--port", "0"],
                env={**self.environment, **added},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        found = wait_for(self._address, START_PATIENCE_S, f"erpcrm up; it said: {self.output.read_text()}")
        self.url = found
        self.board_url = str(re.search(r"^board\s+(\S+)", self.output.read_text(encoding="utf-8"), re.MULTILINE)[1])  # type: ignore[index]

    def _address(self) -> str | None:
        assert self.process is not None
        assert self.process.poll() is None, self.output.read_text(encoding="utf-8")
        found = re.search(r"Dagster UI\s+(\S+).*\nlogs(?s:.*)\nCtrl-C", self.output.read_text(encoding="utf-8"))
        return found[1] if found else None

    def terminate(self) -> float:
        """Send SIGTERM, wait for the end, and return how many seconds that took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_PATIENCE_S)
        return time.monotonic() - began

    def clean_up(self) -> None:
        """End whatever is left of it."""
        if self.process is not None and self.process.poll() is None:
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for left in processes_of(self.home):
            try:
                os.kill(left.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another `erpcrm` command on the same home."""
        return subprocess.run([*ERPCRM, *arguments], env=self.environment, capture_output=True, text=True, check=False)

    def code_server(self) -> int:
        """Return the pid of the code server, which leads its process group."""
        assert self.process is not None
        for one in processes_of(self.home):
            if " api grpc " in one.command and one.parent == self.process.pid:
                return one.pid
        raise AssertionError("no code server runs")

    def ask(self, query: str, **variables: Any) -> Any:
        """Return the answer of the UI's GraphQL interface."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            found = json.load(answer)
        assert "errors" not in found, found["errors"]
        return found["data"]

    def runs(self, **tags: str) -> list[dict[str, Any]]:
        """Return the runs with these tags, the newest first."""
        query = """query Runs($tags: [ExecutionTag!]) {
          runsOrError(filter: {tags: $tags}, limit: 100) {
            ... on Runs { results { runId status jobName tags { key value } } }
          }
        }"""
        wanted = [{"key": key.replace("_", "/"), "value": value} for key, value in tags.items()]
        found: list[dict[str, Any]] = self.ask(query, tags=wanted)["runsOrError"]["results"]
        return found
