"""Mails that became due: spooled ones at the opening of the mail calendar, and those to be tried again."""

import dagster as dg

from erpcrm_orchestration.jobs import deliver_mail
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.sensors.runs import has_open_run
from erpcrm_orchestration.services.mail import due


@dg.sensor(
    job=deliver_mail,
    name="mail_due_sensor",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a delivery when mails are due.",
)
def mail_due_sensor(
    context: dg.SensorEvaluationContext, database: Database, clock: ClockResource
) -> dg.RunRequest | dg.SkipReason:
    """One run for everything that is due."""
    with database.engine.connect() as connection:
        count = due(connection, clock.now())
    if not count:
        return dg.SkipReason("no mail is due")
    if has_open_run(context.instance, deliver_mail.name):
        return dg.SkipReason("the previous run is still open")
    return dg.RunRequest()
