"""Partitions follow the dossier table."""

import dagster as dg

from erpcrm_orchestration.resources import Database
from erpcrm_orchestration.services.dossiers import codes_in_order

NAME = "dossier"
SAMPLE = 20


@dg.sensor(
    name="dossier_partition_sensor",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Registers a partition for every dossier of the table; requests no run.",
)
def dossier_partition_sensor(context: dg.SensorEvaluationContext, database: Database) -> dg.SkipReason:
    """Add what is missing, in the order of creation; a partition is never removed: its history stays readable.

    Added here and not as a request of the sensor's result: the daemon asks the storage for each requested key by itself,
    which takes minutes for ten thousand.
    """
    known = set(context.instance.get_dynamic_partitions(NAME))
    missing = [code for code in codes_in_order(database.engine) if code not in known]
    if not missing:
        return dg.SkipReason(f"{len(known)} dossiers, all registered")
    context.instance.add_dynamic_partitions(NAME, missing)
    return dg.SkipReason(f"{len(missing)} dossiers registered: {', '.join(missing[:SAMPLE])}")
