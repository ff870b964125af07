"""What must be right between the values of a configuration: references, delays, automatons, templates, codes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from erpcrm_orchestration.config.automaton_rules import automaton_faults
from erpcrm_orchestration.config.connection_rules import connection_faults
from erpcrm_orchestration.config.connector_rules import connector_faults, connector_warnings, environment_faults
from erpcrm_orchestration.config.folder import Reading, dossier_code_fault
from erpcrm_orchestration.config.places import Fault, Path
from erpcrm_orchestration.config.reference_rules import Known, reference_faults
from erpcrm_orchestration.config.routine_rules import routine_faults
from erpcrm_orchestration.config.secrets import secret_faults
from erpcrm_orchestration.domain.configuration import (
    CallTarget,
    Configuration,
    Dossier,
    MailTemplate,
    ProcessState,
    Source,
    TimeExportFilter,
)
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.template import FIELDS, MONITOR_PLACEHOLDERS, PLACEHOLDERS, problems

IMPOSSIBLE = "E-CFG-041"


@dataclass(frozen=True)
class Checked:
    """Errors that stop, and warnings that do not, each in the order of the text."""

    errors: tuple[InputError, ...] = ()
    warnings: tuple[str, ...] = ()


def check(reading: Reading, known: Known | None = None) -> Checked:
    """Return everything that is wrong with what was read; `known` are codes that a database has."""
    known = known or Known.nothing()
    wrong, doubtful = reference_faults(reading, known)
    errors = {str(one.error): one for one in (*reading.faults, *_errors(reading, known), *wrong)}
    warnings = {str(one.error): one for one in (*_warnings(reading), *doubtful)}
    ordered = sorted(errors.values(), key=lambda one: one.sort_key)
    told = sorted(warnings.values(), key=lambda one: one.sort_key)
    return Checked(tuple(one.error for one in ordered), tuple(str(one.error) for one in told))


def _errors(reading: Reading, known: Known) -> Iterator[Fault]:
    configuration = reading.configuration
    yield from secret_faults(reading)
    yield from _equal_codes(reading, known)
    uses = _uses_of_templates(configuration)
    for template in configuration.mail_templates:
        yield from _template_faults(reading, template, uses.get(template.template_code, FIELDS | PLACEHOLDERS))
    for target in configuration.call_targets:
        yield from _target_faults(reading, target)
    for one in configuration.dataset_types:
        yield from automaton_faults(reading, one)
    for source in configuration.sources:
        yield from _source_faults(reading, source)
    for dossier in configuration.dossiers:
        yield from dossier_faults(reading, dossier)
    yield from _shared_folders(reading)
    yield from routine_faults(reading, known.programs)
    yield from _group_faults(reading)
    yield from _integration_faults(reading, known)


def _integration_faults(reading: Reading, known: Known) -> Iterator[Fault]:
    for connector in reading.configuration.connectors:
        yield from connector_faults(reading, connector)
        yield from environment_faults(reading, connector)
    yield from connection_faults(reading, known)


def _warnings(reading: Reading) -> Iterator[Fault]:
    configuration = reading.configuration
    for path, zone in _zones(configuration):
        if "/" not in zone and zone != "UTC":
            yield reading.refuse("E-CFG-044", path, f"{zone} names no place", "write a zone as Europe/Paris")
    yield from _idle(reading)
    for connector in configuration.connectors:
        yield from connector_warnings(reading, connector)


def _idle(reading: Reading) -> Iterator[Fault]:
    """Yield E-CFG-049 for what says it is active below something that is not."""
    general = reading.configuration.general
    for dossier in reading.configuration.dossiers:
        path: Path = ("dossiers", dossier.dossier_code, "process", "state")
        said = path in reading.document.values and dossier.process.state is ProcessState.ACTIVE
        if not dossier.active and said:
            yield reading.refuse("E-CFG-049", path, "ACTIVE in an inactive dossier", "nothing runs until active is true")
        if general and general.common_dossier == dossier.dossier_code and not dossier.active:
            found = f"common dossier {dossier.dossier_code} is inactive"
            yield reading.refuse("E-CFG-049", ("general", "common_dossier"), found, "nothing runs until it is active")


def _zones(configuration: Configuration) -> Iterator[tuple[Path, str]]:
    if configuration.general is not None:
        yield ("general", "mail", "calendar", "time_zone"), configuration.general.mail.calendar.time_zone
    yield from ((("sources", one.source_code, "time_zone"), one.time_zone) for one in configuration.sources)
    yield from ((("dossiers", one.dossier_code, "time_zone"), one.time_zone) for one in configuration.dossiers)
    yield from ((("connections", one.connection_code, "time_zone"), one.time_zone) for one in configuration.connections)


def dossier_faults(reading: Reading, dossier: Dossier) -> Iterator[Fault]:
    """Yield what is wrong inside one dossier: an alert delay below the frequency of the agent (A36)."""
    delay, frequency = dossier.alert_delay_min, dossier.import_frequency_min
    if frequency is not None and 0 < delay < frequency:
        path: Path = ("dossiers", dossier.dossier_code, "alert_delay_min")
        if path not in reading.document.values:
            own = (*path[:2], "import_frequency_min")
            path = own if own in reading.document.values else path
        found = f"alert_delay_min {delay} is less than import_frequency_min {frequency}"
        yield reading.refuse("E-CFG-042", path, found, f"give 0 for never or at least {frequency}")


def _uses_of_templates(configuration: Configuration) -> dict[str, frozenset[str]]:
    """Return the code of a template that something here names -> the fields that it may have; of several uses, those of all."""
    uses: dict[str, frozenset[str]] = {}
    processes = [one.process for one in configuration.dossiers]
    of_alerts = [code for one in processes for code in (one.mail_template, one.recovery_template) if code]
    of_monitors = [one.template for one in configuration.monitors]
    for codes, known in ((of_alerts, FIELDS), (of_monitors, MONITOR_PLACEHOLDERS)):
        for code in codes:
            uses[code] = uses.get(code, known) & known
    return uses


def _template_faults(reading: Reading, template: MailTemplate, known: frozenset[str]) -> Iterator[Fault]:
    for name in ("subject", "text", "html"):
        path: Path = ("mail_templates", template.template_code, name)
        text = getattr(template, name)
        for problem in problems(text, where="", known=known) if text else ():
            yield reading.refuse(problem.code, path, problem.found, problem.remedy)


def _target_faults(reading: Reading, target: CallTarget) -> Iterator[Fault]:
    path: Path = ("call_targets", target.target_code)
    if (target.url is None) == (target.folder is None):
        found = "both url and folder" if target.url else "neither url nor folder"
        yield reading.refuse(IMPOSSIBLE, path, found, "give exactly one of both")
    if target.url and not target.url.startswith(("http://", "https://", "${env:")):
        yield reading.refuse(IMPOSSIBLE, (*path, "url"), "not an HTTP address", "start it with https:// or ${env:NAME}")


def _source_faults(reading: Reading, source: Source) -> Iterator[Fault]:
    for mapping in source.datasets:
        path: Path = ("sources", source.source_code, "datasets", mapping.stream)
        if (mapping.type_code is None) == ("type" not in mapping.columns):
            found = "both type_code and columns.type" if mapping.type_code else "neither type_code nor columns.type"
            yield reading.refuse(IMPOSSIBLE, path, found, "give exactly one of both")
        if not mapping.states:
            yield reading.refuse(IMPOSSIBLE, path, "no states", "name each of their states with its group")
        if mapping.time_export:
            yield from _time_export_faults(reading, path, mapping.time_export)


def _time_export_faults(reading: Reading, path: Path, switches: TimeExportFilter) -> Iterator[Fault]:
    needed = {
        "exported": not switches.include_exported,
        "intervention_state": switches.closed_interventions_only,
        "validated": switches.validated_only,
    }
    for name, is_needed in needed.items():
        if is_needed and name not in switches.columns:
            found = f"no column {name} for the switches that are set"
            yield reading.refuse(IMPOSSIBLE, (*path, "time_export", "columns"), found, f"give {name} or change the switch")


def _group_faults(reading: Reading) -> Iterator[Fault]:
    """Yield aliases that are the code or an alias of another group, and members that stand twice."""
    owners = {code: code for code in reading.codes("mail_groups")}
    for group in reading.configuration.mail_groups:
        path: Path = ("mail_groups", group.group_code)
        for position, alias in enumerate(group.aliases):
            owner = owners.setdefault(alias, group.group_code)
            if owner != group.group_code or group.aliases.index(alias) < position or alias == group.group_code:
                found = f"alias {alias} belongs to mail group {owner}"
                yield reading.refuse(IMPOSSIBLE, (*path, "aliases", position), found, "name every group once")
        addresses = [member.address.casefold() for member in group.members]
        for position, address in enumerate(addresses):
            if addresses.index(address) < position:
                found = f"{group.members[position].address} is a member already"
                yield reading.refuse(IMPOSSIBLE, (*path, "members", position), found, "remove one of both")


def _shared_folders(reading: Reading) -> Iterator[Fault]:
    """Yield folders that two dossiers read: each pivot file belongs to one."""
    owners: dict[str, str] = {}
    for dossier in reading.configuration.dossiers:
        if dossier.hub_folder is None:
            continue
        owner = owners.setdefault(dossier.hub_folder.rstrip("/"), dossier.dossier_code)
        if owner != dossier.dossier_code:
            path: Path = ("dossiers", dossier.dossier_code, "hub_folder")
            yield reading.refuse(IMPOSSIBLE, path, f"the folder is that of dossier {owner} too", "give each dossier its own")


def _equal_codes(reading: Reading, known: Known) -> Iterator[Fault]:
    """Yield dossier codes that differ only in case or in the form of their characters."""
    first: dict[str, str] = {folded(code): code for code in known.codes["dossiers"]}
    for code in sorted(reading.codes("dossiers")):
        other = first.setdefault(folded(code), code)
        if other != code:
            found = f"dossier codes {other} and {code} differ only in their letters' case or form"
            yield reading.refuse("E-CFG-047", ("dossiers", code), found, "choose another code for one of both")


def folded(code: str) -> str:
    """Return what two codes must not have in common."""
    return unicodedata.normalize("NFKC", code).casefold()


def require_free_code(code: str, taken: Iterable[str], *, where: str = "dossier") -> None:
    """Raise InputError E-DOS-091 for what is no dossier code, E-CFG-047 for one that another dossier has in any form."""
    complaint = dossier_code_fault(code)
    if complaint:
        raise InputError(complaint[0], where, complaint[1], complaint[2])
    for other in taken:
        if folded(other) == folded(code):
            raise InputError("E-CFG-047", where, f"dossier {other} exists", "choose another code")
