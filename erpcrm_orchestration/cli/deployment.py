"""A Dagster deployment on this machine: its home, its environment, its programs."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import yaml
from sqlalchemy.engine import URL

from erpcrm_orchestration.cli.processes import Child
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.store.engine import VARIABLE

DAGSTER_DATABASE = "dagster"
DAGSTER_PREFIX = "/dagster"
LONGEST_SOCKET_PATH = 100
MODULE = "erpcrm_orchestration.definitions"
DAGSTER_SETTINGS = "ERPCRM_DAGSTER_SETTINGS"


@dataclass(frozen=True)
class Deployment:
    """`home` is ERPCRM_HOME, `database` our URL; Dagster's storage is the database `<ours>_dagster` of the same server.

    `port` is the board's. Dagster's web server runs twice on loopback behind it: one that may everything, one that reads.
    """

    home: Path
    database: URL
    port: int
    dagster_port: int = field(default_factory=lambda: free_port(0))
    dagster_read_port: int = field(default_factory=lambda: free_port(0))

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"

    @property
    def dagster_database(self) -> URL:
        return self.database.set(database=f"{self.database.database}_{DAGSTER_DATABASE}")

    @property
    def code_socket(self) -> Path:
        """The Unix socket of the code server: it has no authentication, so nobody else may reach it."""
        short = self.dagster_home / "code.sock"
        if len(str(short)) <= LONGEST_SOCKET_PATH:
            return short
        digest = hashlib.sha256(str(short).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"erpcrm-{os.getuid()}-{digest}.sock"

    @property
    def url(self) -> str:
        """Return where people reach the board."""
        return (os.environ.get("ERPCRM_BOARD_URL") or f"http://127.0.0.1:{self.port}").rstrip("/")

    @property
    def dagster_url(self) -> str:
        """Return where programs of this machine reach Dagster's web server, which knows no login."""
        return f"http://127.0.0.1:{self.dagster_port}{DAGSTER_PREFIX}"

    def environment(self) -> dict[str, str]:
        """Return what every program of the deployment needs, secrets included: for their environment only."""
        return {
            **os.environ,
            VARIABLE: self.database.render_as_string(hide_password=False),
            "DAGSTER_HOME": str(self.dagster_home),
            "DAGSTER_PG_URL": self.dagster_database.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False),
            "ERPCRM_HOME": str(self.home),
            # Mails of orders say where their order and its run are seen.
            "ERPCRM_BOARD_URL": self.url,
            # A run over many dossiers plans one event for its partitions and writes materialisations in batches.
            "DAGSTER_EVENT_BATCH_SIZE": "1000",
            "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def write_files(self) -> None:
        """Write dagster.yaml and the workspace of the shared code server into the Dagster home."""
        self.dagster_home.mkdir(parents=True, exist_ok=True)
        (self.dagster_home / "dagster.yaml").write_text(_dagster_settings(), encoding="utf-8")
        workspace = {"load_from": [{"grpc_server": {"socket": str(self.code_socket), "location_name": MODULE}}]}
        (self.dagster_home / "workspace.yaml").write_text(yaml.safe_dump(workspace), encoding="utf-8")
        (self.home / "logs").mkdir(exist_ok=True)

    def children(self) -> list[Child]:
        """Return the programs in the order of their start: code server, daemon, web servers, board."""
        environment = self.environment()
        workspace = ["-w", str(self.dagster_home / "workspace.yaml")]
        code = ["-m", "dagster", "api", "grpc", "-m", MODULE, "-a", "defs", "--socket", str(self.code_socket)]
        web = ["-m", "dagster_webserver", "-h", "127.0.0.1", "-l", DAGSTER_PREFIX, *workspace, "-p"]
        return [
            self._child("code-server", code, environment),
            self._child("daemon", ["-m", "dagster._daemon", "run", *workspace], environment),
            self._child("webserver", [*web, str(self.dagster_port)], environment),
            self._child("webserver-read-only", [*web, str(self.dagster_read_port), "--read-only"], environment),
            self._board(environment),
        ]

    def _board(self, environment: Mapping[str, str]) -> Child:
        added = {
            "ERPCRM_DAGSTER_URL": f"http://127.0.0.1:{self.dagster_port}",
            "ERPCRM_DAGSTER_READ_URL": f"http://127.0.0.1:{self.dagster_read_port}",
        }
        arguments = ["-m", "erpcrm_orchestration.cli.main", "board", "--port", str(self.port), "--no-link"]
        return self._child("board", arguments, {**environment, **added})

    def receiver(self, port: int) -> Child:
        """Return the receiver of webhooks."""
        arguments = ["-m", "erpcrm_orchestration.cli.main", "webhooks", "serve", "--port", str(port)]
        return self._child("webhooks", arguments, self.environment())

    def _child(self, name: str, arguments: list[str], environment: Mapping[str, str]) -> Child:
        answers = name not in {"code-server", "daemon"}
        return Child(name, [sys.executable, *arguments], environment, self.home / "logs" / f"{name}.log", answers)


def _dagster_settings() -> str:
    """Return our dagster.yaml; a file that ERPCRM_DAGSTER_SETTINGS names takes the place of the keys that it has."""
    ours = files("erpcrm_orchestration.deploy").joinpath("dagster.yaml").read_text(encoding="utf-8")
    name = os.environ.get(DAGSTER_SETTINGS, "")
    if not name:
        return ours
    try:
        own = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        found = " ".join(str(error).split())
        raise InputError("E-RUN-008", DAGSTER_SETTINGS, found, "name a YAML file with keys of dagster.yaml") from error
    if not isinstance(own, dict):
        raise InputError("E-RUN-008", DAGSTER_SETTINGS, f"{name} is no mapping", "write keys of dagster.yaml into it")
    return yaml.safe_dump({**yaml.safe_load(ours), **own}, sort_keys=False)


def free_port(wanted: int, *, option: str = "--port") -> int:
    """Return the wanted port of loopback when nobody listens there; raise InputError E-RUN-002 with the option otherwise."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise InputError("E-RUN-002", f"127.0.0.1:{wanted}", "something listens there", f"give another {option}") from error
        port: int = probe.getsockname()[1]
        return port
