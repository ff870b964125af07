"""What is told to a system of a record that changed: its values, their hash in the echo ledger, and the key of the change."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from erpcrm_orchestration.domain.connection import Writing

Operation = Literal["create", "update"]


def told(writing: Writing, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields whose change is sent, those that hold something; a reference is our id."""
    references = values.get("ref", {})
    found = {name: references.get(name, values.get(name)) for name in writing.fields}
    return {name: value for name, value in found.items() if value not in (None, [], {})}


def held_by_updates(writing: Writing) -> frozenset[str]:
    """Return the fields of a record that an update of it holds: the system has our value of these when it was carried out."""
    content = repr((writing.update.body, writing.update.variables)) if writing.update else ""
    return frozenset(name for name in writing.fields if re.search(rf"\{{{re.escape(name)}[.:}}]", content))


def values_hash(values: Mapping[str, Any]) -> str:
    """Return the hash of values as the echo ledger keeps it: 64 hexadecimal digits, whatever their order."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def idempotency_key(*parts: object) -> str:
    """Return the key of one change: dossier, target, operation, entity, record, and what caused it."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()[:40]
