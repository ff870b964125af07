"""The page that connects a shop from nothing, done as it stands: its commands and files, and what it says that they print."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.deployment import free_port
from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.engine import VARIABLE, create_engine
from tests.scenarios.velo_shop import Velo

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "connect-your-own-shop.md"
SHOP, ERP = 8790, 8791
"""The ports of the page."""
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OURS_ALREADY = re.compile(r"make |\. \.venv|REPOSITORY=|mkdir |export ERPCRM_HOME=")
"""What the page sets up first: a test has its environment, folder and home."""
VARIES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)|\b1[78]\d{8}\b|\bcli-[0-9a-f-]{36}")
"""Instants, seconds since 1970, runs."""

pytestmark = pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl", "sed"))), reason="the page types bash, curl, sed")


@dataclass(frozen=True)
class Step:
    """What the page types, where, and what it shows after it; None when it shows nothing."""

    where: str
    typed: str
    shown: str | None


def steps() -> list[Step]:
    """Return the steps of the page; a block without a language is what the one before it prints."""
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    after = [*blocks[1:], ("end", "")]
    return [
        Step(language, text, shown if following == "" else None)
        for (language, text), (following, shown) in zip(blocks, after, strict=True)
        if language != ""
    ]


def words(text: str) -> list[str]:
    """Return what is read: however JSON is folded, lines are padded, and whatever differs from run to run."""
    lines = (line for line in text.splitlines() if line != "..." and not re.fullmatch(r"[-+]+", line))
    return re.findall(r"[{}\[\],]|[^\s{}\[\],]+", VARIES.sub("VARIES", "\n".join(lines)))


@dataclass
class Reader:
    """A person who follows the page: what is exported stays, and a command of ours works in this process."""

    folder: Path
    ports: dict[int, int]
    engine: sa.Engine
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def follow(self, step: Step) -> None:
        """Do a step and see what the page shows."""
        assert words(self.type(step.typed)) == words(step.shown or ""), step.typed

    def type(self, text: str) -> str:
        """Type a block line by line; return what was printed."""
        for port, ours in self.ports.items():
            text = text.replace(f":{port}", f":{ours}")
        printed, others = "", ""
        for line in text.splitlines(keepends=True):
            if line.startswith(("erpcrm ", "psql ")):
                printed += self._by_bash(others) + self._by_us(line)
                others = ""
            elif not OURS_ALREADY.match(line):
                others += line
        return printed + self._by_bash(others)

    def _by_us(self, line: str) -> str:
        program, *arguments = shlex.split(line)
        if program == "psql":
            return self._asked(arguments[-1])
        self.capsys.readouterr()
        run(arguments)
        written = self.capsys.readouterr()
        return written.out + written.err

    def _by_bash(self, text: str) -> str:
        for name, value in re.findall(r"^export (\w+)=(\S+)$", text, re.MULTILINE):
            self.monkeypatch.setenv(name, value)
        done = subprocess.run(["bash", "-e", "-c", text], cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout

    def _asked(self, sql: str) -> str:
        with self.engine.connect() as connection:
            found = connection.execute(sa.text(sql))
            rows = [tuple(found.keys()), *found.all()]
        return "\n".join([*(" | ".join(map(str, row)) for row in rows), f"({len(rows) - 1} rows)"])


@dataclass(frozen=True)
class Terminal:
    """The other terminal: a Python that waits for what is typed."""

    process: subprocess.Popen[str]

    def type(self, text: str) -> str:
        """Type a line; return the value that it shows."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextmanager
def other_terminal(typed: str, port: int) -> Iterator[Terminal]:
    """Start the ERP as the page says, on a port that is free."""
    program, *arguments = shlex.split(typed.replace(str(ERP), str(port)))
    assert program == ".venv/bin/python"
    command = [sys.executable, "-u", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        terminal = Terminal(process)
        assert terminal.type("erp.orders\n") == "[]"
        yield terminal


@pytest.fixture
def velo() -> Iterator[WebServer]:
    """The shop of the page."""
    with WebServer(Velo()) as server:
        yield server


@pytest.fixture
def engine(server: EmbeddedServer) -> Iterator[sa.Engine]:
    """A database that is not there before its first command."""
    made = create_engine(server.url("my_shop"))
    yield made
    made.dispose()
    with psycopg.connect(server.url(driver="postgresql").render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS my_shop WITH (FORCE)")


@pytest.fixture
def reader(
    engine: sa.Engine, velo: WebServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Reader:
    """Somebody in a new folder."""
    folder = tmp_path / "my-shop"
    (folder / "config").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv(VARIABLE, engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("REPOSITORY", str(ROOT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return Reader(folder, {SHOP: velo.port, ERP: free_port(0)}, engine, capsys, monkeypatch)


def test_whoever_follows_the_page_sees_what_it_shows_and_an_order_goes_there_and_back(reader: Reader, velo: WebServer) -> None:
    page = steps()
    places = [step.where for step in page]
    erp, up = places.index("bash ERP"), places.index("bash UP")
    for step in page[:erp]:
        reader.follow(step)
    with other_terminal(page[erp].typed, reader.ports[ERP]) as terminal:
        for step in page[erp + 1 : up]:
            if step.where == "python":
                assert terminal.type(step.typed) == "'shipped'"
            else:
                reader.follow(step)
        echo = reader.type("erpcrm integrate 100 --everything\n").splitlines()
    assert "100 velo_100 orders: received 1, integrated 1, rejected 0, waiting 0" in echo
    assert echo[-2:] == ["100 erp_100: delivered 0", "100 velo_100: delivered 0"]
    assert velo.system.log.count("PATCH") == 1
