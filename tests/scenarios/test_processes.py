"""Programs that are watched: started again when they die, and stopped with all they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from erpcrm_orchestration.cli.processes import RESTART_LIMIT, Child, Group, ProcessError
from erpcrm_orchestration.dagster_internals import is_alive

PARENT = """
import pathlib, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", sys.argv[2]])
path = pathlib.Path(sys.argv[1])
path.with_suffix(".tmp").write_text(str(worker.pid))
path.with_suffix(".tmp").rename(path)
time.sleep(100)
"""
SLEEP = "import time; time.sleep(100)"
TIDY = """
import pathlib, signal, sys, time
def tidy(*_):
    time.sleep(0.5)
    pathlib.Path("FILE.tidied").write_text("")
    sys.exit()
signal.signal(signal.SIGTERM, tidy)
pathlib.Path("FILE.ready").write_text("")
time.sleep(100)
"""


def wait_until(look: Callable[[], bool], found: Callable[[], str] = str) -> None:
    """Wait at most 20 seconds; `found` says what is there instead."""
    limit = time.monotonic() + 20
    while not look():
        assert time.monotonic() < limit, found()
        time.sleep(0.01)


def of_kernel(pid: int) -> str:
    """Return what the kernel says of a process: its name, state, parent and signals."""
    return Path(f"/proc/{pid}/status").read_text(encoding="utf-8")


@pytest.fixture
def worker_file(tmp_path: Path) -> Path:
    return tmp_path / "worker"


@pytest.fixture
def child(tmp_path: Path, worker_file: Path) -> Iterator[Child]:
    """A program that starts a worker and waits."""
    command = [sys.executable, "-c", PARENT, str(worker_file), SLEEP]
    made = Child("server", command, dict(os.environ), tmp_path / "server.log")
    yield made
    made.stop()


def started_worker(file: Path) -> int:
    wait_until(file.exists)
    return int(file.read_text(encoding="utf-8"))


def test_what_a_program_started_before_it_was_killed_is_stopped_with_its_next_life(child: Child, worker_file: Path) -> None:
    with Group([child]) as group:
        orphan = started_worker(worker_file)
        assert child.process is not None
        child.process.send_signal(signal.SIGKILL)
        child.process.wait()
        worker_file.unlink()
        assert group.tend() == ["server"]
        second = started_worker(worker_file)
        assert is_alive(orphan)
        assert group.tend() == []
    wait_until(lambda: not is_alive(orphan) and not is_alive(second))


def test_a_worker_is_given_time_to_tidy_up_after_its_program_has_ended(tmp_path: Path, worker_file: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(worker_file), TIDY.replace("FILE", str(worker_file))]
    child = Child("server", command, dict(os.environ), tmp_path / "server.log")
    with Group([child]):
        wait_until(worker_file.with_suffix(".ready").exists)
    assert worker_file.with_suffix(".tidied").exists()


def test_a_program_that_keeps_ending_is_told_with_its_last_line(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    child = Child("server", [sys.executable, "-c", "print('no licence')"], dict(os.environ), log)

    def end() -> None:
        assert child.process is not None
        child.process.wait()

    with Group([child]) as group:
        for _ in range(RESTART_LIMIT):
            end()
            assert group.tend() == ["server"]
        end()
        with pytest.raises(ProcessError) as refused:
            group.tend()
    assert str(refused.value) == f"E-RUN-003 server: it keeps ending: no licence; read {log}"


HOLDER = """
import os, pathlib, sys, time
from erpcrm_orchestration.cli.processes import Child, Group
child = Child("sleeper", [sys.executable, "-c", sys.argv[2]], dict(os.environ), pathlib.Path(sys.argv[1] + ".log"))
with Group([child]):
    path = pathlib.Path(sys.argv[1])
    path.with_suffix(".tmp").write_text(str(child.process.pid))
    path.with_suffix(".tmp").rename(path)
    time.sleep(100)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends children with their parent")
def test_F35_what_was_started_ends_also_when_the_starter_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(told), SLEEP]) as holder:
        wait_until(told.exists)
        sleeper = int(told.read_text(encoding="utf-8"))
        assert is_alive(sleeper)
        holder.kill()
        wait_until(lambda: not is_alive(sleeper), lambda: of_kernel(sleeper))
    assert holder.returncode == -signal.SIGKILL
