"""Where the real systems are kept between test runs: an environment and prepared data for each, built once per machine.

A folder `<name>-<key>` is whole when its file `built.json` is there; the key is the hash of everything that it is made
from, so that another version is another folder. Who builds holds a lock; everybody else waits for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SITES = HERE / "sites"
"""Code that runs in the environments of the systems, each a folder of its own."""
MARK = "built.json"
LONGEST_BUILD_S = 900
UNUSED_S = 30 * 24 * 3600
_FOREIGN = ("PG", "DJANGO_", "PYTHON", "VIRTUAL_ENV", "TRYTON", "DB", "EMAIL", "ERPCRM_", "COV_")


class NotBuilt(Exception):
    """A real system could not be set up; the text says which command failed and with what."""


def cache_folder() -> Path:
    """Return the folder of all real systems, outside of the repository."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "erpcrm-orchestration" / "real"


@dataclass(frozen=True)
class Recipe:
    """How a system is built. `make` fills the folder, in which the environment `venv` is there already.

    `python` returns the interpreter for the environment; `site` is the folder of scripts that the key covers too.
    """

    name: str
    make: Callable[[Path], None]
    site: Path
    python: Callable[[], str] = lambda: sys.executable

    @property
    def requirements(self) -> Path:
        return HERE / "requirements" / f"{self.name}.txt"

    @property
    def folder(self) -> Path:
        """The folder that belongs to these versions and scripts."""
        digest = hashlib.sha256()
        digest.update(f"{sys.version_info[:2]}{inspect.getsource(self.make)}".encode())
        for file in (self.requirements, *sorted(self.site.rglob("*.py"))):
            digest.update(file.read_bytes())
        return cache_folder() / f"{self.name}-{digest.hexdigest()[:12]}"

    @property
    def is_built(self) -> bool:
        """Whether the folder is there and whole."""
        return (self.folder / MARK).exists()

    def built(self) -> Path:
        """Return the whole folder, after building it when it is missing; raise NotBuilt when that fails."""
        folder = self.folder
        if self.is_built:
            (folder / MARK).touch()
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_suffix(".lock")):
            if not self.is_built:
                self._build(folder)
                self._forget_unused()
        return folder

    def _build(self, folder: Path) -> None:
        started = time.monotonic()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        make_environment(folder / "venv", self.python(), self.requirements)
        installed = time.monotonic()
        self.make(folder)
        seconds = {"install_s": round(installed - started, 1), "make_s": round(time.monotonic() - installed, 1)}
        (folder / MARK).write_text(json.dumps(seconds), encoding="utf-8")

    def _forget_unused(self) -> None:
        """Remove folders of other versions that no test has used for a month."""
        for mark in cache_folder().glob(f"{self.name}-*/{MARK}"):
            if mark.stat().st_mtime < time.time() - UNUSED_S:
                shutil.rmtree(mark.parent, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_environment(venv: Path, python: str, requirements: Path) -> None:
    """Make a virtual environment with exactly these packages, by uv when there is one."""
    uv = shutil.which("uv")
    target = str(venv / "bin" / "python")
    if uv:
        run([uv, "venv", "--quiet", "--python", python, str(venv)])
        run([uv, "pip", "install", "--quiet", "--python", target, "--no-deps", "-r", str(requirements)])
        return
    run([python, "-m", "venv", str(venv)])
    run([target, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", str(requirements)])


def environment(**more: str) -> dict[str, str]:
    """Return the environment for programs of a real system: nothing of ours, nothing of another database or Django."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, "TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": "1", **more}


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a program with low priority and return what it prints; raise NotBuilt with its last lines when it fails."""
    try:
        done = subprocess.run(
            ["nice", "-n", "10", *command],
            env=environment() if env is None else env,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=LONGEST_BUILD_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBuilt(f"{command[0]}: {error}") from error
    if done.returncode:
        raise NotBuilt(f"{' '.join(command[:4])} ended with {done.returncode}: {(done.stderr or done.stdout)[-1500:]}")
    return done.stdout
