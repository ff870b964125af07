"""Q7: what importing the definitions costs beyond importing Dagster, and a run beyond an empty run."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.company import fill
from benchmarks.dagster_instance import deployed, run_job, sweep_of
from benchmarks.measure import Ratio, compare, fresh_database
from erpcrm_orchestration.domain.clock import SystemClock


def run(*, full: bool) -> list[Ratio]:
    """Fresh processes on both sides."""
    rounds = 7 if full else 3
    with fresh_database() as engine, deployed(engine) as instance:
        fill(engine, dossiers=20, lines=2_000, datasets=600, now=SystemClock().now())
        instance.add_dynamic_partitions("dossier", ["D000001"])
        return [
            compare(
                "Q7",
                "import of the definitions, against `import dagster`",
                lambda: _python("-c", "import erpcrm_orchestration.definitions"),
                lambda: _python("-c", "import dagster"),
                aim=1.5,
                rounds=rounds,
            ),
            compare(
                "Q7",
                "one run in its process, against an empty run",
                lambda: run_job("erpcrm_orchestration.definitions", "refresh_interaction_state", sweep_of(["D000001"])),
                lambda: run_job("benchmarks.empty", "do_nothing"),
                aim=1.2,
                rounds=rounds,
            ),
        ]


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)  # noqa: S603 - our own interpreter
