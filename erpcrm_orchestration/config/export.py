"""A configuration as YAML text that the strict reader reads back as the very same values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from erpcrm_orchestration.config.plain import CODES, Plain, entries, plain
from erpcrm_orchestration.config.presets import beyond_preset
from erpcrm_orchestration.config.scalars import is_plain_text
from erpcrm_orchestration.domain.configuration import Configuration, Dossier
from erpcrm_orchestration.domain.connection import Connector

SCHEMA_LINE = "# yaml-language-server: $schema=schema.json\n"
FILES = {
    "general.yaml": ("general",),
    "mails.yaml": ("mail_groups", "mail_templates"),
    "targets.yaml": ("call_targets",),
    "dataset_types.yaml": ("dataset_types",),
    "sources.yaml": ("sources",),
    "connectors.yaml": ("connectors",),
    "routines.yaml": ("servers", "agendas", "audiences", "monitors", "class_rules"),
    "dossiers.yaml": ("dossiers",),
    "connections.yaml": ("connections",),
}
"""The files of an exported folder, each with its sections."""
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")


def to_yaml(configuration: Configuration, sections: tuple[str, ...] = tuple(CODES)) -> str:
    """Return one file with these sections; defaults are left out, secrets are their `${env:NAME}`."""
    data: dict[str, Any] = {}
    for section in sections:
        found = entries(configuration, section)
        if section == "general" and found:
            data[section] = plain(found["general"], defaults=False)
        elif found:
            data[section] = {code: _said(one, CODES[section]) for code, one in sorted(found.items())}
    body = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120) if data else ""
    return SCHEMA_LINE + body


def block_yaml(content: object) -> str:
    """Return a list or a mapping as YAML, as it stands in an exported file."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _said(found: object, code: str) -> Plain:
    content = plain(found, defaults=False, without=code)
    return beyond_preset(content) if isinstance(found, Connector) else content


def to_files(configuration: Configuration) -> dict[str, str]:
    """Return the text of each file of a folder; what is empty has no file."""
    texts = {name: to_yaml(configuration, sections) for name, sections in FILES.items()}
    return {name: text for name, text in texts.items() if text != SCHEMA_LINE}


def copied(dossier: Dossier, code: str) -> Dossier:
    """Return the dossier under another code; its own folder becomes that of the new one."""
    folder = dossier.hub_folder
    if folder is not None:
        folder = "/".join(code if step == dossier.dossier_code else step for step in folder.split("/"))
    return replace(dossier, dossier_code=code, hub_folder=folder)


class _Dumper(yaml.SafeDumper):
    """Writes no aliases, quotes whatever could be read as something else, and long texts as blocks."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style: str | None = None
    if _is_block(text):
        style = "|"
    elif not text or text[0] not in _SAFE or not is_plain_text(text) or "\n" in text:
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_block(text: str) -> bool:
    lines = text.split("\n")
    return len(lines) > 1 and text.isprintable() is False and not any(line != line.rstrip() or "\t" in line for line in lines)


def _mapping(dumper: yaml.SafeDumper, content: Mapping[Any, Any]) -> yaml.MappingNode:
    short = len(content) <= 4 and all(isinstance(one, str | int) and "\n" not in str(one) for one in content.values())
    small = short and sum(len(str(key)) + len(str(one)) for key, one in content.items()) < 80
    return dumper.represent_mapping("tag:yaml.org,2002:map", content.items(), flow_style=small and bool(content))


def _list(dumper: yaml.SafeDumper, content: list[Any]) -> yaml.SequenceNode:
    flow = all(isinstance(one, str | int) for one in content)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", content, flow_style=flow)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(list, _list)
