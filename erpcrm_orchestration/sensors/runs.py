"""What Dagster knows of runs that were requested here."""

import dagster as dg

from erpcrm_orchestration.jobs import BATCH_TAG
from erpcrm_orchestration.services.ledger import RunState

OPEN_STATUSES = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def has_open_run(instance: dg.DagsterInstance, job_name: str) -> bool:
    """True while a run of this job waits or works: another one would only queue behind it."""
    return instance.get_runs_count(dg.RunsFilter(job_name=job_name, statuses=OPEN_STATUSES)) > 0


def batch_state(instance: dg.DagsterInstance, batch: str) -> RunState:
    """Return whether the run made for this request is open, has ended, or was never made."""
    runs = instance.get_runs(dg.RunsFilter(tags={BATCH_TAG: batch}), limit=1)
    if not runs:
        return "unknown"
    return "open" if runs[0].status in OPEN_STATUSES else "ended"


def ended_runs(instance: dg.DagsterInstance, run_ids: set[str]) -> set[str]:
    """Return those of these runs that have ended or that Dagster does not know any more."""
    if not run_ids:
        return set()
    known = instance.get_runs(dg.RunsFilter(run_ids=sorted(run_ids)))
    return {run.run_id for run in known if run.status not in OPEN_STATUSES}
