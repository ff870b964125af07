"""Q8: refresh one dossier when the store holds a hundred times more history, against itself at once."""

from __future__ import annotations

import statistics
from datetime import timedelta

from benchmarks.company import add_history, fill
from benchmarks.measure import Ratio, fresh_database, seconds
from erpcrm_orchestration.domain.clock import FixedClock, SystemClock
from erpcrm_orchestration.services.supervision import Refresh, refresh

ROUNDS = 15


def run(*, full: bool) -> list[Ratio]:
    """20 dossiers; then a hundred times the lines and closed datasets, over a year."""
    dossiers, lines, datasets = 20, 20_000 if full else 2_000, 2_000 if full else 400
    clock = FixedClock(SystemClock().now())
    with fresh_database() as engine:

        def once() -> None:
            clock.at += timedelta(milliseconds=1)
            result = refresh(engine, ["D000001"], Refresh(clock, {}, notify=False))
            assert len(result.states) == 1

        def median() -> tuple[float, float]:
            once()
            taken = sorted(seconds(once) for _ in range(ROUNDS))
            return statistics.median(taken), (taken[-2] - taken[1]) / statistics.median(taken)

        fill(engine, dossiers=dossiers, lines=lines, datasets=datasets, now=clock.now(), days=3)
        before, _ = median()
        add_history(
            engine, dossiers=dossiers, lines=99 * lines, datasets=99 * datasets, now=clock.now() - timedelta(days=3), days=360
        )
        after, spread = median()
    work = f"one dossier, history of {100 * lines:,} lines against {lines:,}"
    return [Ratio("Q8", work, after, before, 1.2, spread)]
