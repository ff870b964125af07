"""A folder of YAML files as one configuration, or everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from erpcrm_orchestration.config.faults import explain
from erpcrm_orchestration.config.kinds import CODE, DOSSIER_CODE
from erpcrm_orchestration.config.models import DEFAULTS, SECTIONS
from erpcrm_orchestration.config.places import Document, Fault, Path, Place, fault, shown
from erpcrm_orchestration.config.presets import laid_over, with_preset
from erpcrm_orchestration.config.strict_yaml import parse, read_file
from erpcrm_orchestration.domain.configuration import Configuration
from erpcrm_orchestration.domain.errors import InputError, did_you_mean

SUFFIXES = (".yaml", ".yml")


@dataclass
class Reading:
    """What was read: the values that are right, the document with all places, the faults so far."""

    configuration: Configuration
    document: Document
    faults: list[Fault] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """False when something could not be read, so that what is missing may only be unread."""
        return self.document.readable

    def codes(self, section: str) -> set[str]:
        """Return the codes of a section, those of refused entries too."""
        return {str(code) for code in self.document.data.get(section) or ()}

    def refuse(self, code: str, path: Path, found: str, remedy: str) -> Fault:
        """Return a complaint about the value at the way, told at its place, or at the place of the default it comes from."""
        place, path = self.locate(path)
        return fault(code, place, path, found, remedy)

    def locate(self, path: Path) -> tuple[Place, Path]:
        """Return the place of a value and the way to name it by; what comes from the defaults is named there."""
        inherited = inherited_path(path)
        if inherited and path not in self.document.values and inherited in self.document.values:
            return self.document.values[inherited], inherited
        return self.document.place_of(path) or Place("configuration"), path


def read_folder(path: FilePath) -> Reading:
    """Read a folder with everything below it, or one file. Raises InputError E-CFG-050 when there is nothing to read."""
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.suffix in SUFFIXES and not one.name.startswith("."))
        if not files:
            raise InputError("E-CFG-050", str(path), "no *.yaml in this folder", "name the folder of the configuration")
    else:
        files = [path]
    return read_documents([read_file(one) for one in files])


def read_text(text: str, *, name: str = "text") -> Reading:
    """Read one text as if it were a folder with one file."""
    return read_documents([parse(text, name=name)])


def read_documents(documents: list[Document]) -> Reading:
    """Merge the documents and turn what is right into values."""
    merged = _merged(documents)
    reading = Reading(Configuration(), merged, list(merged.faults))
    found = {section: tuple(_entries(reading, section)) for section in SECTIONS}
    general = found.pop("general")
    reading.configuration = Configuration(general=general[0] if general else None, **found)
    reading.faults = _once(reading.faults)
    return reading


def inherited_path(path: Path) -> Path | None:
    """Return where the default of a value stands, None when its section has no defaults."""
    section = DEFAULTS.get(str(path[0])) if len(path) > 2 else None
    return (section, *path[2:]) if section else None


def _once(faults: list[Fault]) -> list[Fault]:
    """Return the faults in the order of the text; one that a thousand dossiers inherit is told once."""
    return sorted({str(one.error): one for one in faults}.values(), key=lambda one: one.sort_key)


def _merged(documents: list[Document]) -> Document:
    whole = Document()
    for document in documents:
        for section, content in document.data.items():
            _merge_section(whole, document, section, content)
        for path, place in document.values.items():
            whole.values.setdefault(path, place)
        for path, place in document.keys.items():
            whole.keys.setdefault(path, place)
        whole.distrusted |= document.distrusted
        whole.faults += document.faults
        whole.readable &= document.readable
    return whole


def _merge_section(whole: Document, document: Document, section: str | int, content: object) -> None:
    known = (*SECTIONS, *DEFAULTS.values())
    place = document.keys.get((section,)) or Place("configuration")
    if section not in known:
        whole.faults.append(fault("E-CFG-040", place, (section,), "unknown key", did_you_mean(str(section), known)))
    elif content is None or document.is_distrusted((section,)):
        return
    elif not isinstance(content, dict):
        found = f"{shown(content)} is not a mapping"
        whole.faults.append(fault("E-CFG-041", place, (section,), found, "write one key for each entry below it"))
    else:
        whole.data.setdefault(section, {})
        for code, entry in content.items():
            _merge_entry(whole, document, (section, code), entry)


def _merge_entry(whole: Document, document: Document, path: Path, entry: object) -> None:
    section, code = path
    here = document.keys[path]
    first = whole.keys.get(path)
    if first is not None:
        found = f"stands here again, first at {first}"
        whole.faults.append(fault("E-CFG-032", here, path, found, "remove one of both"))
        return
    whole.data[section][code] = entry


def _entries(reading: Reading, section: str) -> Iterator[Any]:
    """Yield the values of a section by the order of their codes; refused ones become faults."""
    _, code_name = SECTIONS[section]
    content: Mapping[str | int, Any] = reading.document.data.get(section) or {}
    if not code_name:
        if section in reading.document.data:
            yield from _validated(reading, (section,), content, {})
        return
    for code in sorted(content, key=str):
        if _is_code(reading, section, code):
            raw = {} if content[code] is None else content[code]
            defaults = reading.document.data.get(DEFAULTS.get(section, "")) or {}
            raw = with_preset(raw) if section == "connectors" else laid_over(defaults, raw)
            yield from _validated(reading, (section, code), raw, {code_name: code})


def _validated(reading: Reading, path: Path, raw: object, codes: dict[str, Any]) -> Iterator[Any]:
    model, _ = SECTIONS[str(path[0])]
    try:
        yield model.model_validate(raw).to_value(**codes)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            code, below, found, remedy = explain(model, details)
            full = (*path, *below)
            if not reading.document.is_distrusted(full) and not _inherits_distrust(reading, full):
                reading.faults.append(_located(reading, code, full, found, remedy))


def _located(reading: Reading, code: str, path: Path, found: str, remedy: str) -> Fault:
    """Complain at the key for what concerns the key, else at the value."""
    place, named = reading.locate(path)
    if code == "E-CFG-040" or found.startswith("the key "):
        place = reading.document.keys.get(named, place)
    return fault(code, place, named, found, remedy)


def _inherits_distrust(reading: Reading, path: Path) -> bool:
    inherited = inherited_path(path)
    return inherited is not None and reading.document.is_distrusted(inherited)


def _is_code(reading: Reading, section: str, code: str | int) -> bool:
    path: Path = (section, code)
    place = reading.document.keys.get(path) or Place("configuration")
    if reading.document.is_distrusted(path):
        return False
    if section == "dossiers":
        complaint = dossier_code_fault(code)
    elif not isinstance(code, str):
        complaint = ("E-CFG-041", f"the code {code} is a number", f'quote it: "{code}"')
    elif not CODE.fullmatch(code):
        complaint = ("E-CFG-041", f"the code {shown(code)} is refused", "use 1 to 64 letters, digits, dot, _ and -")
    else:
        complaint = None
    if complaint:
        reading.faults.append(fault(complaint[0], place, (section,), complaint[1], complaint[2]))
    return complaint is None


def dossier_code_fault(code: str | int) -> tuple[str, str, str] | None:
    """Return code, finding and remedy for what cannot be a dossier code, or None."""
    if isinstance(code, int):
        return "E-CFG-033", f"the code {code} is a number", f'quote dossier codes: "{code}"'
    if not DOSSIER_CODE.fullmatch(code):
        remedy = "use 1 to 16 letters A-Z a-z, digits, _ and -, the first a letter or digit"
        return "E-DOS-091", f"dossier code {code!a} is refused", remedy
    return None
