"""Programs of real systems that run for the length of a test session."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

PATIENCE_S = 90
STOP_S = 10


def free_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: Sequence[str], *, env: Mapping[str, str], cwd: Path, ready: Callable[[], bool]) -> Iterator[Path]:
    """Run a server until the end of the block; yield its log file once it is ready.

    It has a session of its own, so that its children are stopped with it; it also ends when this process is killed.
    """
    setpriv = shutil.which("setpriv")
    command = [setpriv, "--pdeathsig", "TERM", "--", *command] if setpriv else command
    log = cwd / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            _wait(process, ready, log)
            yield log
        finally:
            _stop(process)


def answers(url: str, *, status_below: int = 500) -> bool:
    """True when something speaks HTTP at the address and its status is below."""
    try:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(url, timeout=20).status_code < status_below
    except requests.RequestException:
        return False


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    pause = threading.Event()
    until = time.monotonic() + PATIENCE_S
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{process.args!r} is not ready: {log.read_text(errors='replace')[-2000:]}")
        pause.wait(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            continue
        return
