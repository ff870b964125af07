"""The one partitions definition: a dossier. Its keys are registered by `dossier_partition_sensor`, in the order of creation."""

from __future__ import annotations

import dagster as dg

DOSSIERS = dg.DynamicPartitionsDefinition(name="dossier")

INTERACTION_STATE = dg.AssetKey(["supervision", "interaction_state"])
WATCHER = dg.AssetKey(["supervision", "watcher"])
LOGBOOK_ENTRY = dg.AssetKey(["flow", "logbook_entry"])
HUB_DATASET = dg.AssetKey(["flow", "hub_dataset"])
INTER_COMPANY_TASK = dg.AssetKey(["flow", "inter_company_task"])
MAIL = dg.AssetKey(["flow", "mail"])
OUTBOUND_CALL = dg.AssetKey(["flow", "outbound_call"])
