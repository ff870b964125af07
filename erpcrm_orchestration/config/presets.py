"""What some kinds of connector bring: their entities as YAML of this package, laid below what a company writes.

Nothing above a value of the preset takes it away: `customers:` without anything reads no customers.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from erpcrm_orchestration.config.connection_models import ConnectorPart
from erpcrm_orchestration.config.plain import Plain, plain
from erpcrm_orchestration.config.strict_yaml import parse
from erpcrm_orchestration.domain.connection import ConnectorKind

KINDS = frozenset({ConnectorKind.WOOCOMMERCE, ConnectorKind.TRYTON})
"""The kinds with a file `presets/<kind>.yaml`."""

WHOLE = frozenset({"body", "variables"})
"""JSON of the other system: it is replaced as a whole, as nothing means something in it."""


def laid_over(below: Plain, above: Plain) -> Plain:
    """Return mappings merged key by key; anything else above replaces what is below."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    merged = dict(below)
    for key, content in above.items():
        merged[key] = laid_over(below[key], content) if key in below and key not in WHOLE else content
    return merged


def with_preset(said: Plain) -> Plain:
    """Return what is written of a connector with what its kind brings; unchanged for a kind without a preset."""
    below = _preset_of(said)
    return _without_nothing(below, laid_over(below, said)) if below else said


def beyond_preset(content: Plain) -> Plain:
    """Return what has to be written so that `with_preset` gives this content."""
    below = _preset_of(content)
    return {"kind": content["kind"], **_difference(below, content)} if below else content


@cache
def preset_text(kind: ConnectorKind) -> str:
    """Return the YAML of the preset of a kind."""
    file = resources.files("erpcrm_orchestration.config") / "presets" / f"{kind.value}.yaml"
    return file.read_text(encoding="utf-8")


@cache
def preset(kind: ConnectorKind) -> Plain:
    """Return the preset of a kind as plain data in the form that an export has."""
    data = parse(preset_text(kind), name=f"presets/{kind.value}.yaml").data
    value = ConnectorPart.model_validate(data).to_value(connector_code="preset")
    return plain(value, defaults=False, without="connector_code")


def _preset_of(content: Plain) -> Plain:
    kind = content.get("kind") if isinstance(content, dict) else None
    return preset(ConnectorKind(kind)) if isinstance(kind, str) and kind in KINDS else None


def _without_nothing(below: Plain, merged: Plain) -> Plain:
    if not isinstance(below, dict) or not isinstance(merged, dict):
        return merged
    return {
        key: _without_nothing(below.get(key), content) if key not in WHOLE else content
        for key, content in merged.items()
        if content is not None or key not in below
    }


def _difference(below: Plain, content: Plain) -> Plain:
    """Return what of the mapping differs from the preset, and nothing for what only the preset has."""
    said: dict[str, Plain] = {}
    for key, one in content.items():
        if key not in below:
            said[key] = one
        elif one != below[key]:
            nested = isinstance(one, dict) and isinstance(below[key], dict) and key not in WHOLE
            said[key] = _difference(below[key], one) if nested else one
    return said | dict.fromkeys(sorted(below.keys() - content.keys()))
