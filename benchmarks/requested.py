"""The floor of Q6: an empty run for every file that appears in a folder, requested by a sensor as often as ours."""

# No postponed annotations here: Dagster reads the types of a step's configuration from its signature.
import os
from pathlib import Path

import dagster as dg

FOLDER = "BENCH_REQUESTS"
"""The variable that names the folder."""
INTERVAL_S = 5


class Asked(dg.Config):
    """The request to answer."""

    name: str


@dg.op
def answer(config: Asked) -> None:
    """Say that the run was here."""
    Path(os.environ[FOLDER], f"{config.name}.done").touch()


@dg.job(executor_def=dg.in_process_executor)
def answer_request() -> None:
    """An empty run."""
    answer()


@dg.sensor(job=answer_request, minimum_interval_seconds=INTERVAL_S, default_status=dg.DefaultSensorStatus.RUNNING)
def request_sensor() -> dg.SensorResult:
    """Request a run for every request that has none yet."""
    names = sorted(one.stem for one in Path(os.environ[FOLDER]).glob("*.asked"))
    requests = [dg.RunRequest(name, {"ops": {"answer": {"config": {"name": name}}}}) for name in names]
    for name in names:
        Path(os.environ[FOLDER], f"{name}.asked").rename(Path(os.environ[FOLDER], f"{name}.taken"))
    return dg.SensorResult(requests)


defs = dg.Definitions(jobs=[answer_request], sensors=[request_sensor])
