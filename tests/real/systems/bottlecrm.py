"""A real CRM: BottleCRM (django-crm) on the embedded PostgreSQL, two organisations kept apart by row rights.

It needs Python 3.12 or later in an environment of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import requests

from erpcrm_orchestration.store.embedded import EmbeddedServer, binaries
from tests.real.systems.cache import SITES, NotBuilt, Recipe, environment, run
from tests.real.systems.serving import answers, free_port, serving

SITE = SITES / "bottlecrm_site"
ROLE = "bottlecrm"
DUMP = "crm.dump"


def python_312() -> str:
    """Return an interpreter of Python 3.12 or later; raise NotBuilt with what to install when there is none."""
    if sys.version_info >= (3, 12):
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [shutil.which("python3.12"), shutil.which("python3.13"), *sorted(map(str, pyenv.glob("3.1[23].*/bin/python")))]
    for candidate in found:
        if candidate and _works(candidate):
            return candidate
    uv = shutil.which("uv")
    if uv:
        candidate = _found_by(uv) or _fetched_by(uv)
        if candidate:
            return candidate
    raise NotBuilt("BottleCRM needs Python 3.12 or later: install python3.12, or uv on a machine that may download it")


def _works(python: str) -> bool:
    check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))"
    return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0


def _found_by(uv: str) -> str | None:
    done = subprocess.run([uv, "python", "find", ">=3.12"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _fetched_by(uv: str) -> str | None:
    """Let uv fetch an interpreter, where the machine may download one."""
    try:
        run([uv, "python", "install", "3.12"])
    except NotBuilt:
        return None
    return _found_by(uv)


def _environment(server: EmbeddedServer, database: str, settings: str) -> dict[str, str]:
    return environment(
        DJANGO_SETTINGS_MODULE=settings,
        PYTHONPATH=str(SITES),
        DBNAME=database,
        # Not a superuser: those see every row.
        DBUSER=ROLE,
        DBPASSWORD=ROLE,
        DBHOST=str(server.socket_folder),
        DBPORT="5432",
        SECRET_KEY="loopback-only-" * 4,
        ENV_TYPE="dev",
        ALLOWED_HOSTS="127.0.0.1",
        # Without a broker every write fails; in memory, nobody works on the tasks.
        CELERY_BROKER_URL="memory://",
        CELERY_RESULT_BACKEND="cache+memory://",
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT="9",
    )


def _create_database(server: EmbeddedServer, name: str) -> None:
    address = server.url(driver="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,)).fetchone() is None:
            connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}'")
        connection.execute(f'CREATE DATABASE "{name}" OWNER {ROLE}')


def _make(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        server = EmbeddedServer(Path(place) / "data", durable=False)
        server.start()
        try:
            _create_database(server, "crm")
            env = _environment(server, "crm", "bottlecrm_site.settings")
            printed = run([str(folder / "venv" / "bin" / "python"), str(SITE / "seed.py")], env=env, cwd=folder)
            (folder / "tokens.json").write_text(printed.strip().splitlines()[-1], encoding="utf-8")
            dump = [str(binaries() / "pg_dump"), "-Fc", "-h", str(server.socket_folder), "-U", "postgres", "crm"]
            run([*dump, "-f", str(folder / DUMP)])
        finally:
            server.stop("immediate")


RECIPE = Recipe("bottlecrm", _make, SITE, python_312)


@dataclass(frozen=True)
class Organisation:
    """`read` is the key that may only read (header Token), `write` the personal token (Authorization: Bearer)."""

    org: str
    name: str
    read: str
    write: str


@dataclass(frozen=True)
class BottleCrm:
    """A running CRM with two organisations, of which neither sees the other."""

    url: str
    organisations: Sequence[Organisation]

    @property
    def api(self) -> str:
        return f"{self.url}/api"

    def ask(self, method: str, path: str, *, organisation: int = 0, **options: Any) -> requests.Response:
        """Return the answer to a request of an organisation that may write; `path` is below /api/."""
        headers = {"Authorization": f"Bearer {self.organisations[organisation].write}"}
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, f"{self.api}/{path}", headers=headers, timeout=30, **options)

    def accounts(self, organisation: int = 0) -> list[dict[str, Any]]:
        """Return the open accounts of an organisation."""
        answer = self.ask("GET", "accounts/", organisation=organisation, params={"limit": 1000, "offset": 0})
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["active_accounts"]["open_accounts"]
        return found

    def add_account(self, name: str, organisation: int = 0, **values: str) -> str:
        """Add an account and return its id."""
        body = {"name": name, "email": "", "phone": "", "website": "", "city": "Lyon", "country": "FR", **values}
        self.ask("POST", "accounts/", organisation=organisation, json=body).raise_for_status()
        return next(str(one["id"]) for one in self.accounts(organisation) if one["name"] == name)


@contextmanager
def running_bottlecrm(folder: Path, server: EmbeddedServer) -> Iterator[BottleCrm]:
    """Run a CRM on a database of its own in the server."""
    built = RECIPE.built()
    tokens = json.loads((built / "tokens.json").read_text(encoding="utf-8"))
    _create_database(server, "bottlecrm")
    restore = [str(binaries() / "pg_restore"), "-h", str(server.socket_folder), "-U", "postgres", "-d", "bottlecrm"]
    run([*restore, str(built / DUMP)])
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {**_environment(server, "bottlecrm", "crm.settings"), "HOME": str(folder)}
    gunicorn = [str(built / "venv" / "bin" / "gunicorn"), "--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "4"]
    with serving([*gunicorn, "crm.wsgi:application"], env=env, cwd=folder, ready=lambda: answers(f"{url}/healthz/")):
        yield BottleCrm(url, [Organisation(**one) for one in tokens])
