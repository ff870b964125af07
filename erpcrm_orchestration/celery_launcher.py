"""A launcher of runs for workers of Celery that notices a worker that is gone. Needs the extra `celery`."""

from __future__ import annotations

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from erpcrm_orchestration.dagster_internals import CheckRunHealthResult, WorkerStatus

ANSWER_S = 1.0
"""Workers answer within milliseconds, also while their processes work."""
ASKED = 3
"""A worker that does not answer is asked again before it is taken for gone."""


class WatchedCeleryRunLauncher(CeleryRunLauncher):
    """The launcher of dagster-celery, able to tell run monitoring that a worker died with its whole machine.

    Celery keeps such a task as started for ever: nobody is left to say that it is not.
    """

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """FAILED when no worker has the task of the run any more; else what the result of the task says."""
        told = super().check_run_worker_health(run)
        task = run.tags[DAGSTER_CELERY_TASK_ID_TAG]
        if told.status is not WorkerStatus.RUNNING or any(self._is_held(task) for _ in range(ASKED)):
            return told
        # Its end may have come between the two questions.
        told = super().check_run_worker_health(run)
        if told.status is not WorkerStatus.RUNNING:
            return told
        return CheckRunHealthResult(WorkerStatus.FAILED, f"no worker of Celery has task {task}")

    def _is_held(self, task: str) -> bool:
        answers = self.celery.control.inspect(timeout=ANSWER_S).query_task(task) or {}
        return any(task in one for one in answers.values())
