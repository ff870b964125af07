"""The code location: names every module and builds the resources; no logic, no I/O."""

from __future__ import annotations

import dagster as dg

from erpcrm_orchestration.assets.intake import intake
from erpcrm_orchestration.assets.integration import entities
from erpcrm_orchestration.assets.outbox import mail, outbound_call
from erpcrm_orchestration.assets.reconciliation import reconciliation
from erpcrm_orchestration.assets.routines import ROUTINES
from erpcrm_orchestration.assets.supervision import interaction_state
from erpcrm_orchestration.assets.watchers import watcher
from erpcrm_orchestration.checks.installation import INSTALLATION
from erpcrm_orchestration.jobs import (
    deliver_calls,
    deliver_mail,
    execute_due_orders,
    integrate,
    observe_supervision,
    purge_expired,
    reconcile,
    refresh_interaction_state,
    take_in,
)
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.schedules.reconciliation import reconcile_schedule
from erpcrm_orchestration.schedules.supervision import (
    observe_supervision_schedule,
    purge_expired_schedule,
    refresh_interaction_state_schedule,
)
from erpcrm_orchestration.sensors.dossier import dossier_partition_sensor
from erpcrm_orchestration.sensors.integration import record_due_sensor
from erpcrm_orchestration.sensors.mail import mail_due_sensor
from erpcrm_orchestration.sensors.orders import order_due_sensor
from erpcrm_orchestration.sensors.supervision import lost_run_sensor, refresh_request_sensor
from erpcrm_orchestration.sensors.watchers import data_hub_sensor, inter_company_sensor, mobility_sensor

defs = dg.Definitions(
    assets=[intake, entities, reconciliation, interaction_state, watcher, mail, outbound_call, *ROUTINES],
    asset_checks=INSTALLATION,
    jobs=[
        refresh_interaction_state,
        take_in,
        integrate,
        reconcile,
        execute_due_orders,
        deliver_mail,
        deliver_calls,
        observe_supervision,
        purge_expired,
    ],
    schedules=[refresh_interaction_state_schedule, reconcile_schedule, observe_supervision_schedule, purge_expired_schedule],
    sensors=[
        dossier_partition_sensor,
        refresh_request_sensor,
        lost_run_sensor,
        inter_company_sensor,
        data_hub_sensor,
        mobility_sensor,
        mail_due_sensor,
        record_due_sensor,
        order_due_sensor,
    ],
    resources={"database": Database(url=dg.EnvVar("ERPCRM_DATABASE_URL")), "clock": ClockResource()},
    # A step of the default executor costs seconds of process start; these are set-based and end in milliseconds.
    executor=dg.in_process_executor,
)
