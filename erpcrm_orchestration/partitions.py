"""The one partitions definition: a dossier. Its keys are registered by `dossier_partition_sensor`, in the order of creation."""

from __future__ import annotations

import dagster as dg

from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.services.programs import known_programs

DOSSIERS = dg.DynamicPartitionsDefinition(name="dossier")

INTERACTION_STATE = dg.AssetKey(["supervision", "interaction_state"])
WATCHER = dg.AssetKey(["supervision", "watcher"])
LOGBOOK_ENTRY = dg.AssetKey(["flow", "logbook_entry"])
HUB_DATASET = dg.AssetKey(["flow", "hub_dataset"])
INTER_COMPANY_TASK = dg.AssetKey(["flow", "inter_company_task"])
MAIL = dg.AssetKey(["flow", "mail"])
OUTBOUND_CALL = dg.AssetKey(["flow", "outbound_call"])
RECONCILIATION = dg.AssetKey(["flow", "reconciliation"])

ROUTINE = {code: dg.AssetKey(["automation", program.table]) for code, program in known_programs().items()}
"""Program -> the table that its routine fills."""

INBOX = {entity: dg.AssetKey(["inbox", entity]) for entity in ENTITIES}
"""Entity -> what was received of it: its messages in flow.inbox."""
ENTITY = {name: dg.AssetKey(["hub", entity.table]) for name, entity in ENTITIES.items()}
"""Entity -> its table."""
