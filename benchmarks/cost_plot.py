"""The cost of an intake against its size, as a picture for docs/performance.md: Q3, its floor, and Q4."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.q3_intake import floor, ours


@dataclass(frozen=True)
class Point:
    """Seconds for one size: typed rows, the first intake, and the second after one order in a hundred changed."""

    orders: int
    floor_s: float
    first_s: float
    again_s: float


def measure(*, full: bool) -> list[Point]:
    """Return one point for each size, 1,000 to 30,000 orders when full."""
    sizes = (1_000, 3_000, 10_000, 30_000) if full else (500, 1_000, 2_000, 4_000)
    return [Point(orders, floor(orders), *ours(orders)) for orders in sizes]


def draw(points: list[Point], file: Path) -> None:
    """Write the picture; its format is that of the file's name."""
    import matplotlib  # noqa: PLC0415 - only where the extra is installed

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415 - after the backend was chosen

    matplotlib.rcParams["svg.hashsalt"] = "erpcrm"
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    orders = [one.orders for one in points]
    for label, style, values in (
        ("first intake (Q3)", "o-", [one.first_s for one in points]),
        ("typed rows in memory, the floor of Q3", "s--", [one.floor_s for one in points]),
        ("second intake, 1 % changed (Q4)", "^-", [one.again_s for one in points]),
    ):
        axes.plot(orders, values, style, label=label)
    axes.set(xscale="log", yscale="log", xlabel="orders of three lines", ylabel="seconds")
    axes.set_xticks(orders, [f"{one:,}" for one in orders])
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
