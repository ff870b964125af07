"""The JSON Schema of the YAML, for editors that complete and check while one types."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import models_json_schema

from erpcrm_orchestration.config.models import DEFAULTS, SECTIONS

PARTIAL = ("CallPart", "ChildMapPart", "MappingPart", "ReadingPart")
"""What may be written in part, because a preset brings the rest."""
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema_text() -> str:
    """Return the JSON Schema as text, always the same for the same models."""
    return json.dumps(_schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _schema() -> dict[str, Any]:
    references, definitions = models_json_schema(
        [(model, "validation") for model, _ in SECTIONS.values()], ref_template="#/$defs/{model}"
    )
    properties: dict[str, Any] = {}
    for section, (model, code) in SECTIONS.items():
        entry = references[(model, "validation")]
        properties[section] = {"type": "object", "additionalProperties": _or_nothing(entry)} if code else entry
    for section, name in DEFAULTS.items():
        model, _ = SECTIONS[section]
        entry = dict(definitions["$defs"][model.__name__])
        entry.pop("required", None)
        properties[name] = entry | {"description": f"what all {section} have unless they say otherwise"}
    for name in (*(SECTIONS[section][0].__name__ for section in DEFAULTS), *PARTIAL):
        definitions["$defs"][name].pop("required", None)
    return {
        "$schema": DRAFT,
        "title": "Configuration of erpcrm-orchestration",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        **definitions,
    }


def _or_nothing(entry: object) -> dict[str, Any]:
    return {"anyOf": [entry, {"type": "null"}]}
