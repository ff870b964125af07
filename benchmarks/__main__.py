"""Run the benchmarks and print their table: `python -m benchmarks [--full] [--plot docs/pictures/cost.svg] [Q1 Q2 ...]`."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import dagster as dg

from benchmarks import (
    cost_plot,
    q1_refresh,
    q2_sweep,
    q3_intake,
    q5_dlt,
    q6_latency,
    q7_start,
    q8_history,
    q9_memory,
    q10_board,
    q11_routines,
)
from benchmarks.measure import Ratio, machine

LINES: dict[str, Callable[..., list[Ratio]]] = {
    "Q1": q1_refresh.run,
    "Q2": q2_sweep.run,
    "Q3": q3_intake.run,
    "Q5": q5_dlt.run,
    "Q6": q6_latency.run,
    "Q7": q7_start.run,
    "Q8": q8_history.run,
    "Q9": q9_memory.run,
    "Q10": q10_board.run,
    "Q11": q11_routines.run,
}


def main() -> None:
    """Print one row for each ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--full", action="store_true", help="the sizes that docs/performance.md shows")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the cost of an intake against its size")
    parser.add_argument("lines", nargs="*", choices=[[], *LINES], help="which lines; all without")
    options = parser.parse_args()
    for lifecycle in (dg.PreviewWarning, dg.BetaWarning):
        warnings.filterwarnings("ignore", category=lifecycle)
    print(f"{machine()}\n")
    print("| line | work | ours, s | floor, s | ratio | spread | aim | met |\n|---|---|---|---|---|---|---|---|")
    missing = {"Q5"} if find_spec("dlt") is None else set()
    for name in [one for one in options.lines or LINES if one not in missing]:
        for ratio in LINES[name](full=options.full):
            print(ratio.row(), flush=True)
    for name in sorted(missing):
        print(f"{name} needs the extra `bench`: make bench installs it", file=sys.stderr)
    if options.plot:
        cost_plot.draw(cost_plot.measure(full=options.full), options.plot)


if __name__ == "__main__":
    main()
