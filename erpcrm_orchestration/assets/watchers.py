"""The watchers, as people see them: ON or OFF."""

import dagster as dg

from erpcrm_orchestration.domain.watcher import WatcherState
from erpcrm_orchestration.partitions import WATCHER
from erpcrm_orchestration.resources import ClockResource, Database
from erpcrm_orchestration.services.watchers import close_alerts_of_inactive, observe


@dg.asset(key=WATCHER, group_name="supervision", kinds={"postgres"}, metadata={"dagster/table_name": "supervision.watcher"})
def watcher(database: Database, clock: ClockResource) -> dg.MaterializeResult[None]:
    """INTERCOMPANY, DATA_HUB and MOBILITY: when each looked last, and whether that is recent enough to count as ON."""
    found = observe(database.engine, clock=clock)
    close_alerts_of_inactive(database.engine, clock=clock)
    rows = [
        dg.TableRecord(
            {
                "watcher": one.watcher_code,
                "state": state.value,
                "heartbeat_at": one.heartbeat_at.isoformat() if one.heartbeat_at else "never",
                "poll_interval_s": one.poll_interval_s,
                "last_work": one.last_work or "",
            }
        )
        for one, state in found
    ]
    on = sum(state is WatcherState.ON for _, state in found)
    return dg.MaterializeResult(
        metadata={"on": on, "off": len(found) - on, "watchers": dg.MetadataValue.table(rows, schema=SCHEMA)}
    )


SCHEMA = dg.TableSchema(
    [
        dg.TableColumn("watcher", "string"),
        dg.TableColumn("state", "string"),
        dg.TableColumn("heartbeat_at", "string"),
        dg.TableColumn("poll_interval_s", "int"),
        dg.TableColumn("last_work", "string"),
    ]
)
