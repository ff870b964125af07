"""What must be right between the values of a configuration: references, delays, automatons, templates, codes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from erpcrm_orchestration.config.automaton_rules import automaton_faults
from erpcrm_orchestration.config.folder import Reading
from erpcrm_orchestration.config.places import Fault, Path
from erpcrm_orchestration.config.plain import CODES, entries
from erpcrm_orchestration.config.secrets import secret_faults
from erpcrm_orchestration.domain.configuration import CallTarget, Configuration, Dossier, MailTemplate, ProcessState, Source
from erpcrm_orchestration.domain.errors import InputError, did_you_mean
from erpcrm_orchestration.domain.template import problems

UNKNOWN_REFERENCE = "E-CFG-003"
IMPOSSIBLE = "E-CFG-041"


@dataclass(frozen=True)
class Known:
    """Codes that are there without the files, per section; `is_whole` is False when there may be more of them."""

    codes: dict[str, frozenset[str]]
    is_whole: bool = True

    @classmethod
    def nothing(cls) -> Known:
        """What is known without a database."""
        return cls({section: frozenset() for section in CODES}, is_whole=False)

    @classmethod
    def of(cls, configuration: Configuration) -> Known:
        """What a configuration brings."""
        codes = {section: frozenset(entries(configuration, section)) for section in CODES}
        aliases = {alias for group in configuration.mail_groups for alias in group.aliases}
        return cls(codes | {"mail_groups": codes["mail_groups"] | aliases})


@dataclass(frozen=True)
class Checked:
    """Errors that stop, and warnings that do not, each in the order of the text."""

    errors: tuple[InputError, ...] = ()
    warnings: tuple[str, ...] = ()


def check(reading: Reading, known: Known | None = None) -> Checked:
    """Return everything that is wrong with what was read; `known` are codes that a database has."""
    known = known or Known.nothing()
    errors = {str(one.error): one for one in (*reading.faults, *_errors(reading, known))}
    warnings = {str(one.error): one for one in _warnings(reading, known)}
    ordered = sorted(errors.values(), key=lambda one: one.sort_key)
    told = sorted(warnings.values(), key=lambda one: one.sort_key)
    return Checked(tuple(one.error for one in ordered), tuple(str(one.error) for one in told))


def _errors(reading: Reading, known: Known) -> Iterator[Fault]:
    configuration = reading.configuration
    yield from secret_faults(reading)
    yield from _equal_codes(reading, known)
    for template in configuration.mail_templates:
        yield from _template_faults(reading, template)
    for target in configuration.call_targets:
        yield from _target_faults(reading, target)
    for one in configuration.dataset_types:
        yield from automaton_faults(reading, one)
    for source in configuration.sources:
        yield from _source_faults(reading, source)
    for dossier in configuration.dossiers:
        yield from dossier_faults(reading, dossier)
    yield from _group_faults(reading, known)
    for path, section, code in _references(reading):
        if _is_missing(reading, known, section, code) and _is_decidable(reading, known, section):
            yield reading.refuse(
                UNKNOWN_REFERENCE, path, f"no {_NOUNS[section]} {code}", _did_you_mean(reading, known, section, code)
            )


_NOUNS = {
    "mail_groups": "mail group",
    "mail_templates": "mail template",
    "call_targets": "call target",
    "dataset_types": "dataset type",
    "sources": "source",
    "dossiers": "dossier",
}


def _warnings(reading: Reading, known: Known) -> Iterator[Fault]:
    configuration = reading.configuration
    for path, section, code in _references(reading):
        if _is_missing(reading, known, section, code) and not _is_decidable(reading, known, section):
            found = f"no {_NOUNS[section]} {code} in these files"
            yield reading.refuse(UNKNOWN_REFERENCE, path, found, "plan and apply look for it in the database")
    for path, zone in _zones(configuration):
        if "/" not in zone and zone != "UTC":
            yield reading.refuse("E-CFG-044", path, f"{zone} names no place", "write a zone as Europe/Paris")
    for dossier in configuration.dossiers:
        if not dossier.active and ("dossiers", dossier.dossier_code, "process", "state") in reading.document.values:
            if dossier.process.state is ProcessState.ACTIVE:
                path = ("dossiers", dossier.dossier_code, "process", "state")
                yield reading.refuse("E-CFG-049", path, "ACTIVE in an inactive dossier", "nothing runs until active is true")


def _zones(configuration: Configuration) -> Iterator[tuple[Path, str]]:
    if configuration.general is not None:
        yield ("general", "mail", "calendar", "time_zone"), configuration.general.mail.calendar.time_zone
    yield from ((("sources", one.source_code, "time_zone"), one.time_zone) for one in configuration.sources)
    yield from ((("dossiers", one.dossier_code, "time_zone"), one.time_zone) for one in configuration.dossiers)


def _references(reading: Reading) -> Iterator[tuple[Path, str, str]]:
    """Yield the way, the section it refers to and the code of every reference."""
    configuration = reading.configuration
    if configuration.general is not None:
        for name in ("default_dossier", "common_dossier"):
            if code := getattr(configuration.general, name):
                yield ("general", name), "dossiers", code
    for source in configuration.sources:
        yield from _source_references(source)
    for dossier in configuration.dossiers:
        yield from _dossier_references(dossier)


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


def _all_codes(reading: Reading, known: Known, section: str) -> set[str]:
    codes = reading.codes(section) | known.codes[section]
    if section == "mail_groups":
        codes |= {alias for group in reading.configuration.mail_groups for alias in group.aliases}
    return codes


def _is_missing(reading: Reading, known: Known, section: str, code: str) -> bool:
    return code not in _all_codes(reading, known, section)


def _is_decidable(reading: Reading, known: Known, section: str) -> bool:
    """True when the code cannot be anywhere else: the database was asked, or the files hold this section."""
    return reading.is_complete and (known.is_whole or bool(reading.codes(section)))


def _did_you_mean(reading: Reading, known: Known, section: str, code: str) -> str:
    codes = _all_codes(reading, known, section)
    return did_you_mean(code, codes) if len(codes) <= 20 else did_you_mean(code, codes).split(", ")[0]


def dossier_faults(reading: Reading, dossier: Dossier) -> Iterator[Fault]:
    """Yield what is wrong inside one dossier: an alert delay below the frequency of the agent (A36)."""
    delay, frequency = dossier.alert_delay_min, dossier.import_frequency_min
    if frequency is not None and 0 < delay < frequency:
        path: Path = ("dossiers", dossier.dossier_code, "alert_delay_min")
        place, _ = reading.locate(path)
        if path not in reading.document.values:
            own = (*path[:2], "import_frequency_min")
            path = own if own in reading.document.values else path
        found = f"alert_delay_min {delay} is less than import_frequency_min {frequency}"
        yield reading.refuse("E-CFG-042", path, found, f"give 0 for never or at least {frequency}")


def _template_faults(reading: Reading, template: MailTemplate) -> Iterator[Fault]:
    for name in ("subject", "text", "html"):
        path: Path = ("mail_templates", template.template_code, name)
        text = getattr(template, name)
        for problem in problems(text, where="") if text else ():
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


def _time_export_faults(reading: Reading, path: Path, switches: object) -> Iterator[Fault]:
    needed = {
        "exported": not getattr(switches, "include_exported"),
        "intervention_state": getattr(switches, "closed_interventions_only"),
        "validated": getattr(switches, "validated_only"),
    }
    columns = getattr(switches, "columns")
    for name, is_needed in needed.items():
        if is_needed and name not in columns:
            found = f"no column {name} for the switches that are set"
            yield reading.refuse(IMPOSSIBLE, (*path, "time_export", "columns"), found, f"give {name} or change the switch")


def _group_faults(reading: Reading, known: Known) -> Iterator[Fault]:
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
