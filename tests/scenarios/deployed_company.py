"""The company of the tests that look at a deployment which really runs, and what the UI says of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from datetime import time as wall

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from tests.company import Company
from tests.scenarios.running_deployment import RunningDeployment

PASSWORD = "canary-9f3b-password"  # noqa: S105 - looked for in arguments and logs
EVERY_MINUTE = {"days": [1, 2, 3, 4, 5, 6, 7], "start": wall(0, 0), "duration_min": 1439, "frequency_min": 1}
SWEPT = ("001", "340")
ASKED_FOR = ("210", "450", "998")
STATE = ["supervision", "interaction_state"]
LOCATION = "erpcrm_orchestration.definitions"


def found_company(engine: sa.Engine) -> Company:
    """Two dossiers that are due every minute, and three that are refreshed only when somebody asks."""
    now = datetime.now(UTC)
    company = Company(engine, FixedClock(now), {})
    company.mail_group()
    company.template("FORM.dossier_code", "FORM.TOUT")
    another_day = {"days": [(now.isoweekday() + 2) % 7 + 1]}
    for code in sorted({*SWEPT, *ASKED_FOR}):
        company.dossier(code, process=EVERY_MINUTE if code in SWEPT else another_day, time_zone="UTC")
        company.log(code, now)
    return company


@contextmanager
def states_locked(company: Company) -> Iterator[None]:
    """Let every refresh wait in the middle: it has its leases and cannot write its states."""
    with company.engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE supervision.interaction_state IN EXCLUSIVE MODE"))
        yield


def waiting_refreshes(company: Company) -> int:
    """Return how many sessions wait for the table of the states."""
    with company.engine.connect() as connection:
        found: int = connection.execute(
            sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'supervision.interaction_state'::regclass")
        ).scalar_one()
    return found


def materialized(deployment: RunningDeployment, asset: Sequence[str] = STATE) -> set[str]:
    """Return the dossiers whose state, or another asset, the UI shows as materialised."""
    query = """query Partitions($key: AssetKeyInput!) {
      assetNodeOrError(assetKey: $key) {
        ... on AssetNode { assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions } } }
      }
    }"""
    found = deployment.ask(query, key={"path": list(asset)})["assetNodeOrError"]["assetPartitionStatuses"]
    return set(found["materializedPartitions"])
