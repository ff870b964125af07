"""Partitions follow the dossier table."""

import dagster as dg

from erpcrm_orchestration.partitions import DOSSIERS
from erpcrm_orchestration.resources import Database
from erpcrm_orchestration.services.dossiers import codes_in_order

NAME = "dossier"


@dg.sensor(
    name="dossier_partition_sensor",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Registers a partition for every dossier of the table; requests no run.",
)
def dossier_partition_sensor(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult | dg.SkipReason:
    """Add what is missing, in the order of creation; a partition is never removed: its history stays readable."""
    known = set(context.instance.get_dynamic_partitions(NAME))
    missing = [code for code in codes_in_order(database.engine) if code not in known]
    if not missing:
        return dg.SkipReason(f"{len(known)} dossiers, all registered")
    return dg.SensorResult(dynamic_partitions_requests=[DOSSIERS.build_add_request(missing)])
