"""The folder of routines that a company adds: `<code>.yaml` and a statement each, or everything that is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Annotated

from pydantic import Field, ValidationError

from erpcrm_orchestration.config.custom_routine_sql import parameter_place, read_statement
from erpcrm_orchestration.config.faults import explain
from erpcrm_orchestration.config.kinds import WORD, Identifier, Text
from erpcrm_orchestration.config.part import Part
from erpcrm_orchestration.config.places import Document, Fault, Path, Place, fault
from erpcrm_orchestration.config.strict_yaml import read_file
from erpcrm_orchestration.domain import custom_routine as value
from erpcrm_orchestration.domain.custom_routine import CustomRoutine, CustomStatement
from erpcrm_orchestration.domain.errors import did_you_mean

PARAMETERS = "E-ORD-041"
NAMES = "E-ORD-042"
GIVEN = frozenset({"dossier_code", "order_number", "run_date", "now", "dry_run", "first", "last"})
"""Bound in every statement that uses them, whatever the YAML says."""
_CODE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LARGEST = 1_000_000


class CustomRoutinePart(Part):
    value_type = value.CustomRoutine
    label: Text = Field(description="what people call it")
    description: Text = Field("", description="what it does, in one sentence")
    sql: Identifier | None = Field(None, description="the file of its statement in the same folder, without it <code>.sql")
    parameters: dict[Identifier, Annotated[value.Need, WORD]] = Field(
        {}, description="the names of its parameters, each required or optional; all are texts"
    )
    dry_run: bool = Field(False, description="true when it can be ordered as a dry run")
    summary: bool = Field(True, description="true to mail a summary of every order")
    tells: bool = Field(False, description="true when other systems are told of the accounts that it changes")


@dataclass
class CustomRoutines:
    """The routines that are right, by their codes, and the faults of the others."""

    routines: dict[str, tuple[CustomRoutine, CustomStatement]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def read_custom_routines(folder: FilePath, taken: Collection[str]) -> CustomRoutines:
    """Read every `<code>.yaml` of the folder; `taken` are codes that no routine may have."""
    found = CustomRoutines()
    if not folder.is_dir():
        remedy = "let ERPCRM_ROUTINES name the folder of your routines"
        found.faults.append(fault("E-CFG-050", Place(str(folder), line=0), (), "no folder", remedy))
    for file in sorted(folder.glob("*.yaml")):
        faults, routine = _read(file, taken)
        found.faults += sorted(faults, key=lambda one: one.sort_key)
        if routine is not None and not faults:
            found.routines[routine[0].code] = routine
    return found


def _read(file: FilePath, taken: Collection[str]) -> tuple[list[Fault], tuple[CustomRoutine, CustomStatement] | None]:
    document = read_file(file)
    faults = [*document.faults, *_faults_of_code(file, taken)]
    try:
        routine: CustomRoutine = CustomRoutinePart.model_validate(document.data).to_value(code=file.stem)
    except ValidationError as error:
        if document.readable:
            faults += _refusals(document, error)
        return faults, None
    statement, text, wrong = _statement(file, document, routine)
    faults += wrong
    if statement is None:
        return faults, None
    faults += _faults_of_parameters(document, routine, statement, text)
    return faults, (routine, statement)


def _refusals(document: Document, error: ValidationError) -> Iterator[Fault]:
    for details in error.errors(include_url=False):
        code, path, found, remedy = explain(CustomRoutinePart, details)
        if not document.is_distrusted(path):
            yield fault(code, document.keys.get(path) or _place(document, path), path, found, remedy)


def _faults_of_code(file: FilePath, taken: Collection[str]) -> Iterator[Fault]:
    if file.stem in taken:
        yield fault(NAMES, Place(str(file)), (), f"the code {file.stem} is taken", "give the file another name")
    elif not _CODE.fullmatch(file.stem):
        remedy = "name the file by 1 to 63 letters a-z, digits and _, a letter first"
        yield fault(NAMES, Place(str(file)), (), f"the code {file.stem!a} is refused", remedy)


def _statement(file: FilePath, document: Document, routine: CustomRoutine) -> tuple[CustomStatement | None, str, list[Fault]]:
    name = routine.sql or f"{routine.code}.sql"
    path: Path = ("sql",)
    place = _place(document, path)
    if FilePath(name).name != name:
        return None, "", [fault(NAMES, place, path, f"{name!a} is no name of a file", "put the file beside this one")]
    beside = file.with_name(name)
    try:
        content = beside.read_bytes()
        if len(content) > _LARGEST:
            return None, "", [fault(NAMES, place, path, f"{beside} is larger than {_LARGEST} bytes", "write it shorter")]
        text = content.decode("utf-8").removeprefix("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        return None, "", [fault(NAMES, place, path, f"{beside} cannot be read ({_reason(error)})", "write the statement there")]
    statement, wrong = read_statement(text, name=str(beside))
    return statement, text, wrong


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error.strerror)


def _faults_of_parameters(document: Document, routine: CustomRoutine, statement: CustomStatement, text: str) -> Iterator[Fault]:
    declared = routine.parameters.keys()
    for name in sorted(statement.uses - declared - GIVEN):
        place = parameter_place(text, statement.where, name)
        yield fault(PARAMETERS, place, (), f":{name} is no parameter", did_you_mean(name, GIVEN | declared))
    for name in sorted(declared & GIVEN):
        path: Path = ("parameters", name)
        yield fault(PARAMETERS, _place(document, path), path, "every statement is given it", "remove it here")
    for name in sorted(declared - statement.uses - GIVEN):
        path = ("parameters", name)
        yield fault(PARAMETERS, _place(document, path), path, "the statement does not use it", f"write :{name}, or remove it")
    if routine.dry_run and statement.writes and "dry_run" not in statement.uses:
        path = ("dry_run",)
        remedy = "let what it writes depend on :dry_run, or say dry_run: false"
        yield fault(PARAMETERS, _place(document, path), path, "the statement writes and does not use :dry_run", remedy)


def _place(document: Document, path: Path) -> Place:
    return document.keys.get(path) or document.place_of(path) or Place("routine")
