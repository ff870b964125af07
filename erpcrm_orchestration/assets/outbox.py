"""What goes out: mails and calls that are due leave here, each once."""

import os
from dataclasses import asdict

import dagster as dg

from erpcrm_orchestration.partitions import MAIL, OUTBOUND_CALL
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.services.mail import deliver_due
from erpcrm_orchestration.services.mobility import deliver_calls


@dg.asset(key=MAIL, group_name="outbox", kinds={"postgres"}, metadata={"dagster/table_name": "flow.mail"})
def mail(database: Database, clock: ClockResource) -> dg.MaterializeResult[None]:
    """The mail outbox: what was sent, spooled for the mail calendar, refused, or is in doubt."""
    report = deliver_due(database.engine, clock=clock, environment=os.environ)
    return dg.MaterializeResult(metadata=asdict(report))


@dg.asset(key=OUTBOUND_CALL, group_name="outbox", kinds={"postgres"}, metadata={"dagster/table_name": "flow.outbound_call"})
def outbound_call(database: Database, clock: ClockResource) -> dg.MaterializeResult[None]:
    """Calls to other systems and files for them, each issued once whatever crashes."""
    report = deliver_calls(database.engine, clock=clock, environment=os.environ)
    return dg.MaterializeResult(metadata=asdict(report))
