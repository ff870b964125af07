"""Q9: the peak memory of an intake of ten times as many orders, each in a process of its own.

Run as `python -m benchmarks.q9_memory ORDERS` it does one intake and prints the peak of its own process in MB.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Ratio
from benchmarks.q3_intake import ours


def peak_mb(orders: int) -> float:
    """Return the peak resident memory of a process that takes in so many orders."""
    command = [sys.executable, "-m", "benchmarks.q9_memory", str(orders)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own module
    return float(done.stdout.splitlines()[-1])


def run(*, full: bool) -> list[Ratio]:
    """100,000 orders against 10,000 when full, 10,000 against 1,000 otherwise; the columns are MB, not seconds."""
    orders = 10_000 if full else 1_000
    few, many = peak_mb(orders), peak_mb(10 * orders)
    return [Ratio("Q9", f"peak MB of an intake of {10 * orders:,} orders against {orders:,}", many, few, 1.2, 0.0)]


if __name__ == "__main__":
    ours(int(sys.argv[1]))
    # Not getrusage: what the parent had before the exec counts in it.
    (peak,) = [line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if line.startswith("VmHWM")]
    print(int(peak.split()[1]) / 1024)
