"""Q2: the refresh through Dagster, every dossier with its materialisation and checks, against a run that only tells."""

from __future__ import annotations

import sqlalchemy as sa

from benchmarks.company import codes, fill
from benchmarks.dagster_instance import deployed, run_job, sweep_of
from benchmarks.empty import defs as empty
from benchmarks.measure import Ratio, compare, fresh_database, seconds
from erpcrm_orchestration.definitions import defs
from erpcrm_orchestration.domain.clock import SystemClock


def run(*, full: bool) -> list[Ratio]:
    """1,000 dossiers, 50 when it is small, every one changed, so that every one is told of."""
    dossiers = 1_000 if full else 50
    with fresh_database() as engine, deployed(engine) as instance:
        fill(engine, dossiers=dossiers, lines=dossiers * 100, datasets=dossiers * 30, now=SystemClock().now())
        wanted = codes(engine)
        instance.add_dynamic_partitions("dossier", wanted)
        sweep, floor_job = defs.resolve_job_def("refresh_interaction_state"), empty.resolve_job_def("tell_all")

        def ours() -> None:
            with engine.begin() as connection:
                connection.execute(sa.text("UPDATE supervision.interaction_state SET reported_at = NULL"))
            assert sweep.execute_in_process(instance=instance, run_config=sweep_of(wanted)).success

        def floor() -> None:
            config = {"ops": {"tell": {"config": {"dossiers": wanted}}}}
            assert floor_job.execute_in_process(instance=instance, run_config=config).success

        ratio = compare("Q2", f"sweep of {dossiers:,} dossiers, all told", ours, floor, aim=1.3, rounds=3)
        single = seconds(lambda: run_job("erpcrm_orchestration.definitions", "refresh_interaction_state", sweep_of(wanted[:1])))
        alone = f"the same, against one run for each of {dossiers:,} dossiers (one measured)"
        return [ratio, Ratio("Q2", alone, ratio.ours_s, single * dossiers, 0.01, 0.0)]
