"""What refers to what in a configuration, and what nothing refers to any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from erpcrm_orchestration.config.places import Path
from erpcrm_orchestration.config.plain import CODES, entries
from erpcrm_orchestration.domain.configuration import Configuration, Dossier, Source

PRUNABLE = (
    *("mail_groups", "mail_templates", "call_targets", "dataset_types", "sources", "connectors", "connections"),
    *("servers", "agendas", "audiences", "monitors", "class_rules"),
)
"""Sections whose entries may be removed; dossiers never are."""


def references_of(configuration: Configuration) -> Iterator[tuple[Path, str, str]]:
    """Yield the way, the section it refers to and the code of every reference."""
    if configuration.general is not None:
        for name in ("default_dossier", "common_dossier"):
            if code := getattr(configuration.general, name):
                yield ("general", name), "dossiers", code
    for source in configuration.sources:
        yield from _source_references(source)
    for dossier in configuration.dossiers:
        yield from _dossier_references(dossier)
    for one in configuration.monitors:
        yield ("monitors", one.parameter_code, "template"), "mail_templates", one.template
        if one.audience:
            yield ("monitors", one.parameter_code, "audience"), "audiences", one.audience
    for connection in configuration.connections:
        yield ("connections", connection.connection_code, "connector"), "connectors", connection.connector
        yield ("connections", connection.connection_code, "dossier"), "dossiers", connection.dossier


def _source_references(source: Source) -> Iterator[tuple[Path, str, str]]:
    path = ("sources", source.source_code)
    if source.tasks:
        yield (*path, "tasks", "target"), "call_targets", source.tasks.target
    for mapping in source.datasets:
        if mapping.type_code:
            yield (*path, "datasets", mapping.stream, "type_code"), "dataset_types", mapping.type_code


def _dossier_references(dossier: Dossier) -> Iterator[tuple[Path, str, str]]:
    path = ("dossiers", dossier.dossier_code)
    process = dossier.process
    yield (*path, "process", "mail_group"), "mail_groups", process.mail_group
    yield (*path, "process", "mail_template"), "mail_templates", process.mail_template
    if process.recovery_template:
        yield (*path, "process", "recovery_template"), "mail_templates", process.recovery_template
    if dossier.source:
        yield (*path, "source"), "sources", dossier.source
    if dossier.mobility:
        yield (*path, "mobility", "target"), "call_targets", dossier.mobility.target
    if dossier.routines.server:
        yield (*path, "routines", "server"), "servers", dossier.routines.server


def removable(current: Configuration, wanted: Configuration, held: frozenset[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Return (section, code) of all that only `current` has and nothing refers to once `wanted` is applied.

    `held` is what received or sent data still names.
    """
    merged = _overlaid(current, wanted)
    spare = {
        (section, code) for section in PRUNABLE for code in entries(current, section).keys() - entries(wanted, section).keys()
    } - held
    removed: frozenset[tuple[str, str]] = frozenset()
    while True:
        named = _named(_without(merged, removed))
        more = frozenset(spare - named) - removed
        if not more:
            return removed
        removed |= more


def _overlaid(current: Configuration, wanted: Configuration) -> Configuration:
    sections: dict[str, Any] = {
        section: tuple((entries(current, section) | entries(wanted, section)).values())
        for section in CODES
        if section != "general"
    }
    return Configuration(general=wanted.general or current.general, **sections)


def _without(configuration: Configuration, removed: frozenset[tuple[str, str]]) -> Configuration:
    left: dict[str, Any] = {
        section: tuple(one for code, one in entries(configuration, section).items() if (section, code) not in removed)
        for section in PRUNABLE
    }
    return replace(configuration, **left)


def _named(configuration: Configuration) -> set[tuple[str, str]]:
    owner = {alias: group.group_code for group in configuration.mail_groups for alias in group.aliases}
    return {
        (section, owner.get(code, code) if section == "mail_groups" else code)
        for _, section, code in references_of(configuration)
    }
